"""Makes the messages that a dashboard takes in, as inference, explainer and camera would send them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ulid import ULID

from shared.label_names import label_slug
from shared.messages import (
    CameraReported,
    CameraState,
    Finding,
    FrameExplained,
    FrameIdentity,
    FrameInspected,
    Heatmap,
    PartAction,
    PartDecided,
    PartVerdict,
    Verdict,
    frame_id,
)

LABELS = ("good", "error", "break", "length")

RECIPE = """
name: seam
task: multi-label
labels:
  good: {key: g, colour: white, role: quality}
  error: {key: e, colour: blue, role: defect}
  break: {key: b, colour: green, role: defect}
  length: {key: l, colour: red, role: attribute}
"""


class Line:
    """One line with one camera: frames in their sequence, each ok unless a fault is asked for."""

    def __init__(self, name: str = "line-1", camera: str = "camera-1", start: datetime | None = None) -> None:
        self.name = name
        self.camera = camera
        self.session = str(ULID())
        self.sequence = 0
        self.start = start or datetime.now(UTC)

    def verdict(self, fault: str | None = None, *, after: float | None = None, **changes: object) -> FrameInspected:
        """The verdict on the next frame, captured ``after`` seconds (one twenty-fifth each, if None)."""
        seconds = self.sequence / 25 if after is None else after
        captured = self.start + timedelta(seconds=seconds)
        frame = FrameIdentity(
            frame_id=frame_id(self.session, self.sequence),
            line=self.name,
            camera=self.camera,
            batch="batch-7",
            captured_at=captured,
        )
        self.sequence += 1
        verdict = FrameInspected(
            frame=frame,
            verdict=Verdict.NG if fault else Verdict.OK,
            reason=fault or "no fault",
            findings=findings(fault),
            flagged=bool(fault),
            recipe="seam",
            model_version="model-1",
            at=captured + timedelta(milliseconds=80),
            latency_ms=80.0,
            image_key=f"{frame.storage_key}/image.jpg" if fault else None,
        )
        return verdict.model_copy(update=changes)

    def verdicts(self, count: int, seed: int = 1) -> Iterator[FrameInspected]:
        """Yield a number of verdicts; about every tenth is NG."""
        dice = random.Random(seed)
        for _ in range(count):
            yield self.verdict(dice.choice(("break", "error")) if dice.random() < 0.1 else None)

    def report(self, state: CameraState = CameraState.RUNNING, **changes: object) -> CameraReported:
        """What the camera says after the frames so far."""
        report = CameraReported(
            session=self.session,
            line=self.name,
            camera=self.camera,
            state=state,
            captured=self.sequence,
            dropped=0,
            waiting=0,
            frames_per_second=25.0,
            at=datetime.now(UTC),
        )
        return report.model_copy(update=changes)


def findings(fault: str | None) -> dict[str, Finding]:
    """Scores of the four labels of a seam: the fault is present, and so is good where there is none."""
    present = {"good": fault is None, "length": True, fault: True}
    return {
        label: Finding(
            score=0.93 if present.get(label) else 0.04,
            threshold=0.5,
            present=present.get(label, False),
            fault=label == fault or (label == "good" and fault is not None),
        )
        for label in LABELS
    }


def decision_of(verdict: FrameInspected, **changes: object) -> PartDecided:
    """The decision about a part that this frame alone shows."""
    is_ng = verdict.verdict is Verdict.NG
    decision = PartDecided(
        part=verdict.frame.frame_id,
        frame=verdict.frame,
        verdict=PartVerdict.NG if is_ng else PartVerdict.OK,
        action=PartAction.REJECT if is_ng else PartAction.PASS,
        reason=verdict.reason,
        frames=(verdict.frame.frame_id,),
        recipe=verdict.recipe,
        model_versions=(verdict.model_version,),
        latency_ms=120,
        at=verdict.at,
    )
    return decision.model_copy(update=changes)


def explanation_of(verdict: FrameInspected) -> FrameExplained:
    """The heatmaps of a verdict's faults."""
    folder = verdict.frame.storage_key
    faults = [label for label, found in verdict.findings.items() if found.fault]
    return FrameExplained(
        frame=verdict.frame,
        model_version=verdict.model_version,
        method="grad-cam",
        heatmaps={
            label: Heatmap(
                key=f"{folder}/heatmap.{label_slug(label)}.png",
                for_label=label != "good",
                peak=(40, 30),
                box=(30, 20, 20, 20),
                rarity=0.004 if label != "good" else 1,
            )
            for label in faults
        },
        overlay_key=f"{folder}/overlay.jpg",
        at=verdict.at + timedelta(milliseconds=300),
    )
