"""Divide a dataset by group into training, validation and test split, with equal shares of every label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.contracts.training import Shares
from shared.datasets.coverage import FEW, few, unlearnable, unlearnable_warnings
from shared.datasets.labelled_images import Dataset, Example
from shared.datasets.tables import DatasetError, table_bytes
from shared.label_names import IMAGE_COLUMN

PARTS: Final = ("train", "valid", "test")
FOLDS: Final = 5
RUNS: Final = 20
"""The number of runs of neighbours into which the images are cut where there are too few groups."""
ASSIGNMENTS: Final = 5_000
"""Most assignments of groups to splits, over all attempts."""
NAMED: Final = 3
"""Most copies that a warning names."""
FEWEST_ATTEMPTS: Final = 5
SLACK: Final = (1.0, 1.1, 1.25, 1.5, 2.0)
"""Factors by which a split may be larger than its labels require, because groups are not divided."""
SHARE_DIGITS: Final = 9
"""Decimal digits to which the remaining share is rounded, because sums of floats are inexact."""
LEAST_TRAIN: Final = 0.4
"""The smallest training split that is advised."""


@dataclass(frozen=True)
class Split:
    """The images of each split."""

    train: tuple[Example, ...]
    valid: tuple[Example, ...]
    test: tuple[Example, ...]
    warnings: tuple[str, ...] = field(default=())
    scarcity: tuple[str, ...] = field(default=())
    """The warnings about splits that are too small to measure a label; they are among `warnings`."""

    @property
    def lasting(self) -> tuple[str, ...]:
        """The warnings that hold however large the splits are."""
        return tuple(warning for warning in self.warnings if warning not in self.scarcity)

    @property
    def parts(self) -> dict[str, tuple[Example, ...]]:
        """The splits by name."""
        return {"train": self.train, "valid": self.valid, "test": self.test}


def split(dataset: Dataset, shares: Shares, seed: int) -> Split:
    """Divide a dataset; each group is in one split. The same seed gives the same splits.

    Groups are assigned from the largest to the smallest, each to the split that lacks most of its images and labels
    (after Sechidis et al. 2011, doi 10.1007/978-3-642-23808-6_10). Of many tries, the one that comes nearest to the
    shares of every label is used. Groups that contain the same file are merged. If there are fewer groups than splits,
    the images are cut into runs of neighbours. Both cause a warning.

    Raises:
        DatasetError: there are fewer images than splits.
    """
    if len(dataset.examples) < len(PARTS):
        raise DatasetError([f"{len(dataset.examples)} image(s) can't be split into {', '.join(PARTS)}: label more"])
    found = _divide(dataset, shares, seed)
    nothing = unlearnable(dataset.label_names, [example.labels for example in dataset.examples])
    columns = [column for column, name in enumerate(dataset.label_names) if name not in nothing]
    names = [dataset.label_names[column] for column in columns]
    scarce_parts = []
    for part, examples in found.parts.items():
        if scarce := few(names, [[example.labels[column] for column in columns] for example in examples]):
            scarce_parts.append(f"{part} has too few images with or without {scarce} to measure them well")
    advice = _advice(dataset, found, shares, seed) if scarce_parts else []
    warnings = unlearnable_warnings(dataset.label_names, [example.labels for example in dataset.examples])
    scarcity = (*scarce_parts, *advice)
    return replace(found, warnings=(*dataset.warnings, *found.warnings, *warnings, *scarcity), scarcity=scarcity)


def folds(examples: Sequence[Example], seed: int) -> NDArray[np.int64]:
    """Return the fold of each image; each group is in one fold, and folds have equal shares of every label.

    There are `FOLDS` folds, or as many as there are groups, if these are fewer. Groups are assigned as by `split`.
    """
    groups, _ = _groups(examples)
    count = min(FOLDS, len(groups))
    parts = _best_of(groups, np.full(count, 1 / count), np.random.default_rng(seed))
    fold_of = {example.name: fold for fold, part in enumerate(parts) for index in part for example in groups[index]}
    return np.array([fold_of[example.name] for example in examples], np.int64)


def tables(parts: Split, label_names: Sequence[str]) -> dict[str, bytes]:
    """Return ``train.csv``, ``valid.csv`` and ``test.csv``: the names and labels of the images of each split."""
    return {
        f"{part}.csv": table_bytes(
            (IMAGE_COLUMN, *label_names), [(example.name, *example.labels) for example in examples]
        )
        for part, examples in parts.parts.items()
    }


def _divide(dataset: Dataset, shares: Shares, seed: int) -> Split:
    """Divide a dataset; warn only of too few groups."""
    groups, warnings = _groups(dataset.examples)
    parts = _best_of(groups, np.array([shares.train, shares.valid, shares.test]), np.random.default_rng(seed))
    train, valid, test = (tuple(example for index in sorted(part) for example in groups[index]) for part in parts)
    return Split(train, valid, test, tuple(warnings))


def _groups(examples: Sequence[Example]) -> tuple[list[list[Example]], list[str]]:
    joined, warnings = _joined(examples)
    together: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        together[joined[example.group]].append(example)
    if len(together) >= len(PARTS):
        return list(together.values()), warnings
    cuts = np.array_split(np.arange(len(examples)), RUNS)
    runs = [[examples[index] for index in run] for run in cuts if len(run)]
    return runs, [
        *warnings,
        f"{len(together)} group(s) can't be split into {', '.join(PARTS)}: neighbouring images may be on both sides, "
        "and the evaluation flatters; add images of other parts, batches or videos",
    ]


def _joined(examples: Sequence[Example]) -> tuple[dict[str, str], list[str]]:
    """Merge groups that contain the same file: return the representative of each group, and a warning."""
    representative = {example.group: example.group for example in examples}

    def find(group: str) -> str:
        while representative[group] != group:
            representative[group] = group = representative[representative[group]]
        return group

    first: dict[str, Example] = {}
    copies = []
    for example in examples:
        original = first.setdefault(example.digest or example.name, example)
        if original.group != example.group:
            copies.append((example.name, original.name))
            representative[find(example.group)] = find(original.group)
    merged = {group: find(group) for group in representative}
    if not copies:
        return merged, []
    named = ", ".join(f"{copy} of {name}" for copy, name in copies[:NAMED]) + (", …" if copies[NAMED:] else "")
    return merged, [
        f"{len(copies)} image(s) are copies of one of another group ({named}), and the groups of both are taken for "
        "one: remove copies, which count as often as they are there"
    ]


def _best_of(groups: list[list[Example]], shares: NDArray[np.float64], rng: np.random.Generator) -> list[list[int]]:
    """Assign the groups in many orders; return the indices of each split's groups for the best order."""
    brings = np.array([_weight(group) for group in groups], np.float64)
    attempts = max(FEWEST_ATTEMPTS, ASSIGNMENTS // len(groups))
    found = [_assign(brings, shares, rng) for _ in range(attempts)]
    return min(found, key=lambda tried: tried[0])[1]


def _assign(
    brings: NDArray[np.float64], shares: NDArray[np.float64], rng: np.random.Generator
) -> tuple[float, list[list[int]]]:
    """Assign large groups first, each to the split that lacks most of it. Return the error and the splits.

    Args:
        brings: (groups, quantities), see `_weight`.
        shares: (splits,).
        rng: shuffles groups of similar size.
    """
    wanted = np.maximum(shares[:, np.newaxis] * brings.sum(axis=0), 1e-9)
    got = np.zeros_like(wanted)
    parts: list[list[int]] = [[] for _ in shares]
    sizes = brings[:, 0] * rng.uniform(0.6, 1.4, len(brings))
    for index in np.argsort(-sizes):
        gain = (((got - wanted) ** 2 - (got + brings[index] - wanted) ** 2) / wanted).sum(axis=1)
        chosen = int(np.argmax(gain))
        parts[chosen].append(int(index))
        got[chosen] += brings[index]
    for empty in (number for number, part in enumerate(parts) if not part):
        largest = max(range(len(parts)), key=lambda number: len(parts[number]))
        moved = parts[largest].pop()
        parts[empty].append(moved)
        got[largest] -= brings[moved]
        got[empty] += brings[moved]
    return float(((got - wanted) ** 2 / wanted).sum()), parts


def _weight(group: list[Example]) -> list[int]:
    """Return the number of images of a group, and the number with each label."""
    return [len(group), *np.sum([example.labels for example in group], axis=0)]


def _advice(dataset: Dataset, found: Split, shares: Shares, seed: int) -> list[str]:
    """Advise shares with which every split can measure the labels that the whole dataset can measure.

    Empty if the given split measures them already: no shares help against the labels that are scarce in it.
    """
    counts = np.sum([example.labels for example in dataset.examples], axis=0)
    rarer = np.minimum(counts, len(dataset.examples) - counts)
    columns = [column for column, count in enumerate(rarer) if count >= len(PARTS) * FEW]
    if not columns or _measures(found, columns):
        return []
    least = FEW / min(rarer[column] for column in columns)
    for slack in SLACK:
        asked = _raised(shares, least * slack)
        if asked and asked != shares and _measures(_divide(dataset, asked, seed), columns):
            names = ", ".join(dataset.label_names[column] for column in columns)
            return [
                f"ask for shares {asked} (option shares, --split): valid and test then have {FEW} images with and "
                f"without {names}, as a promotion asks for in test"
            ]
    return []


def _raised(shares: Shares, least: float) -> Shares | None:
    """Return shares whose valid and test are at least ``least``; None if too little would be left to train on."""
    valid, test = (max(share, ceil(100 * least) / 100) for share in (shares.valid, shares.test))
    if (valid, test) == (shares.valid, shares.test):
        return shares
    train = round(1 - valid - test, SHARE_DIGITS)
    return Shares(train=train, valid=valid, test=test) if train >= LEAST_TRAIN else None


def _measures(found: Split, columns: list[int]) -> bool:
    """Return whether valid and test have enough images with and without some labels."""
    for part in (found.valid, found.test):
        true = np.sum([example.labels for example in part], axis=0)[columns]
        if min(true.min(), (len(part) - true).min()) < FEW:
            return False
    return True
