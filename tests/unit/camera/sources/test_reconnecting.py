"""A live camera, over real HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import pairwise, takewhile

import pytest

from services.camera.errors import CameraError
from services.camera.heartbeat import Heartbeat
from services.camera.settings import CameraSettings
from services.camera.sources import http_camera, reconnecting
from services.camera.sources.captured_image import CapturedImage, Unreadable
from services.camera.sources.opening import open_source
from services.camera.sources.reconnecting import LiveCamera
from shared.health import Health
from shared.imaging.codec import Image, decode
from shared.messages import CameraState
from tests.camera_videos import number_of
from tests.mjpeg_camera import MjpegCamera
from tests.processes import wait_until


@pytest.fixture
def camera() -> Iterator[MjpegCamera]:
    server = MjpegCamera()
    yield server
    server.close()


class Watcher:
    """Opens a live camera and hears what it says."""

    def __init__(self, address: str, **settings: object) -> None:
        self.states: list[tuple[CameraState, str]] = []
        self.stop = threading.Event()
        chosen = CameraSettings(source=address, **settings)  # type: ignore[arg-type]
        source = open_source(chosen, lambda *state: self.states.append(state))
        assert isinstance(source, LiveCamera)
        self.source = source
        self.shots = self.source.images(Heartbeat(self.stop, Health()))

    def next(self, count: int) -> list[CapturedImage]:
        """The next images that can be read."""
        readable = (shot for shot in self.shots if isinstance(shot, CapturedImage))
        return [next(readable) for _ in range(count)]

    def seen(self, count: int) -> tuple[list[int], list[str]]:
        """The numbers of the next images that can be read, and the problems of the others among them."""
        numbers: list[int] = []
        problems: list[str] = []
        while len(numbers) < count:
            shot = next(self.shots)
            if isinstance(shot, Unreadable):
                problems.append(shot.reason)
            else:
                numbers.append(number_of(shot.pixels))
        return numbers, problems


@pytest.fixture
def watcher(camera: MjpegCamera) -> Iterator[Watcher]:
    watching = Watcher(camera.address)
    yield watching
    watching.source.close()


def test_every_image_that_the_camera_sends_is_a_shot(watcher: Watcher) -> None:
    watcher.next(5)  # the server goes on with the connection by which it was asked what it is
    numbers = [number_of(shot.pixels) for shot in watcher.next(40)]
    assert numbers == list(range(numbers[0], numbers[0] + 40))
    assert watcher.source.size == (64, 48)
    assert watcher.states == []


def test_an_image_counts_as_read_before_it_is_decoded(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    began: dict[int, float] = {}

    def note_and_decode(content: bytes) -> Image:
        now = time.monotonic()
        pixels = decode(content)
        began[id(pixels)] = now
        return pixels

    monkeypatch.setattr(http_camera, "decode", note_and_decode)
    shots = watcher.next(1)
    while id(shots[-1].pixels) not in began:
        shots += watcher.next(1)
    assert shots[-1].read_at <= began[id(shots[-1].pixels)], "a trigger may come while it is decoded"


def test_a_lost_camera_is_opened_again_and_both_events_are_logged(camera: MjpegCamera, watcher: Watcher) -> None:
    watcher.next(5)
    camera.dropping.set()
    visits = camera.visits
    wait_until(lambda: camera.visits > visits, 60, "a try on a camera that refuses")
    before = camera.next_number
    camera.dropping.clear()
    numbers = (number_of(shot.pixels) for shot in watcher.shots if isinstance(shot, CapturedImage))
    assert next(number for number in numbers if number >= before) == before, "the first image is one, too"
    assert [next(numbers) for _ in range(5)] == list(range(before + 1, before + 6))
    states = [state for state, _ in watcher.states]
    assert states[0] is CameraState.RECONNECTING
    assert states[-1] is CameraState.RUNNING
    assert watcher.states[0][1] == f"http://127.0.0.1:{camera.address.split(':')[3].split('/')[0]}/… stopped sending"
    assert not any("hunter2" in reason for _, reason in watcher.states)


def test_sampling_limits_a_live_camera(camera: MjpegCamera) -> None:
    watching = Watcher(camera.address, every_nth=5)
    watching.next(2)
    numbers = [number_of(shot.pixels) for shot in watching.next(5)]
    watching.source.close()
    assert [later - earlier for earlier, later in pairwise(numbers)] == [5, 5, 5, 5]


def test_frames_that_arrive_too_fast_are_skipped_and_counted(
    camera: MjpegCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconnecting, "MOST_BUFFERED", 3)
    watching = Watcher(camera.address)
    watching.next(1)
    wait_until(lambda: watching.source._images.qsize() >= 8, 60, "images that wait to be taken")
    shots = watching.next(8)
    watching.source.close()
    waiting = list(takewhile(lambda shot: shot.pixels is not None, shots))
    assert 2 <= len(waiting) <= 3, "the buffer may have been full before the first image was taken from it"
    problem = "the buffer of the camera is full: this machine is too slow for it"
    assert [shot.problem for shot in shots[len(waiting) :]] == [problem] * (8 - len(waiting))


def test_a_stop_ends_a_camera_that_sends_nothing(camera: MjpegCamera, watcher: Watcher) -> None:
    watcher.next(1)
    camera.dropping.set()
    threading.Timer(0.2, watcher.stop.set).start()
    for _ in watcher.shots:
        assert not watcher.stop.is_set() or camera.dropping.is_set()
    assert watcher.stop.is_set()


def test_a_camera_that_is_away_at_the_start_is_reported_without_its_password(camera: MjpegCamera) -> None:
    camera.dropping.set()
    with pytest.raises(CameraError, match="does not answer") as refusal:
        Watcher(camera.address)
    assert "hunter2" not in str(refusal.value)


def test_a_driver_that_hangs_ends_the_camera_so_that_it_is_started_again(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher.source, "_hang_seconds", 0.5)
    monkeypatch.setattr(reconnecting, "CLOSING_SECONDS", 0.1)
    hanging = threading.Event()
    monkeypatch.setattr(watcher.source, "_read", lambda _images: hanging.wait(60))
    with pytest.raises(reconnecting.DriverHung, match="has not answered"):
        watcher.next(2)
    hanging.set()
