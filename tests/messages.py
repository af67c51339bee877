"""Messages for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from shared.messages import (
    FrameCaptured,
    FrameIdentity,
    FrameInspected,
    Message,
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


def captured(sequence: int = 0, image: bytes = b"\xff\xd8 an image") -> FrameCaptured:
    return FrameCaptured(frame=identity(sequence), encoding="jpeg", width=8, height=8, image=image)


def inspected(sequence: int = 0, *, flagged: bool = False) -> FrameInspected:
    return FrameInspected(
        frame=identity(sequence),
        verdict=Verdict.NG if flagged else Verdict.OK,
        reason="break" if flagged else "no fault",
        flagged=flagged,
        recipe="seam",
        model_version="v1",
        at=MOMENT,
        latency_ms=12.5,
        image_key=f"{identity(sequence).storage_key}/image.jpg" if flagged else None,
    )


def promoted(version: str = "v2") -> ModelPromoted:
    return ModelPromoted(
        promotion_id=f"promotion-of-{version}",
        recipe="seam",
        model_version=version,
        previous_version=None,
        reason="better",
        by="a test",
        at=MOMENT,
    )


def training_requested(training_id: str = "training-1") -> TrainingRequested:
    return TrainingRequested(training_id=training_id, recipe="seam", dataset="datasets/seam", by="a test", at=MOMENT)


DEEP = b"[" * 100_000 + b"]" * 100_000
FOREIGN = {
    "deep": b'{"type":"FrameInspected","version":1,"x":' + DEEP + b"}\n",
    "endless": b'{"type":"FrameInspected","version":1,"x":"' + b"a" * 2 * 1024 * 1024 + b'"}\n',
    "long type": b'{"type":"' + b"a" * 500_000 + b'","version":1}\n',
    "long version": b'{"type":"FrameInspected","version":' + b"1" * 5_000 + b"}\n",
    "version as wide as it goes": b'{"type":"FrameInspected","version":' + b"1" * 4_200 + b"}\n",
    "not a number": b'{"type":"FrameInspected","version":1,"x":NaN}\n',
    "lone surrogate": b'{"type":"FrameInspected","version":1,"reason":"\\ud800"}\n',
    "no UTF-8": b'{"type":"FrameInspected","version":1,"reason":"\xff"}\n',
    "UTF-16": '{"type":"FrameInspected","version":1}\n'.encode("utf-16"),
    "cut off": b'{"type":"FrameInspected","version":1,"x":[1,\n',
    "no object": b"[]\n",
    "nothing": b"",
}
"""Bytes that a sender with a bug, or with bad intent, may put into a queue."""


@contextmanager
def encoded_as(kind: type[Message], body: bytes) -> Iterator[None]:
    """Messages of a kind travel as these bytes, whatever they say."""
    with patch.object(kind, "encode", lambda _: body):
        yield
