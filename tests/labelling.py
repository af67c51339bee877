"""What tests of labelling share: image files that show numbers, annotations, and uploads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from ulid import ULID

from services.dashboard.labelling.annotations.annotation import Annotation, AnnotationKind, InspectedFrame, Labels
from shared.imaging.codec import decode, encode
from shared.messages import Finding, FrameIdentity
from tests.camera_videos import image_of, number_of
from tests.verdicts import LABELS, RECIPE

BEGAN = datetime.now(UTC).replace(second=0, microsecond=0)


def jpeg(number: int) -> bytes:
    """Return an image file that shows a number."""
    return encode(image_of(number), "jpeg")


def number_in(content: bytes) -> int:
    """Return the number that an image file shows."""
    return number_of(decode(content))


def labels(*true: str) -> Labels:
    """Return labels of the recipe of `tests.verdicts`."""
    return {name: name in true for name in LABELS}


def annotation(*frames: str, by: str = "ann", after: int = 0, kind: str = "first", **changes: object) -> Annotation:
    """Return an annotation made this many seconds from now; good by default."""
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=after)
    fields = {
        "id": str(ULID.from_datetime(at)),
        "source": "video-1",
        "kind": AnnotationKind(kind),
        "by": by,
        "at": at,
        "frames": frames or ("0",),
        "labels": labels("good"),
        **changes,
    }
    return Annotation.model_validate(fields)


def inspected(number: int, *, part: str | None = None, after: float = 0, **scores: float) -> InspectedFrame:
    """Return an inspected frame; scores that are not given are far from their threshold."""
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
    image_key = f"{frame.storage_key}/image.jpg"
    return InspectedFrame(frame=frame, image_key=image_key, model_version="model-1", findings=findings)


def upload(client: httpx.Client, path: Path, **fields: str) -> httpx.Response:
    """Upload a video to the API."""
    with path.open("rb") as file:
        return client.post(
            "/api/labelling/videos", files={"files": (path.name, file)}, data={"recipe_yaml": RECIPE, **fields}
        )
