from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from services.camera.frame_identity import Session
from services.camera.frame_maker import FrameMaker
from services.camera.outbox import Outbox, SessionCounts
from services.camera.recorder import NoRecorder
from services.camera.settings import CameraSettings
from services.camera.sources import captured_image
from services.camera.sources.captured_image import CapturedImage, EncodedImage
from shared.imaging import codec
from shared.messages import FrameCaptured, decode
from tests.unit.camera.sources.test_video_file import png_that_claims

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
IMAGE = np.random.default_rng(1).integers(0, 255, (48, 64, 3)).astype(np.uint8)


class Camera:
    """A handler with the outbox behind it."""

    def __init__(self, folder: Path, **settings: object) -> None:
        session = Session("line-1", "camera-1")
        chosen = CameraSettings(source="video.mp4", outbox_folder=folder, **settings)  # type: ignore[arg-type]
        self.outbox = Outbox.of(chosen, session.id)
        self.handler = FrameMaker(chosen, session, self.outbox, NoRecorder())

    def take(self, shot: CapturedImage) -> FrameCaptured | None:
        """Return the frame that was made of an image."""
        self.handler.add(shot)
        waiting = self.outbox.after(0)
        if waiting is None:
            return None
        self.outbox.confirm([waiting])
        frame = decode(waiting.message.body)
        assert isinstance(frame, FrameCaptured)
        return frame


@pytest.fixture
def cameras(tmp_path: Path) -> Iterator[list[Camera]]:
    opened: list[Camera] = []
    yield opened
    for camera in opened:
        camera.outbox.__exit__(None, None, None)


def camera(cameras: list[Camera], tmp_path: Path, **settings: object) -> Camera:
    cameras.append(Camera(tmp_path, **settings))
    return cameras[-1]


def test_an_image_becomes_a_jpeg_with_its_size(cameras: list[Camera], tmp_path: Path) -> None:
    frame = camera(cameras, tmp_path).take(CapturedImage(NOW, IMAGE))
    assert frame is not None
    assert (frame.encoding, frame.width, frame.height, frame.frame.captured_at) == ("jpeg", 64, 48, NOW)
    assert codec.size_of(frame.image) == (64, 48)


def test_a_png_keeps_every_pixel_of_the_region_of_interest(cameras: list[Camera], tmp_path: Path) -> None:
    frame = camera(cameras, tmp_path, roi="10,20,30,15", encoding="png").take(CapturedImage(NOW, IMAGE))
    assert frame is not None
    assert (frame.width, frame.height) == (30, 15)
    assert (codec.decode(frame.image) == IMAGE[20:35, 10:40]).all()


def test_a_lower_quality_makes_a_smaller_jpeg(cameras: list[Camera], tmp_path: Path) -> None:
    fine = camera(cameras, tmp_path / "fine", jpeg_quality=95).take(CapturedImage(NOW, IMAGE))
    coarse = camera(cameras, tmp_path / "coarse", jpeg_quality=20).take(CapturedImage(NOW, IMAGE))
    assert fine is not None
    assert coarse is not None
    assert len(coarse.image) < len(fine.image)


def test_an_image_file_that_needs_no_change_is_sent_as_it_is(cameras: list[Camera], tmp_path: Path) -> None:
    content = codec.encode(IMAGE, "jpeg", 33)
    frame = camera(cameras, tmp_path).take(CapturedImage(NOW, codec.decode(content), EncodedImage(content, "jpeg")))
    assert frame is not None
    assert frame.image == content


def test_an_image_file_of_another_encoding_is_encoded_anew(cameras: list[Camera], tmp_path: Path) -> None:
    content = codec.encode(IMAGE, "png")
    frame = camera(cameras, tmp_path).take(CapturedImage(NOW, IMAGE, EncodedImage(content, "png")))
    assert frame is not None
    assert frame.encoding == "jpeg"
    assert frame.image.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (b"", (1, 1)),
        (b"no image", (1, 1)),
        (png_that_claims(20_000, 5_000), (20_000, 5_000)),
    ],
)
def test_an_undecodable_image_is_sent_unchanged(
    cameras: list[Camera], tmp_path: Path, content: bytes, size: tuple[int, int]
) -> None:
    frame = camera(cameras, tmp_path).take(CapturedImage(NOW, file=EncodedImage(content, "png"), problem="broken"))
    assert frame is not None
    assert (frame.image, frame.encoding, (frame.width, frame.height)) == (content, "png", size)


@pytest.mark.parametrize(
    "unusable",
    [
        CapturedImage(NOW, problem="the buffer of the camera is full"),
        CapturedImage(NOW, np.zeros((10, 10, 3), np.uint8)),
    ],
)
def test_a_shot_that_no_frame_can_be_made_of_is_counted_and_has_a_number(
    cameras: list[Camera], tmp_path: Path, unusable: CapturedImage
) -> None:
    the_camera = camera(cameras, tmp_path, roi="10,20,30,15")
    assert the_camera.handler.add(unusable) is None, "so that its trigger is not answered as captured"
    assert the_camera.outbox.counts() == SessionCounts(captured=1, dropped=1, waiting=0)
    frame = the_camera.take(CapturedImage(NOW, IMAGE))
    assert frame is not None
    assert frame.frame.sequence == 1


def test_an_image_too_wide_for_jpeg_is_dropped_and_not_sent_empty(cameras: list[Camera], tmp_path: Path) -> None:
    the_camera = camera(cameras, tmp_path)
    assert the_camera.take(CapturedImage(NOW, np.zeros((2, 70_000, 3), np.uint8))) is None
    assert the_camera.outbox.counts().dropped == 1


def test_a_shot_that_no_message_takes_is_dropped_and_ends_nothing(cameras: list[Camera], tmp_path: Path) -> None:
    the_camera = camera(cameras, tmp_path)
    strange = CapturedImage(NOW, file=EncodedImage(b"x", "webp"), problem="of another kind")  # type: ignore[arg-type]
    assert the_camera.take(strange) is None
    assert the_camera.outbox.counts() == SessionCounts(captured=1, dropped=1, waiting=0)


def test_frames_keep_their_order_while_the_clock_jumps(cameras: list[Camera], tmp_path: Path) -> None:
    the_camera = camera(cameras, tmp_path)
    frames = [the_camera.take(CapturedImage(NOW + timedelta(days=days), IMAGE)) for days in (0, 40, -300, 1)]
    assert [frame.frame.sequence for frame in frames if frame] == [0, 1, 2, 3]
    assert len({frame.frame.session for frame in frames if frame}) == 1


@pytest.mark.parametrize(
    ("year", "captured_at"),
    [(1970, captured_image.EARLIEST), (2106, captured_image.LATEST), (9999, captured_image.LATEST)],
)
def test_a_clock_that_is_wrong_by_decades_is_limited_to_valid_times(
    year: int, captured_at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls(year, 1, 1, tzinfo=tz)

    monkeypatch.setattr(captured_image, "datetime", Wrong)
    assert captured_image.clock() == captured_at
