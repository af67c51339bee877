from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.dashboard.lines.cameras import Heard
from services.dashboard.lines.schemas import Condition
from services.dashboard.lines.state import Signs, judge_line
from services.dashboard.lines.throughput import Arrived
from shared.messages import CameraReported, CameraState, FrameInspected, Verdict
from tests.verdicts import Line

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


def heard(report: CameraReported, ago: float | None = None) -> Heard:
    return Heard(report, report.at if ago is None else NOW - timedelta(seconds=ago))


def arrived(verdict: FrameInspected) -> Arrived:
    return Arrived(verdict, verdict.at)


def signs(**changes: Any) -> Signs:
    """A line that runs, and whose last frame was ok a moment ago."""
    line = Line(start=NOW - timedelta(seconds=1))
    known: dict[str, Any] = {
        "now": NOW,
        "cameras": [heard(line.report(at=NOW - timedelta(seconds=2)))],
        "last": arrived(line.verdict()),
        "last_ng": None,
        "in_flight": 0,
        "ng_hold": timedelta(seconds=5),
        "silence": timedelta(seconds=15),
    }
    return Signs(**{**known, **changes})


def verdict_of(age: float, fault: str | None = None, **changes: Any) -> Arrived:
    line = Line(start=NOW - timedelta(seconds=age))
    return arrived(line.verdict(fault, at=NOW - timedelta(seconds=age), **changes))


def test_a_line_whose_last_frames_are_ok_is_ok() -> None:
    assert judge_line(signs())[0] is Condition.OK


def test_an_ng_frame_is_held_for_a_while_although_ok_ones_follow() -> None:
    assert judge_line(signs(last_ng=verdict_of(4, "break"))) == (Condition.NG, "break")
    assert judge_line(signs(last_ng=verdict_of(6, "break")))[0] is Condition.OK


@pytest.mark.parametrize("state", [CameraState.RECONNECTING, CameraState.FAILED])
def test_a_camera_that_says_it_cant_see_is_lost(state: CameraState) -> None:
    camera = heard(Line().report(state, reason="no such device", at=NOW))
    condition, because = judge_line(signs(cameras=[camera]))
    assert condition is Condition.CAMERA_LOST
    assert "no such device" in because


def test_a_camera_that_falls_silent_is_lost() -> None:
    camera = heard(Line().report(at=NOW + timedelta(days=1)), ago=40)
    assert judge_line(signs(cameras=[camera])) == (
        Condition.CAMERA_LOST,
        "camera camera-1 has said nothing for 40 s",
    )


def test_one_lost_camera_of_two_is_a_lost_camera() -> None:
    reports = [Line().report(at=NOW), Line(camera="camera-2").report(CameraState.FAILED, at=NOW)]
    cameras = list(map(heard, reports))
    assert judge_line(signs(cameras=cameras))[0] is Condition.CAMERA_LOST


def test_frames_that_nobody_judges_are_not_inspected() -> None:
    condition, because = judge_line(signs(last=verdict_of(30), in_flight=12))
    assert condition is Condition.NOT_INSPECTED
    assert "12 frames wait" in because


def test_a_running_camera_without_frames_is_not_inspected() -> None:
    assert judge_line(signs(last=verdict_of(30)))[0] is Condition.NOT_INSPECTED


def test_a_frame_that_could_not_be_judged_is_not_inspected() -> None:
    error = verdict_of(1, verdict=Verdict.ERROR, reason="not an image", findings={})
    assert judge_line(signs(last=error)) == (Condition.NOT_INSPECTED, "not an image")


def test_a_finished_camera_is_a_stopped_line() -> None:
    camera = heard(Line().report(CameraState.FINISHED, at=NOW - timedelta(hours=1)))
    assert judge_line(signs(cameras=[camera], last=verdict_of(3600)))[0] is Condition.STOPPED


def test_a_finished_camera_whose_frames_were_not_all_judged_is_not_stopped() -> None:
    camera = heard(Line().report(CameraState.FINISHED, at=NOW - timedelta(hours=1)))
    condition, because = judge_line(signs(cameras=[camera], last=verdict_of(3600), in_flight=3))
    assert condition is Condition.NOT_INSPECTED
    assert "3 frames were never judged" in because


def test_a_line_of_which_only_verdicts_are_known_is_judged_by_them() -> None:
    assert judge_line(signs(cameras=[]))[0] is Condition.OK
    assert judge_line(signs(cameras=[], last=None))[0] is Condition.STOPPED
