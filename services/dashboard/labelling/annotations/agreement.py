"""Compute the agreement of two people who annotated the same frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from services.dashboard.labelling.annotations.annotation import FrameAnnotations

NORMAL_95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa of one label with its 95 % interval."""

    both: int
    """Frames to which both people gave the label."""
    only_first: int
    only_second: int
    neither: int
    kappa: float | None
    """1: the people always agree; 0: as often as by chance. None if the agreement expected by chance is 1."""
    low: float | None
    """Lower end of the interval of `kappa`.

    None if `kappa` is None, or if one person always said the same: `kappa` is then always 0.
    """
    high: float | None

    @property
    def frames(self) -> int:
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def agreed(self) -> float | None:
        """The share of the frames to which both people gave the same value of the label; None if there are none."""
        return (self.both + self.neither) / self.frames if self.frames else None


def kappa_of(pairs: Iterable[tuple[bool, bool]]) -> Kappa:
    """Compute the agreement beyond chance: (observed - expected) / (1 - expected).

    Cohen, J. (1960), A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20(1),
    37-46; with the large-sample standard error of Fleiss, J. L., Cohen, J., Everitt, B. S. (1969), Large sample
    standard errors of kappa and weighted kappa, Psychological Bulletin 72(5), 323-327. The interval is limited to -1
    to 1, and is unreliable for fewer than about 30 frames.

    Args:
        pairs: for each frame, whether the first and the second person gave it the label.
    """
    given = list(pairs)
    counts = [sum(pair == cell for pair in given) for cell in ((True, True), (True, False), (False, True))]
    both, only_first, only_second = counts
    frames = len(given)
    neither = frames - sum(counts)
    cells = (both, only_first, only_second, neither)
    if not frames or frames in {both, neither}:  # the agreement expected by chance is 1
        return Kappa(*cells, None, None, None)
    if 0 in {both + only_first, only_second + neither, both + only_second, only_first + neither}:
        return Kappa(*cells, 0.0, None, None)
    table = ((both / frames, only_first / frames), (only_second / frames, neither / frames))
    rows = [sum(row) for row in table]
    columns = [table[0][cell] + table[1][cell] for cell in (0, 1)]
    observed = table[0][0] + table[1][1]
    expected = rows[0] * columns[0] + rows[1] * columns[1]
    kappa = (observed - expected) / (1 - expected)
    agreeing = sum(table[i][i] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2 for i in (0, 1))
    differing = (1 - kappa) ** 2 * sum(table[i][1 - i] * (columns[i] + rows[1 - i]) ** 2 for i in (0, 1))
    variance = agreeing + differing - (kappa - expected * (1 - kappa)) ** 2
    error = sqrt(max(0.0, variance) / frames) / (1 - expected)
    return Kappa(*cells, kappa, max(-1.0, kappa - NORMAL_95 * error), min(1.0, kappa + NORMAL_95 * error))


def kappa_by_label(frames: Iterable[FrameAnnotations], label_names: Sequence[str]) -> dict[str, Kappa]:
    """Return the kappa of each label, over the frames that two people annotated independently."""
    pairs = [(pair.first.labels, pair.second.labels) for frame in frames if (pair := frame.independent)]
    return {
        name: kappa_of((first[name], second[name]) for first, second in pairs if name in first and name in second)
        for name in label_names
    }
