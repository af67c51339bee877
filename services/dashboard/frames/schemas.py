"""The requests and answers of the API about frames."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from services.dashboard.frames.repository import StoredFrame
from services.dashboard.web.paging import Next
from shared.label_names import label_slug
from shared.messages import FrameIdentity, Verdict

Trust = Mapping[tuple[str, bool], bool | None]
"""Whether heatmaps can be trusted: by their label and direction (true: for the label), by the model's evaluation."""
NOT_MEASURED: Final[Trust] = MappingProxyType({})


class FindingView(BaseModel):
    """One label of a frame."""

    score: float = Field(description="probability, 0 to 1")
    threshold: float
    present: bool
    unsure: bool
    fault: bool = Field(description="this label made the frame NG: by its presence, or by its absence")


class HeatmapView(BaseModel):
    """The heatmap of one label."""

    url: str = Field(
        description="8-bit grey PNG to be stretched over the image, of the size of the network's input or of a smaller "
        "image; the peak is 0 for a rarity of 0.05 or more, 255 for 0.001 or without a rarity, and linear in its "
        "logarithm between"
    )
    for_label: bool = Field(description="true: evidence for the label; false: evidence against it")
    peak: tuple[int, int] | None = Field(
        description="x, y in pixels of the image of the strongest evidence, be it rare or not; null if there is none"
    )
    box: tuple[int, int, int, int] | None = Field(
        description="x, y, width, height of the hot region, in pixels of the image"
    )
    rarity: float | None = Field(
        None,
        description="share of good images with as much evidence, 0.001 to 0.05; 1: more, so the map is empty; null: "
        "not known, because too few good images were held out, and the heat of two images can't be compared",
    )
    trustworthy: bool | None = Field(
        None,
        description="whether heatmaps of this label in this direction are trustworthy, by the model's evaluation; "
        "null: not measured",
    )


class FrameView(BaseModel):
    """One frame: its verdict, scores and images."""

    frame_id: str
    line: str
    camera: str
    batch: str | None
    part: str | None
    order: str | None
    operator: str | None
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
    image_url: str | None = Field(description="null if the image was not stored")
    overlay_url: str | None
    heatmaps: dict[str, HeatmapView]
    explained: bool = Field(description="whether the explainer has answered")
    explanation: str = Field(description="the method of the heatmaps, or why there are none")
    explained_at: datetime | None = Field(description="null until the explainer has answered")

    @classmethod
    def of(cls, frame: StoredFrame, trust: Trust = NOT_MEASURED) -> Self:
        """Return a stored frame in the form of the API."""
        verdict, explanation = frame.verdict, frame.explanation
        identity, folder = verdict.frame, f"/api/frames/{verdict.frame.frame_id}"
        return cls(
            **identity.model_dump(
                include={"frame_id", "line", "camera", "batch", "part", "order", "operator", "captured_at"}
            ),
            **verdict.model_dump(include={"verdict", "reason", "flagged", "recipe", "model_version", "latency_ms"}),
            inspected_at=verdict.at,
            faults=[label for label, found in verdict.findings.items() if found.fault],
            unsure=[label for label, found in verdict.findings.items() if found.unsure],
            findings={label: FindingView(**found.model_dump()) for label, found in verdict.findings.items()},
            image_url=f"{folder}/image" if verdict.image_key else None,
            overlay_url=f"{folder}/overlay" if explanation and explanation.overlay_key else None,
            heatmaps={
                label: HeatmapView(
                    url=f"{folder}/heatmaps/{label_slug(label)}",
                    **heatmap.model_dump(include={"for_label", "peak", "box", "rarity"}),
                    trustworthy=trust.get((label, heatmap.for_label)),
                )
                for label, heatmap in (explanation.heatmaps.items() if explanation else ())
            },
            explained=explanation is not None,
            explanation=(explanation.reason or explanation.method) if explanation else "",
            explained_at=explanation.at if explanation else None,
        )


class ExplanationState(StrEnum):
    """How far the heatmaps of a frame are."""

    READY = "ready"
    UNDER_WAY = "under way"


class ExplanationView(BaseModel):
    """The heatmaps of a frame, or the state of their request."""

    frame_id: str
    state: ExplanationState
    method: str
    reason: str = Field(description="why there are no heatmaps; empty if there are")
    heatmaps: dict[str, HeatmapView]
    overlay_url: str | None
    frame_url: str = Field(description="the address of the frame, which has the heatmaps once they are made")

    @classmethod
    def of(cls, frame: StoredFrame, state: ExplanationState, trust: Trust = NOT_MEASURED) -> Self:
        """Return the heatmaps of a stored frame in the form of the API."""
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
    """A page of frames."""

    frames: list[FrameView]
    next: Next
    complete: bool = Field(
        True, description="false: an order by score is that of the newest 5,000 frames of the time alone"
    )


class MarkRequest(BaseModel):
    """The request of a mark."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"note": "a shadow, no break"}})

    note: str = Field("", max_length=500)


class Mark(BaseModel):
    """A frame whose verdict a person calls wrong."""

    frame: FrameIdentity
    verdict: Verdict = Field(description="the verdict that is called wrong")
    recipe: str
    model_version: str
    image_key: str | None = Field(description="key in object storage; null if the image was not stored")
    note: str
    marked_by: str
    marked_at: AwareDatetime

    @model_validator(mode="after")
    def _key_is_of_the_frame(self) -> Self:
        if self.image_key is not None and not self.frame.owns(self.image_key):
            raise ValueError(f"{self.image_key[:80]!r} is not below {self.frame.storage_key}/")
        return self


class MarkList(BaseModel):
    """The marks by capture time, newest first."""

    marks: list[Mark]
