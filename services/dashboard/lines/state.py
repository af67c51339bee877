"""The condition of a line, from what its cameras say and from its last verdicts. Pure: facts in, words out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.dashboard.lines.cameras import Heard
from services.dashboard.lines.schemas import Condition
from services.dashboard.lines.throughput import Arrived
from shared.messages import CameraState, Verdict


@dataclass(frozen=True)
class Signs:
    """What is known of a line at a moment."""

    now: datetime
    cameras: Sequence[Heard]
    last: Arrived | None
    """The verdict that arrived last."""
    last_ng: Arrived | None
    in_flight: int
    ng_hold: timedelta
    silence: timedelta

    def lost(self, camera: Heard) -> bool:
        """Whether a camera should be running and is not, or does not say."""
        state = camera.report.state
        return state is not CameraState.FINISHED and (
            state is not CameraState.RUNNING or self.now - camera.at > self.silence
        )


def judge_line(signs: Signs) -> tuple[Condition, str]:
    """The condition, and why."""
    if lost := [camera for camera in signs.cameras if signs.lost(camera)]:
        return Condition.CAMERA_LOST, "; ".join(_why_lost(camera, signs) for camera in lost)
    idle = signs.last is None or signs.now - signs.last.at > signs.silence
    runs = any(camera.report.state is CameraState.RUNNING for camera in signs.cameras)
    if idle:
        return _of_an_idle_line(signs, runs=runs)
    return _of_the_last_verdicts(signs)


def _of_an_idle_line(signs: Signs, *, runs: bool) -> tuple[Condition, str]:
    if runs and signs.in_flight > 0:
        return Condition.NOT_INSPECTED, f"{signs.in_flight} frames wait, and none was judged {_lately(signs)}"
    if runs:
        return Condition.NOT_INSPECTED, f"no frame came {_lately(signs)}"
    if signs.in_flight > 0:
        return Condition.NOT_INSPECTED, f"the camera stopped, and {signs.in_flight} frames were never judged"
    return Condition.STOPPED, "no camera is running"


def _of_the_last_verdicts(signs: Signs) -> tuple[Condition, str]:
    if signs.last_ng and signs.now - signs.last_ng.at < signs.ng_hold:
        return Condition.NG, signs.last_ng.verdict.reason
    if signs.last and signs.last.verdict.verdict is Verdict.ERROR:
        return Condition.NOT_INSPECTED, signs.last.verdict.reason
    return Condition.OK, "no fault in the last frames"


def _why_lost(camera: Heard, signs: Signs) -> str:
    report = camera.report
    if report.state is not CameraState.RUNNING:
        return f"camera {report.camera} is {report.state.value}" + (f": {report.reason}" if report.reason else "")
    seconds = (signs.now - camera.at).total_seconds()
    return f"camera {report.camera} has said nothing for {seconds:.0f} s"


def _lately(signs: Signs) -> str:
    return f"in the last {signs.silence.total_seconds():.0f} s"
