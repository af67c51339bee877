"""Decide about a part from the verdicts on its frames, by the recipe's section ``parts``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from shared.messages import FrameInspected, PartAction, PartVerdict, Verdict
from shared.recipe import Label, Parts, Recipe
from shared.verdict import judge


@dataclass(frozen=True)
class Plan:
    """How the frames of a line become parts, and the recipe by which they were inspected."""

    parts: Parts
    recipe: Recipe
    version: str
    """The model version that has the recipe."""


@dataclass(frozen=True)
class Ruling:
    """The verdict on a part, the action of the line, and the reason."""

    verdict: PartVerdict
    action: PartAction
    reason: str
    faults: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)


def rule(plan: Plan, frames: Sequence[FrameInspected], missing: int) -> Ruling:
    """Decide about a part.

    If the inspected frames make the part NG by the rule, it is NG, also when other frames are missing.

    Args:
        plan: the rule, and the labels with their roles and thresholds.
        frames: the verdicts that arrived before the deadline, in any order.
        missing: the number of frames of the part that were not inspected in time.
    """
    conclusive = sorted((frame for frame in frames if frame.verdict is not Verdict.ERROR), key=_place)
    scores = _scores(plan, conclusive)
    faults, reason = _faults(plan, conclusive, scores)
    if faults is not None:
        return Ruling(PartVerdict.NG, PartAction.REJECT, reason, faults, scores)
    unreadable = len(frames) - len(conclusive)
    if missing or unreadable or not conclusive:
        causes = [f"{missing} missing or late"] * bool(missing) + [f"{unreadable} unreadable"] * bool(unreadable)
        reason = f"not inspected: of {len(frames) + missing} frames {' and '.join(causes) or 'none came'}"
        return Ruling(PartVerdict.NOT_INSPECTED, PartAction(plan.parts.not_inspected), reason, (), scores)
    return Ruling(PartVerdict.OK, PartAction.PASS, "no fault", (), scores)


def _place(frame: FrameInspected) -> tuple[str, str]:
    return frame.frame.camera, frame.frame.frame_id


def _scores(plan: Plan, frames: Sequence[FrameInspected]) -> dict[str, float]:
    """Return one score per label: the mean over the frames if the rule is ``mean``, else the worst frame's score."""
    scores: dict[str, float] = {}
    for label in plan.recipe.labels:
        of_frames = [frame.findings[label.name].score for frame in frames if label.name in frame.findings]
        if of_frames:
            scores[label.name] = fmean(of_frames) if plan.parts.rule == "mean" else _worst(label, of_frames)
    return scores


def _worst(label: Label, scores: Sequence[float]) -> float:
    return min(scores) if label.is_fault_if_absent else max(scores)


def _faults(
    plan: Plan, frames: Sequence[FrameInspected], scores: Mapping[str, float]
) -> tuple[tuple[str, ...] | None, str]:
    """Return the labels that make the part NG, and the reason; None and no reason if the frames do not make it NG."""
    ng = [frame for frame in frames if frame.verdict is Verdict.NG]
    named = tuple(
        label
        for label in plan.recipe.label_names
        if any(frame.findings[label].fault for frame in ng if label in frame.findings)
    )
    because = f": {', '.join(named)}" if named else ""
    match plan.parts.rule:
        case "worst" | "mean":
            if len(scores) < len(plan.recipe.labels):
                return None, ""
            judged = judge(plan.recipe, [scores[label] for label in plan.recipe.label_names])
            if judged.verdict is not Verdict.NG:
                return None, ""
            faults = tuple(label for label, finding in judged.findings.items() if finding.fault)
            return faults, f"{plan.parts.rule} score of {len(frames)} frames: {judged.reason}"
        case "row":
            longest = _longest_row(frames)
            return (
                (named, f"{longest} NG frames in a row{because}")
                if longest >= (plan.parts.at_least or 1)
                else (None, "")
            )
        case _:
            is_ng = len(ng) >= (plan.parts.at_least or 1)
            return (named, f"{len(ng)} of {len(frames)} frames are NG{because}") if is_ng else (None, "")


def _longest_row(frames: Sequence[FrameInspected]) -> int:
    """Return the length of the longest row of NG frames of one camera, in the order of their capture."""
    longest, rows = 0, defaultdict[str, int](int)
    for frame in frames:
        rows[frame.frame.camera] = rows[frame.frame.camera] + 1 if frame.verdict is Verdict.NG else 0
        longest = max(longest, rows[frame.frame.camera])
    return longest
