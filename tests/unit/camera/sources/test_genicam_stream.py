"""GigE Vision on loopback, with Aravis's own fake camera: settings, losses, triggers, and reconnection."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from services.camera.errors import CameraError
from services.camera.settings import CameraSettings, Resolution
from services.camera.sources import aravis as binding
from services.camera.sources import genicam_camera
from services.camera.sources.captured_image import CapturedImage, Unreadable
from services.camera.sources.genicam_stream import CameraClock, GenicamStream, ImageNumbers
from services.camera.sources.opening import open_source
from shared.messages import CameraState
from tests.genicam_camera import NAME, SIZE, fake_camera
from tests.processes import ChildServer, wait_until
from tests.unit.camera.sources.test_reconnecting import Watcher

pytestmark = pytest.mark.xdist_group("genicam")  # the fake camera has one port
SOURCE = f"genicam:{NAME}"
PATIENCE = 60
"""Seconds without an image that are no silence, also on a busy machine."""


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[ChildServer]:
    with fake_camera(tmp_path) as camera:
        yield camera


@pytest.fixture
def watcher(camera: ChildServer) -> Iterator[Watcher]:
    watching = Watcher(SOURCE, silence_seconds=PATIENCE)
    yield watching
    watching.source.close()


def is_whole(image: CapturedImage) -> bool:
    """Return whether an image is the pattern of the fake camera: each row is the one above, moved by a pixel."""
    assert image.pixels is not None
    return np.array_equal(image.pixels[1:, :-1], image.pixels[:-1, 1:])


def test_images_arrive_whole_with_the_time_at_which_they_were_taken(watcher: Watcher) -> None:
    images = watcher.next(10)
    assert watcher.source.size == SIZE
    assert all(is_whole(image) for image in images)
    times = [image.captured_at for image in images]
    assert times == sorted(set(times))
    assert 0 <= (datetime.now(UTC) - times[-1]).total_seconds() < 30
    assert watcher.states == []


def test_incomplete_images_are_counted_and_never_inspected(tmp_path: Path) -> None:
    with fake_camera(tmp_path, lost_packets_per_thousand=3):
        watching = Watcher(SOURCE, silence_seconds=PATIENCE)
        images, unreadable = list[CapturedImage](), list[Unreadable]()
        for shot in islice(watching.shots, 1000):  # a busy machine loses further packets
            if isinstance(shot, Unreadable):
                unreadable.append(shot)
            else:
                images.append(shot)
            if min(len(images), len(unreadable)) > 10:
                break
        watching.source.close()
    assert min(len(images), len(unreadable)) > 10
    assert all(is_whole(image) for image in images)
    assert all("check the cable" in each.reason for each in unreadable)
    assert watching.states == []


def test_the_camera_gets_the_settings(camera: ChildServer) -> None:
    settings = CameraSettings(
        source=SOURCE,
        exposure_microseconds=5000,
        gain=3,
        pixel_format="RGB8",
        packet_size=1000,
        resolution=Resolution(256, 128),
        features="AcquisitionFrameRate=20",
    )
    stream = GenicamStream(settings)
    aravis, handle = stream._aravis, stream._camera.handle
    assert aravis.arv_camera_get_exposure_time(handle) == 5000
    assert aravis.arv_camera_get_gain(handle) == 3
    assert aravis.arv_camera_get_pixel_format_as_string(handle) == b"RGB8"
    assert aravis.arv_camera_gv_get_packet_size(handle) == 1000
    assert stream.frames_per_second == pytest.approx(20, rel=0.01)
    read = next(read for read in stream.images() if callable(read))
    image = read()
    assert isinstance(image, CapturedImage)
    assert image.pixels is not None
    assert image.pixels.shape == (128, 256, 3)
    stream.close()


@pytest.mark.parametrize(
    ("setting", "value", "advice"),
    [
        ("exposure_microseconds", 1e9, r"CAMERA_EXPOSURE_MICROSECONDS: .* takes [\d.]+ to [\d.]+, not 1000000000"),
        ("gain", 1e6, r"CAMERA_GAIN: .* takes [\d.]+ to [\d.]+, not 1000000"),
        ("pixel_format", "Mono99", r"CAMERA_PIXEL_FORMAT: .* has no Mono99: choose one of .*Mono8"),
        ("trigger", "Line99", r"CAMERA_TRIGGER: .* has no Line99: choose one of .*Line"),
        ("features", "NoSuchThing=1", r"refuses CAMERA_FEATURES=NoSuchThing=1: .*NoSuchThing"),
    ],
)
def test_a_value_that_the_camera_does_not_take_is_refused_with_those_that_it_takes(
    camera: ChildServer, setting: str, value: object, advice: str
) -> None:
    with pytest.raises(CameraError, match=advice):
        open_source(CameraSettings(source=SOURCE, **{setting: value}), lambda *_: None)  # type: ignore[arg-type]


def test_the_service_triggers_the_camera(camera: ChildServer) -> None:
    watching = Watcher(SOURCE, trigger="software", frames_per_second=50, silence_seconds=PATIENCE)
    images = watching.next(6)
    watching.source.close()
    assert all(is_whole(image) for image in images)
    assert watching.source.frames_per_second == 50
    assert watching.states == []


def test_a_camera_that_waits_for_its_line_is_open_and_says_when_it_is_gone(camera: ChildServer) -> None:
    watching = Watcher(SOURCE, trigger="Line0", silence_seconds=0.1)
    assert watching.source.size == SIZE
    threading.Timer(1.5, watching.stop.set).start()
    assert list(watching.shots) == []
    assert watching.states == [], "a line that stands still is no fault"
    camera.kill()
    wait_until(lambda: bool(watching.states), 60, "the camera to be missed")
    assert watching.states[0][0] is CameraState.RECONNECTING
    watching.source.close()


def test_a_camera_that_went_away_is_opened_again(camera: ChildServer) -> None:
    watching = Watcher(SOURCE, silence_seconds=1)
    watching.next(3)
    camera.kill()
    wait_until(lambda: bool(watching.states), 60, "the silence to be noticed")
    assert "has sent no image for 1 s" in watching.states[0][1]
    camera.start()
    gone = time.time()
    while watching.next(1)[0].captured_at.timestamp() < gone:
        pass
    watching.source.close()
    assert CameraState.RUNNING in [state for state, _ in watching.states]


def test_a_camera_that_another_program_controls_is_refused(
    camera: ChildServer, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(genicam_camera, "CONTROL_SECONDS", 0)
    with pytest.raises(CameraError, match=f"another program controls GenICam camera {NAME}: end that program"):
        Watcher(SOURCE)


def test_the_only_camera_needs_no_name_and_another_name_is_answered_with_those_there_are(camera: ChildServer) -> None:
    stream = GenicamStream(CameraSettings(source="GenICam:"))
    stream.close()
    with pytest.raises(CameraError, match=f"these answer: .*CAMERA_SOURCE=genicam:{NAME}"):
        GenicamStream(CameraSettings(source="genicam:Acme-1"))


def test_a_network_in_which_no_camera_answers(camera: ChildServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding.Aravis, "cameras", lambda _self: [])
    with pytest.raises(CameraError, match="names no camera, and no camera answers: check its power"):
        GenicamStream(CameraSettings(source="genicam:"))


def test_without_the_library_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "LIBRARY", "libaravis-of-nobody.so")
    binding.aravis.cache_clear()
    with pytest.raises(CameraError, match=r"install the package libaravis-0\.8-0"):
        GenicamStream(CameraSettings(source=SOURCE))


def test_settings_of_such_a_camera_are_refused_with_another_source() -> None:
    with pytest.raises(CameraError, match=r"CAMERA_GAIN is for GigE Vision .* cameras only .*: remove it"):
        open_source(CameraSettings(source="video.mp4", gain=3), lambda *_: None)


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([1, 2, 3], [0, 0, 0]),
        ([7, 10], [0, 2]),
        ([65_534, 65_535, 1, 3], [0, 0, 0, 1]),
        ([2**40, 2**40 + 2], [0, 1]),
        ([500, 1, 2], [0, 0, 0]),
        ([5, 5], [0, 0]),
        ([1, 40_000], [0, 0]),
    ],
    ids=["all", "two", "the number starts over", "64 bits", "restart", "twice", "a jump"],
)
def test_images_that_never_came_are_counted_by_their_numbers(numbers: list[int], missing: list[int]) -> None:
    counting = ImageNumbers()
    assert [counting.missing_before(number) for number in numbers] == missing


def test_the_time_of_an_image_is_that_of_the_camera_s_clock_whatever_the_delay_on_its_way() -> None:
    clock = CameraClock()
    now = time.time() - 20
    delays = [0.02, 0.5, 0.01, 0.3, 0.01]
    times = [
        clock.time_of(1_000 + index, now + index + delay).timestamp() - now - index
        for index, delay in enumerate(delays)
    ]
    assert times == pytest.approx([0.02, 0.02, 0.01, 0.01, 0.01], abs=1e-4)
    assert clock.time_of(5.0, now + 10).timestamp() == pytest.approx(now + 10, abs=1e-4), "the camera started again"
    assert clock.time_of(0, now + 11).timestamp() == pytest.approx(now + 11, abs=1e-4), "it has no clock"


def test_a_synchronised_clock_of_a_camera_is_taken_as_it_is() -> None:
    now = time.time() - 10
    assert CameraClock().time_of(now - 0.25, now).timestamp() == pytest.approx(now - 0.25, abs=1e-4)
