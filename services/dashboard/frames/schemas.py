"""What the API says about frames."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Self

from pydantic import BaseModel, Field

from services.dashboard.frames.repository import KnownFrame
from services.dashboard.web.paging import Next
from shared.messages import FrameExplained, Verdict

Trust = Mapping[tuple[str, bool], bool | None]
"""Of the heatmaps of a label towards its presence or its absence, by the evaluation of the model that made them."""
NOT_MEASURED: Final[Trust] = MappingProxyType({})


class FindingView(BaseModel):
    """What was found about one label."""

    score: float = Field(description="probability, 0 to 1")
    threshold: float
    present: bool
    unsure: bool
    fault: bool = Field(description="this label made the frame NG: by its presence, or by its absence")


class HeatmapView(BaseModel):
    """Where the model looked for one label."""

    url: str = Field(description="8-bit grey PNG of the image's size; 255 is the hottest")
    towards: bool = Field(description="true: evidence for the label; false: for its absence")
    peak: tuple[int, int] | None = Field(description="x, y in pixels")
    box: tuple[int, int, int, int] | None = Field(description="x, y, width, height of the hot region in pixels")
    trustworthy: bool | None = Field(
        None,
        description="whether maps of this label in this direction point at the thing, by the model's evaluation; null: "
        "not measured",
    )


class FrameView(BaseModel):
    """One frame: the verdict, and the proof of it."""

    frame_id: str
    line: str
    camera: str
    batch: str | None
    part: str | None
    captured_at: datetime
    verdict: Verdict
    reason: str
    flagged: bool
    faults: list[str] = Field(description="labels that made the frame NG")
    unsure: list[str] = Field(description="labels whose score is near its threshold")
    findings: dict[str, FindingView]
    recipe: str
    model_version: str
    inspected_at: datetime
    latency_ms: float
    image_url: str | None = Field(description="null when the image was not kept")
    overlay_url: str | None
    heatmaps: dict[str, HeatmapView]
    explained: bool = Field(description="the explainer has answered")
    explanation: str = Field(description="by which method, or why there are no heatmaps")
    explained_at: datetime | None = Field(description="null while the explainer has not answered")

    @classmethod
    def of(cls, frame: KnownFrame, trust: Trust = NOT_MEASURED) -> Self:
        """A known frame as the API shows it."""
        verdict, explanation = frame.verdict, frame.explanation
        identity, folder = verdict.frame, f"/api/frames/{verdict.frame.frame_id}"
        return cls(
            **identity.model_dump(include={"frame_id", "line", "camera", "batch", "part", "captured_at"}),
            **verdict.model_dump(include={"verdict", "reason", "flagged", "recipe", "model_version", "latency_ms"}),
            inspected_at=verdict.at,
            faults=[label for label, found in verdict.findings.items() if found.fault],
            unsure=[label for label, found in verdict.findings.items() if found.unsure],
            findings={label: FindingView(**found.model_dump()) for label, found in verdict.findings.items()},
            image_url=f"{folder}/image" if verdict.image_key else None,
            overlay_url=f"{folder}/overlay" if explanation and explanation.overlay_key else None,
            heatmaps=_heatmaps(explanation, folder, trust),
            explained=explanation is not None,
            explanation=(explanation.reason or explanation.method) if explanation else "",
            explained_at=explanation.at if explanation else None,
        )


class ExplanationState(StrEnum):
    """Where the heatmaps of a frame are."""

    READY = "ready"
    UNDER_WAY = "under way"


class ExplanationView(BaseModel):
    """The heatmaps of a frame, or that they are being made."""

    frame_id: str
    state: ExplanationState
    method: str
    reason: str = Field(description="why there are no heatmaps; empty when there are")
    heatmaps: dict[str, HeatmapView]
    overlay_url: str | None
    frame_url: str = Field(description="where they are as soon as they are made")

    @classmethod
    def of(cls, frame: KnownFrame, state: ExplanationState, trust: Trust = NOT_MEASURED) -> Self:
        """What is known of a frame's heatmaps."""
        view, explanation = FrameView.of(frame, trust), frame.explanation
        return cls(
            frame_id=view.frame_id,
            state=state,
            method=explanation.method if explanation else "",
            reason=explanation.reason if explanation else "",
            heatmaps=view.heatmaps,
            overlay_url=view.overlay_url,
            frame_url=f"/api/frames/{view.frame_id}",
        )


class FramePage(BaseModel):
    """Frames, newest first, and where the next page starts."""

    frames: list[FrameView]
    next: Next


def _heatmaps(explanation: FrameExplained | None, folder: str, trust: Trust) -> dict[str, HeatmapView]:
    if explanation is None:
        return {}
    return {
        label: HeatmapView(
            url=f"{folder}/heatmaps/{label}",
            **heatmap.model_dump(include={"towards", "peak", "box"}),
            trustworthy=trust.get((label, heatmap.towards)),
        )
        for label, heatmap in explanation.heatmaps.items()
    }
