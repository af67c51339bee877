"""Order the frames of a line by how much a label of them teaches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.dashboard.labelling.annotations.annotation import InspectedFrame, Labels
from shared.language import fixed, gettext

NEIGHBOUR_SECONDS: Final = 5.0
"""Frames of one camera within this time are taken to show the same part, if no part is named."""


@dataclass(frozen=True)
class SuggestedFrame:
    """A frame, and the reason why a person should look at it."""

    inspected: InspectedFrame
    label: str
    """The label that the reason is about."""
    rank: float
    """Lower ranks come first."""
    reason: str

    @property
    def frame(self) -> str:
        return self.inspected.frame.frame_id


def part_of(inspected: InspectedFrame) -> tuple[str, ...]:
    """Return what a frame shows: several frames of one part teach little more than one of them."""
    frame = inspected.frame
    if frame.part:
        return frame.line, "part", frame.batch or "", frame.part
    window = int(frame.captured_at.timestamp() // NEIGHBOUR_SECONDS)
    return frame.line, frame.camera, frame.frame_id.partition("-")[0], str(window)


def by_uncertainty(frames: Iterable[InspectedFrame]) -> list[SuggestedFrame]:
    """Order frames by the distance of their scores from the thresholds, nearest first, spread over parts and labels.

    The least certain frame of each part comes in the first round, the next one in the second round; within a round the
    labels take turns, so that neither ten neighbours of one part nor one difficult label fill the queue. (Uncertainty
    sampling: Lewis and Gale 1994, doi 10.1007/978-1-4471-2099-5_1.)
    """
    candidates = []
    for inspected in frames:
        if not inspected.findings:
            continue
        label, found = min(inspected.findings.items(), key=lambda item: abs(item[1].score - item[1].threshold))
        reason = gettext(
            "%(label)s %(score)s, threshold %(threshold)s",
            label=label,
            score=fixed(found.score, 2),
            threshold=fixed(found.threshold, 2),
        )
        candidates.append(SuggestedFrame(inspected, label, abs(found.score - found.threshold), reason))
    candidates.sort(key=lambda each: each.rank)
    seen_of_part: dict[tuple[str, ...], int] = defaultdict(int)
    turns: dict[tuple[int, str], int] = defaultdict(int)
    places = {}
    for candidate in candidates:
        part = part_of(candidate.inspected)
        turn = seen_of_part[part], candidate.label
        places[candidate.frame] = (seen_of_part[part], turns[turn], candidate.rank)
        seen_of_part[part] += 1
        turns[turn] += 1
    return sorted(candidates, key=lambda each: places[each.frame])


def by_disagreement(frames: Sequence[tuple[InspectedFrame, Labels]]) -> list[SuggestedFrame]:
    """Order the frames that people labelled otherwise than the model, the most certain model first.

    Args:
        frames: each frame with the labels that people gave it.
    """
    candidates = []
    for inspected, labels in frames:
        margins = {
            name: abs(found.score - found.threshold)
            for name, found in inspected.findings.items()
            if name in labels and labels[name] is not found.present
        }
        if margins:
            label, margin = max(margins.items(), key=lambda item: item[1])
            found = inspected.findings[label]
            score = fixed(found.score, 2)
            reason = (
                gettext(
                    "%(label)s: the model found it present (%(score)s), a person labelled otherwise",
                    label=label,
                    score=score,
                )
                if found.present
                else gettext(
                    "%(label)s: the model found it absent (%(score)s), a person labelled otherwise",
                    label=label,
                    score=score,
                )
            )
            candidates.append(SuggestedFrame(inspected, label, -margin, reason))
    return sorted(candidates, key=lambda each: each.rank)
