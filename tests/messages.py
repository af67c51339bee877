"""Messages for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shared.messages import (
    FrameCaptured,
    FrameIdentity,
    FrameInspected,
    ModelPromoted,
    TrainingRequested,
    Verdict,
    frame_id,
)

SESSION = "01HZX3V8Q4J7M2T6N9R5W0Y1KB"
MOMENT = datetime(2026, 1, 31, 12, 30, 15, 250_000, UTC)


def identity(sequence: int = 0, **fields: Any) -> FrameIdentity:
    return FrameIdentity(
        **{
            "frame_id": frame_id(SESSION, sequence),
            "line": "line-1",
            "camera": "camera-1",
            "captured_at": MOMENT,
            **fields,
        }
    )


def captured(sequence: int = 0, picture: bytes = b"\xff\xd8 a picture") -> FrameCaptured:
    return FrameCaptured(frame=identity(sequence), encoding="jpeg", width=8, height=8, picture=picture)


def inspected(sequence: int = 0, *, flagged: bool = False) -> FrameInspected:
    return FrameInspected(
        frame=identity(sequence),
        verdict=Verdict.NG if flagged else Verdict.OK,
        reason="break" if flagged else "no fault",
        flagged=flagged,
        recipe="seam",
        model_version="v1",
        inspected_at=MOMENT,
        latency_ms=12.5,
        picture_key=f"{identity(sequence).storage_key}/picture.jpg" if flagged else None,
    )


def promoted(version: str = "v2") -> ModelPromoted:
    return ModelPromoted(
        promotion_id=f"promotion-of-{version}",
        recipe="seam",
        model_version=version,
        previous_version=None,
        reason="better",
        promoted_by="a test",
        promoted_at=MOMENT,
    )


def training_requested(training_id: str = "training-1") -> TrainingRequested:
    return TrainingRequested(
        training_id=training_id, recipe="seam", dataset="datasets/seam", requested_by="a test", requested_at=MOMENT
    )
