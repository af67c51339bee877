"""Which frames of the line are worth a person's time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.dashboard.labelling.annotations.annotation import Judged, Labels

NEIGHBOUR_SECONDS: Final = 5.0
"""Frames of one camera within so long are taken to show the same piece, where nobody said which part they show."""


@dataclass(frozen=True)
class Candidate:
    """A frame, and why it is in the queue."""

    judged: Judged
    label: str
    """The one that it is about."""
    rank: float
    """The lower, the sooner."""
    why: str

    @property
    def frame(self) -> str:
        """Its key."""
        return self.judged.frame.frame_id


def piece_of(judged: Judged) -> tuple[str, ...]:
    """What a frame shows: frames of the same piece are neighbours, and teach little more than one of them."""
    frame = judged.frame
    if frame.part:
        return frame.line, "part", frame.batch or "", frame.part
    window = int(frame.captured_at.timestamp() // NEIGHBOUR_SECONDS)
    return frame.line, frame.camera, frame.frame_id.partition("-")[0], str(window)


def by_uncertainty(frames: Iterable[Judged]) -> list[Candidate]:
    """Frames whose scores are near their thresholds, the nearest first, spread over pieces and labels.

    Of each piece the least sure frame comes in the first round, the next one in the second; within a round the labels
    take turns, so that neither ten neighbours of one part nor one difficult label fill the queue. (Uncertainty
    sampling: Lewis and Gale 1994, doi 10.1007/978-1-4471-2099-5_1.)
    """
    found = sorted((_least_sure(judged) for judged in frames if judged.findings), key=lambda each: each.rank)
    seen: dict[tuple[str, ...], int] = defaultdict(int)
    turns: dict[tuple[int, str], int] = defaultdict(int)
    places = {}
    for candidate in found:
        piece = piece_of(candidate.judged)
        turn = seen[piece], candidate.label
        places[candidate.frame] = (seen[piece], turns[turn], candidate.rank)
        seen[piece] += 1
        turns[turn] += 1
    return sorted(found, key=lambda each: places[each.frame])


def _least_sure(judged: Judged) -> Candidate:
    label, found = min(judged.findings.items(), key=lambda item: abs(item[1].score - item[1].threshold))
    distance = abs(found.score - found.threshold)
    return Candidate(judged, label, distance, f"{label} {found.score:.2f}, threshold {found.threshold:.2f}")


def by_disagreement(frames: Sequence[tuple[Judged, Labels]]) -> list[Candidate]:
    """Labelled frames of which the model said otherwise, the surest of the model first.

    Args:
        frames: what the line said of each, and what holds by people.
    """
    found = []
    for judged, labels in frames:
        surest = _contradicted(judged, labels)
        if surest:
            label, margin = surest
            model = "has it" if judged.findings[label].present else "has it not"
            why = f"{label}: the model says it {model} ({judged.findings[label].score:.2f}), labelled otherwise"
            found.append(Candidate(judged, label, -margin, why))
    return sorted(found, key=lambda each: each.rank)


def _contradicted(judged: Judged, labels: Mapping[str, bool]) -> tuple[str, float] | None:
    """The label about which a person contradicts the model, and how sure that was."""
    margins = {
        name: abs(found.score - found.threshold)
        for name, found in judged.findings.items()
        if name in labels and labels[name] is not found.present
    }
    return max(margins.items(), key=lambda item: item[1]) if margins else None
