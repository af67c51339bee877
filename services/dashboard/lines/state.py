"""The state of a line, from the last reports of its cameras and its last verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.dashboard.lines.repository import ReceivedMessage
from services.dashboard.lines.schemas import LineState
from shared.messages import CameraReported, CameraSight, CameraState, FrameInspected, Verdict


@dataclass(frozen=True)
class LineFacts:
    """The facts from which the state of a line is computed."""

    now: datetime
    cameras: Sequence[ReceivedMessage[CameraReported]]
    last: ReceivedMessage[FrameInspected] | None
    """The verdict that arrived last."""
    last_ng: ReceivedMessage[FrameInspected] | None
    in_flight: int | None
    """None while the counts are incomplete."""
    ng_hold: timedelta
    silence: timedelta
    latency_limit: timedelta
    """Latency above which a line is behind."""

    @property
    def behind(self) -> timedelta | None:
        """Return the latency of the last inspected frame if the line is behind; None if it is up to date.

        The camera's clock is corrected by the camera's last report. A line without frames in flight is up to date: its
        last frame may be an old one, such as a parked frame that was replayed.
        """
        if self.last is None or not self.in_flight:
            return None
        frame = self.last.message.frame
        skew = next((each.skew_seconds for each in self.cameras if each.message.camera == frame.camera), 0.0)
        latency = self.last.at - frame.captured_at + timedelta(seconds=skew)
        return latency if latency > self.latency_limit else None

    def lost(self, camera: ReceivedMessage[CameraReported]) -> bool:
        """Return whether a camera should be running, but is not, or has sent no report for too long."""
        state = camera.message.state
        return state is not CameraState.FINISHED and (
            state is not CameraState.RUNNING or self.now - camera.at > self.silence
        )


def is_blind(report: CameraReported) -> bool:
    """Return whether a running camera sends images in which nothing can be inspected."""
    return report.state is CameraState.RUNNING and report.sight is not CameraSight.CLEAR


def camera_problem(facts: LineFacts) -> tuple[LineState, str] | None:
    """Return the state of a line with a lost or blind camera, and the reason; None if it has no such camera."""
    if lost := [camera for camera in facts.cameras if facts.lost(camera)]:
        reasons = []
        for camera in lost:
            report, seconds = camera.message, (facts.now - camera.at).total_seconds()
            if report.state is CameraState.RUNNING:
                reasons.append(f"camera {report.camera} has sent no report for {seconds:.0f} s")
            else:
                state = f"camera {report.camera} is {report.state.value}"
                reasons.append(f"{state}: {report.reason}" if report.reason else state)
        return LineState.CAMERA_LOST, "; ".join(reasons)
    if blind := [camera.message for camera in facts.cameras if is_blind(camera.message)]:
        reasons = [f"camera {each.camera} is {each.sight}: {each.reason}" for each in blind]
        return LineState.CAMERA_BLIND, "; ".join(reasons)
    return None


def state_of(facts: LineFacts) -> tuple[LineState, str]:
    """Return the state of a line, and the reason for this state."""
    if problem := camera_problem(facts):
        return problem
    if facts.last is None or facts.now - facts.last.at > facts.silence:
        return _state_without_verdicts(facts)
    if facts.last_ng and facts.now - facts.last_ng.at < facts.ng_hold:
        return LineState.NG, facts.last_ng.message.reason
    if facts.last.message.verdict is Verdict.ERROR:
        return LineState.NOT_INSPECTED, facts.last.message.reason
    if behind := facts.behind:
        return (
            LineState.BEHIND,
            f"{behind.total_seconds():.0f} s from capture to verdict; {facts.in_flight} frames wait",
        )
    return LineState.OK, "no fault in the last frames"


def _state_without_verdicts(facts: LineFacts) -> tuple[LineState, str]:
    lately = f"in the last {facts.silence.total_seconds():.0f} s"
    if any(camera.message.state is CameraState.RUNNING for camera in facts.cameras):
        if facts.in_flight:
            return LineState.NOT_INSPECTED, f"{facts.in_flight} frames wait, and none was inspected {lately}"
        return LineState.NOT_INSPECTED, f"no frame came {lately}"
    if facts.in_flight:
        return LineState.NOT_INSPECTED, f"the camera stopped, and {facts.in_flight} frames were never inspected"
    return LineState.STOPPED, "no camera is running"
