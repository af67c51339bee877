"""Clocks of cameras and workers that are wrong: what is shown follows what arrives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from services.dashboard.frames.repository import FrameKind, FrameRepository
from services.dashboard.ingest.command_publisher import CommandPublisher
from services.dashboard.lines import repository
from services.dashboard.lines.schemas import LineState
from services.dashboard.lines.service import LinesService
from services.dashboard.projection import Projection
from services.dashboard.settings import DashboardSettings
from services.dashboard.store.keys import Keys
from shared.messages import CameraState, WorkerReported
from tests.verdicts import Line

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def lines(projection: Projection, redis: Redis, keys: Keys, settings: DashboardSettings) -> LinesService:
    return LinesService(
        projection.lines,
        projection.counting,
        projection.cameras,
        projection.workers,
        projection.throughput,
        gateways=projection.gateways,
        commands=object.__new__(CommandPublisher),
        last_verdicts=projection.frames,
        parked_frames=lambda: 0,
        incomplete_counts=lambda: False,
        settings=settings,
    )


@pytest.mark.parametrize("ahead", [HOUR, 40 * DAY, -400 * DAY], ids=["an hour", "40 days", "400 days behind"])
def test_an_ng_frame_is_shown_although_the_clock_of_another_camera_is_wrong(
    projection: Projection, lines: LinesService, ahead: timedelta
) -> None:
    right, wrong = Line(), Line(camera="camera-2", start=now() + ahead)
    projection.projector.apply(
        [right.report(), *(wrong.verdict("break") for _ in range(30)), *(wrong.verdict() for _ in range(30))]
    )
    projection.projector.apply([right.verdict("error")])
    state = lines.state("line-1")
    assert (state.state, state.reason) == (LineState.NG, "error")
    assert state.last_frame is not None
    assert state.last_frame.frame_id.startswith(right.session)


def test_frames_of_a_camera_whose_clock_is_behind_are_shown(projection: Projection, lines: LinesService) -> None:
    projection.projector.apply([Line(start=now() - 60 * DAY).verdict("break")])
    assert lines.state("line-1").state is LineState.NG


def test_a_line_whose_only_clock_is_ahead_is_stopped_when_no_frame_comes(
    projection: Projection, lines: LinesService, redis: Redis, keys: Keys
) -> None:
    projection.projector.apply([Line(start=now() + DAY).verdict()])
    redis.delete(keys.last("line-1"))  # as after a restart with an empty Redis
    assert lines.state("line-1").state is LineState.STOPPED


def test_a_report_from_tomorrow_does_not_outlast_those_that_follow(projection: Projection, lines: LinesService) -> None:
    line = Line()
    projection.projector.apply([line.report(CameraState.RECONNECTING, at=now() + DAY)])
    (camera,) = lines.state("line-1").cameras
    assert camera.clock_skew_seconds == pytest.approx(86_400, abs=60)
    assert repository.SKEW.labels("line-1", "camera-1")._value.get() == pytest.approx(86_400, abs=60)
    projection.projector.apply([line.report()])
    (camera,) = lines.state("line-1").cameras
    assert (camera.state, camera.lost) == (CameraState.RUNNING, False)
    assert camera.clock_skew_seconds == pytest.approx(0, abs=60)


@pytest.mark.parametrize("restarted", [False, True], ids=["in a session", "between sessions"])
def test_a_clock_that_was_set_back_is_followed_after_some_seconds(
    projection: Projection, lines: LinesService, monkeypatch: pytest.MonkeyPatch, *, restarted: bool
) -> None:
    line = Line()
    projection.projector.apply([line.report(CameraState.RECONNECTING)])
    later = Line() if restarted else line
    projection.projector.apply([later.report(at=now() - HOUR)])
    assert lines.state("line-1").cameras[0].state is CameraState.RECONNECTING, "it may be a late one"
    monkeypatch.setattr(repository, "OUT_OF_ORDER_SECONDS", 0)
    projection.projector.apply([later.report(at=now() - HOUR)])
    (camera,) = lines.state("line-1").cameras
    assert (camera.state, camera.lost) == (CameraState.RUNNING, False)
    assert camera.clock_skew_seconds == pytest.approx(-3600, abs=60)


def test_a_session_that_is_over_is_not_brought_back_by_a_late_report(
    projection: Projection, lines: LinesService
) -> None:
    line = Line()
    late = line.report(at=now() + DAY)
    projection.projector.apply([line.report(CameraState.FINISHED), late])
    assert lines.state("line-1").cameras[0].state is CameraState.FINISHED


def test_a_frame_that_is_40_days_ahead_does_not_change_the_counts_of_today(projection: Projection) -> None:
    earlier, running, odd = Line(start=now() - 3 * HOUR), Line(), Line(start=now() + 40 * DAY)
    earlier.sequence, running.sequence = 499, 99

    def captured_today() -> int:
        hours = projection.cameras.by_hour("line-1", "camera-1", now() - DAY, now() + HOUR)
        return sum(taken.captured for taken in hours.values())

    projection.projector.apply([earlier.verdict(after=0), running.verdict(after=0)])
    assert captured_today() == 600
    projection.projector.apply([odd.verdict(after=0)])
    assert captured_today() == 600
    projection.projector.apply([running.verdict(after=0)])
    assert captured_today() == 601


def test_frames_that_are_ahead_do_not_remove_others(redis: Redis, keys: Keys, settings: DashboardSettings) -> None:
    index = FrameRepository(redis, keys, settings.model_copy(update={"flagged_frames": 10}))
    ahead = Line(start=now() + 40 * DAY)
    index.store([ahead.verdict("break") for _ in range(10)])
    for _ in range(10):
        index.store([Line(start=now()).verdict("break")])
    assert index.size("line-1", FrameKind.FLAGGED) == 10
    assert not any(
        frame.verdict.frame.session == ahead.session for frame in index.newest("line-1", [FrameKind.FLAGGED])
    )


def test_a_worker_whose_clock_is_ahead_is_lost_when_it_falls_silent(
    projection: Projection, lines: LinesService, redis: Redis, keys: Keys
) -> None:
    report = WorkerReported(service="inference", worker="w", model_version=None, handled=1, at=now() + 40 * DAY)
    projection.projector.apply([report])
    (worker,) = lines.workers()
    assert not worker.lost
    long_ago = (now() - timedelta(minutes=30)).isoformat()
    redis.hset(keys.workers, "inference/w", f"{long_ago} {report.model_dump_json()}")
    assert lines.workers()[0].lost
