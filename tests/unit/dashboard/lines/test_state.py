"""The state of a line, from reports and verdicts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.dashboard.lines.repository import ReceivedMessage
from services.dashboard.lines.schemas import LineState
from services.dashboard.lines.state import LineFacts, state_of
from shared.messages import CameraReported, CameraSight, CameraState, FrameInspected, Verdict
from tests.verdicts import Line

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


def received(report: CameraReported, ago: float | None = None) -> ReceivedMessage[CameraReported]:
    return ReceivedMessage(report, report.at if ago is None else NOW - timedelta(seconds=ago))


def arrived(verdict: FrameInspected) -> ReceivedMessage[FrameInspected]:
    return ReceivedMessage(verdict, verdict.at)


def facts(**changes: Any) -> LineFacts:
    """Return facts of a running line whose last frame was ok a second ago."""
    line = Line(start=NOW - timedelta(seconds=1))
    known: dict[str, Any] = {
        "now": NOW,
        "cameras": [received(line.report(at=NOW - timedelta(seconds=2)))],
        "last": arrived(line.verdict()),
        "last_ng": None,
        "in_flight": 0,
        "ng_hold": timedelta(seconds=5),
        "silence": timedelta(seconds=15),
        "latency_limit": timedelta(seconds=10),
    }
    return LineFacts(**{**known, **changes})


def verdict_of(age: float, fault: str | None = None, **changes: Any) -> ReceivedMessage[FrameInspected]:
    line = Line(start=NOW - timedelta(seconds=age))
    return arrived(line.verdict(fault, at=NOW - timedelta(seconds=age), **changes))


def test_a_line_whose_last_frames_are_ok_is_ok() -> None:
    assert state_of(facts())[0] is LineState.OK


def test_an_ng_frame_is_held_for_a_while_although_ok_ones_follow() -> None:
    assert state_of(facts(last_ng=verdict_of(4, "break"))) == (LineState.NG, "break")
    assert state_of(facts(last_ng=verdict_of(6, "break")))[0] is LineState.OK


@pytest.mark.parametrize("camera_state", [CameraState.RECONNECTING, CameraState.FAILED])
def test_a_camera_that_reports_a_failure_is_lost(camera_state: CameraState) -> None:
    camera = received(Line().report(camera_state, reason="no such device", at=NOW))
    state, reason = state_of(facts(cameras=[camera]))
    assert state is LineState.CAMERA_LOST
    assert "no such device" in reason


def test_a_camera_that_falls_silent_is_lost() -> None:
    camera = received(Line().report(at=NOW + timedelta(days=1)), ago=40)
    assert state_of(facts(cameras=[camera])) == (
        LineState.CAMERA_LOST,
        "camera camera-1 has sent no report for 40 s",
    )


def test_one_lost_camera_of_two_is_a_lost_camera() -> None:
    reports = [Line().report(at=NOW), Line(camera="camera-2").report(CameraState.FAILED, at=NOW)]
    cameras = list(map(received, reports))
    assert state_of(facts(cameras=cameras))[0] is LineState.CAMERA_LOST


def test_a_camera_that_sees_nothing_is_blind_although_its_frames_are_ok() -> None:
    reason = "it has sent the same image again and again"
    camera = received(Line().report(at=NOW, sight=CameraSight.FROZEN, reason=reason))
    assert state_of(facts(cameras=[camera])) == (LineState.CAMERA_BLIND, f"camera camera-1 is frozen: {reason}")


def test_what_a_finished_camera_saw_last_does_not_count() -> None:
    camera = received(Line().report(CameraState.FINISHED, at=NOW, sight=CameraSight.DARK))
    assert state_of(facts(cameras=[camera]))[0] is LineState.OK


def test_a_line_whose_frames_wait_is_not_inspected() -> None:
    state, reason = state_of(facts(last=verdict_of(30), in_flight=12))
    assert state is LineState.NOT_INSPECTED
    assert "12 frames wait" in reason


def test_a_running_camera_without_frames_is_not_inspected() -> None:
    assert state_of(facts(last=verdict_of(30)))[0] is LineState.NOT_INSPECTED


def test_a_line_whose_last_verdict_is_error_is_not_inspected() -> None:
    error = verdict_of(1, verdict=Verdict.ERROR, reason="not an image", findings={})
    assert state_of(facts(last=error)) == (LineState.NOT_INSPECTED, "not an image")


def test_a_finished_camera_is_a_stopped_line() -> None:
    camera = received(Line().report(CameraState.FINISHED, at=NOW - timedelta(hours=1)))
    assert state_of(facts(cameras=[camera], last=verdict_of(3600)))[0] is LineState.STOPPED


def test_while_frames_are_counted_from_the_archive_none_is_called_not_inspected() -> None:
    camera = received(Line().report(CameraState.FINISHED, at=NOW))
    assert state_of(facts(cameras=[camera], last=verdict_of(3600), in_flight=None))[0] is LineState.STOPPED


def test_a_finished_camera_with_frames_in_flight_is_not_stopped() -> None:
    camera = received(Line().report(CameraState.FINISHED, at=NOW - timedelta(hours=1)))
    state, reason = state_of(facts(cameras=[camera], last=verdict_of(3600), in_flight=3))
    assert state is LineState.NOT_INSPECTED
    assert "3 frames were never inspected" in reason


def test_the_state_of_a_line_without_reports_comes_from_its_verdicts() -> None:
    assert state_of(facts(cameras=[]))[0] is LineState.OK
    assert state_of(facts(cameras=[], last=None))[0] is LineState.STOPPED


def late(delay: float, fault: str | None = None) -> ReceivedMessage[FrameInspected]:
    """Return a verdict that arrived a second ago, of a frame that was captured long before."""
    verdict = Line(start=NOW - timedelta(seconds=1 + delay)).verdict(fault)
    return ReceivedMessage(verdict, NOW - timedelta(seconds=1))


def test_a_line_that_inspects_old_frames_is_behind_and_not_ok() -> None:
    behind = facts(last=late(60), in_flight=1508)
    assert state_of(behind) == (LineState.BEHIND, "60 s from capture to verdict; 1508 frames wait")
    assert behind.behind == timedelta(seconds=60)
    assert state_of(facts(last=late(9), in_flight=1508))[0] is LineState.OK


def test_an_ng_frame_of_a_line_that_is_behind_is_still_ng() -> None:
    assert state_of(facts(last=late(60, "break"), last_ng=late(60, "break"), in_flight=9))[0] is LineState.NG


def test_a_replayed_frame_does_not_make_a_line_late() -> None:
    assert state_of(facts(last=late(3600), in_flight=0))[0] is LineState.OK


@pytest.mark.parametrize(("skew", "delay", "state"), [(-300, 300, LineState.OK), (300, -240, LineState.BEHIND)])
def test_a_wrong_clock_of_the_camera_neither_makes_a_delay_nor_hides_one(
    skew: float, delay: float, state: LineState
) -> None:
    arrival = NOW - timedelta(seconds=2)
    camera = ReceivedMessage(Line().report(at=arrival + timedelta(seconds=skew)), arrival)
    assert state_of(facts(cameras=[camera], last=late(delay), in_flight=9))[0] is state
