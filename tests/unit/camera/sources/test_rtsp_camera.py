"""A network camera over RTSP whose packets are lost, that falls silent, and that has a clock of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.camera.sources.captured_image import CapturedImage, Unreadable
from shared.imaging.decoder_log import gaps
from shared.messages import CameraState
from tests.camera_videos import scene, write_video
from tests.processes import wait_until
from tests.rtsp_camera import RtspCamera
from tests.unit.camera.sources.test_reconnecting import Watcher

SIZE = (160, 128)
FRAMES = 36
H264 = Path(__file__).with_name("scene.h264.mp4")
"""Two seconds of a drawn scene, 160 x 128: `ffmpeg -c:v libx264 -tune zerolatency -g 25`."""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("rtsp") / "scene.mp4", FRAMES, size=SIZE, draw=scene)


@pytest.fixture
def camera(video: Path) -> Iterator[RtspCamera]:
    with RtspCamera(video) as camera:
        yield camera


@pytest.fixture
def watcher(camera: RtspCamera) -> Iterator[Watcher]:
    watching = Watcher(camera.address, silence_seconds=4)
    yield watching
    watching.source.close()


def frames_of(video: Path) -> list[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(video))
    frames = []
    while (read := capture.read())[0]:
        frames.append(np.asarray(read[1], np.uint8))
    return frames


def distance(image: CapturedImage) -> float:
    """How far an image is from the nearest one that the camera has sent."""
    assert image.pixels is not None
    return min(float(np.abs(image.pixels.astype(int) - scene(number)).mean()) for number in range(FRAMES))


def test_an_image_that_lost_data_is_told_and_never_shown_as_whole(camera: RtspCamera, watcher: Watcher) -> None:
    whole = max(distance(image) for image in watcher.next(10))
    before = gaps()
    camera.loses = lambda frame, packet: frame % 30 == 20 and packet == 1
    seen = [next(watcher.shots) for _ in range(80)]
    unreadable = [each for each in seen if isinstance(each, Unreadable)]
    assert len(unreadable) >= 2
    assert all("lost on its way" in each.reason or "can't be decoded" in each.reason for each in unreadable)
    assert max(distance(each) for each in seen if isinstance(each, CapturedImage)) < whole + 2
    assert gaps() > before, "the numbers of the packets tell it too, for codecs whose decoders do not"
    assert watcher.states == []


def test_an_image_of_h264_that_lost_data_is_told_and_never_shown_as_whole() -> None:
    whole = frames_of(H264)
    with RtspCamera(H264) as camera:
        watching = Watcher(camera.address, silence_seconds=60)
        camera.loses = lambda frame, packet: frame % 25 == 12 and packet == 1
        seen = [next(watching.shots) for _ in range(90)]
        watching.source.close()
    images = [each.pixels for each in seen if isinstance(each, CapturedImage) and each.pixels is not None]
    assert len(images) >= 20
    assert sum(isinstance(each, Unreadable) for each in seen) >= 10
    assert all(any(np.array_equal(image, each) for each in whole) for image in images)
    assert watching.states == []


def test_a_camera_that_falls_silent_is_opened_again_and_no_old_image_comes_late(
    camera: RtspCamera, watcher: Watcher
) -> None:
    watcher.next(5)
    camera.silent.set()
    began = datetime.now(UTC)
    wait_until(lambda: bool(watcher.states), 120, "the silence to be noticed")
    assert watcher.states[0][0] is CameraState.RECONNECTING
    ended = datetime.now(UTC)
    camera.silent.clear()
    times = [watcher.next(1)[0].captured_at]
    while times[-1] < ended:
        times.append(watcher.next(1)[0].captured_at)
    middle = began + (ended - began) / 2  # what was sent before arrives until then
    assert not [at for at in times if middle < at < ended]


@pytest.mark.parametrize("skew", [-2.0, -86_400.0], ids=["right", "a day behind"])
def test_an_image_has_the_time_that_the_camera_names_unless_its_clock_is_wrong(
    camera: RtspCamera, watcher: Watcher, skew: float
) -> None:
    camera.clock = lambda: time.time() + skew
    watching = Watcher(camera.address)
    ages = [(datetime.now(UTC) - image.captured_at).total_seconds() for image in watching.next(20)][-5:]
    watching.source.close()
    named = 1.5 if skew == -2.0 else 0
    assert all(named <= age < 60 for age in ages)


def test_a_scheme_in_capitals_is_one_too(camera: RtspCamera) -> None:
    watching = Watcher(camera.address.replace("rtsp", "RTSP"))
    assert len(watching.next(2)) == 2
    watching.source.close()
