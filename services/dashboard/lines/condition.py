"""The condition of a line, from what its cameras say and from its last verdicts. Pure: facts in, words out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.dashboard.lines.schemas import Condition
from shared.messages import CameraReported, CameraState, FrameInspected, Verdict


@dataclass(frozen=True)
class Signs:
    """What is known of a line at a moment."""

    now: datetime
    cameras: Sequence[CameraReported]
    last: FrameInspected | None
    """The frame captured last among those judged."""
    last_ng: FrameInspected | None
    in_flight: int
    ng_hold: timedelta
    silence: timedelta

    def lost(self, camera: CameraReported) -> bool:
        """Whether a camera should be running and is not, or does not say."""
        if camera.state is CameraState.FINISHED:
            return False
        return camera.state is not CameraState.RUNNING or self.now - camera.reported_at > self.silence


def judge_line(signs: Signs) -> tuple[Condition, str]:
    """The condition, and why."""
    if lost := [camera for camera in signs.cameras if signs.lost(camera)]:
        return Condition.CAMERA_LOST, "; ".join(_why_lost(camera, signs) for camera in lost)
    idle = signs.last is None or signs.now - signs.last.inspected_at > signs.silence
    runs = any(camera.state is CameraState.RUNNING for camera in signs.cameras)
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
    if signs.last_ng and signs.now - signs.last_ng.inspected_at < signs.ng_hold:
        return Condition.NG, signs.last_ng.reason
    if signs.last and signs.last.verdict is Verdict.ERROR:
        return Condition.NOT_INSPECTED, signs.last.reason
    return Condition.OK, "no fault in the last frames"


def _why_lost(camera: CameraReported, signs: Signs) -> str:
    if camera.state is not CameraState.RUNNING:
        return f"camera {camera.camera} is {camera.state.value}" + (f": {camera.reason}" if camera.reason else "")
    seconds = (signs.now - camera.reported_at).total_seconds()
    return f"camera {camera.camera} has said nothing for {seconds:.0f} s"


def _lately(signs: Signs) -> str:
    return f"in the last {signs.silence.total_seconds():.0f} s"
