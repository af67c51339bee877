"""When a line is online: its cameras and a worker report, and the gateway decides."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.line_watch import LineWatch
from services.gateway.outputs.port import Trouble
from shared.messages import CameraReported, CameraState, WorkerReported
from tests.messages import MOMENT, SESSION


def camera(name: str = "camera-1", **changes: Any) -> CameraReported:
    report = CameraReported(
        session=SESSION,
        line="line-1",
        camera=name,
        state=CameraState.RUNNING,
        captured=1,
        dropped=0,
        waiting=0,
        frames_per_second=10,
        at=MOMENT,
    )
    return report.model_copy(update=changes)


def worker(name: str = "w1", reason: str = "", service: str = "inference") -> WorkerReported:
    return WorkerReported(service=service, worker=name, model_version="v1", handled=1, reason=reason, at=MOMENT)


class Hall:
    def __init__(self) -> None:
        self.now = 0.0
        self.watch = LineWatch(1.5, clock=lambda: self.now)

    def reports(self, *some: CameraReported | WorkerReported, every: float, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += every
            self.watch.note_reports(some)

    def trouble(self) -> Trouble:
        return self.watch.trouble("line-1")[0]


@pytest.fixture
def hall() -> Hall:
    return Hall()


def test_a_line_needs_a_camera_and_a_worker(hall: Hall) -> None:
    assert hall.trouble() is Trouble.NO_CAMERA
    hall.watch.note_reports([camera()])
    assert hall.trouble() is Trouble.NO_WORKER
    hall.watch.note_reports([worker(service="explainer")])
    assert hall.trouble() is Trouble.NO_WORKER
    hall.watch.note_reports([worker()])
    assert hall.trouble() is Trouble.NONE
    assert hall.watch.trouble("line-2")[0] is Trouble.NO_CAMERA


def test_silence_is_noticed_within_two_seconds_where_reports_come_twice_a_second(hall: Hall) -> None:
    hall.reports(camera(), worker(), every=0.5, seconds=3)
    hall.reports(worker(), every=0.5, seconds=1.6)
    assert hall.trouble() is Trouble.CAMERA
    hall.reports(camera(), worker(), every=0.5, seconds=0.5)
    hall.reports(camera(), every=0.5, seconds=1.6)
    assert hall.trouble() is Trouble.WORKER


def test_who_reports_rarely_may_be_silent_for_longer(hall: Hall) -> None:
    hall.reports(camera(), worker(), every=3, seconds=9)
    hall.now += 7
    assert hall.trouble() is Trouble.NONE
    hall.now += 1
    assert hall.trouble() is Trouble.CAMERA


def test_a_camera_that_reports_that_it_does_not_run_is_noticed_at_once(hall: Hall) -> None:
    hall.watch.note_reports(
        [camera("camera-1"), camera("camera-2", state=CameraState.RECONNECTING, reason="unplugged"), worker()]
    )
    assert hall.watch.trouble("line-1") == (Trouble.CAMERA, "camera camera-2: reconnecting unplugged")


def test_one_worker_of_several_is_enough(hall: Hall) -> None:
    hall.reports(camera(), worker("w1", "no model"), worker("w2"), every=0.5, seconds=1)
    assert hall.trouble() is Trouble.NONE
    hall.reports(camera(), worker("w1", "no model"), every=0.5, seconds=2)
    assert hall.watch.trouble("line-1") == (Trouble.WORKER, "inference: no model")
