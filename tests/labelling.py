"""What tests of labelling share: image files that bear numbers, records, and uploads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from ulid import ULID

from services.dashboard.labelling.annotations.annotation import Judged, Labels, Reading, Record
from shared.imaging.codec import decode, encode
from shared.messages import Finding, FrameIdentity
from tests.camera_videos import image_of, number_of
from tests.verdicts import LABELS, RECIPE

BEGAN = datetime.now(UTC).replace(second=0, microsecond=0)


def jpeg(number: int) -> bytes:
    """An image file that bears a number."""
    return encode(image_of(number), "jpeg")


def number_in(content: bytes) -> int:
    """The number that an image file bears."""
    return number_of(decode(content))


def labels(*true: str) -> Labels:
    """Of the recipe of `tests.verdicts`."""
    return {name: name in true for name in LABELS}


def record(*frames: str, by: str = "ann", after: int = 0, reading: str = "first", **changes: object) -> Record:
    """What a person said, so many seconds from now; good, if nothing else is said."""
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=after)
    said = {
        "id": str(ULID.from_datetime(at)),
        "source": "video-1",
        "reading": Reading(reading),
        "by": by,
        "at": at,
        "frames": frames or ("0",),
        "labels": labels("good"),
        **changes,
    }
    return Record.model_validate(said)


def judged(number: int, *, part: str | None = None, after: float = 0, **scores: float) -> Judged:
    """What the line said of a frame; absent from the scores is what is far from its threshold."""
    frame = FrameIdentity(
        frame_id=f"01JF6Z6TX4W8E1V2M6C3N9Q7RB-{number:09d}",
        line="line-1",
        camera="camera-1",
        batch="batch-7",
        part=part,
        captured_at=BEGAN + timedelta(seconds=after),
    )
    findings = {
        name: Finding(score=scores.get(name, 0.02), threshold=0.5, present=scores.get(name, 0.02) >= 0.5)
        for name in LABELS
    }
    return Judged(frame=frame, image_key=f"{frame.storage_key}/image.jpg", model_version="model-1", findings=findings)


def upload(client: httpx.Client, path: Path, **fields: str) -> httpx.Response:
    """A video by the API."""
    with path.open("rb") as file:
        return client.post(
            "/api/labelling/videos", files={"files": (path.name, file)}, data={"recipe_yaml": RECIPE, **fields}
        )
