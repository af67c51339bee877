"""Cameras: how far each session has come, and what each camera said last."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

from redis import Redis

from services.dashboard.latest import Latest
from services.dashboard.projection import Keys
from services.dashboard.settings import DashboardSettings
from shared.messages import CameraReported, FrameIdentity


class Cameras:
    """The cameras in Redis."""

    def __init__(self, redis: Redis, keys: Keys, settings: DashboardSettings) -> None:
        self._keys = keys
        self._latest = Latest(redis)
        self._seconds = settings.seen_days * 86_400
        script = files("services.dashboard.lines") / "session.lua"
        self._script = redis.register_script(script.read_text(encoding="utf-8"))

    def report(self, reports: Iterable[CameraReported]) -> None:
        """Take in what cameras said; whatever is older than what is known changes nothing."""
        for report in reports:
            self._advance(report.session, report.line, report.captured, report.refused)
            key = self._keys.cameras(report.line)
            self._latest.put(key, report.camera, report.reported_at, report.model_dump_json())

    def saw(self, frames: Iterable[FrameIdentity]) -> None:
        """Frames have come: their sessions captured at least so many. Reports may lag behind."""
        furthest: dict[str, FrameIdentity] = {}
        for frame in frames:
            if frame.session not in furthest or frame.sequence > furthest[frame.session].sequence:
                furthest[frame.session] = frame
        for session, frame in furthest.items():
            self._advance(session, frame.line, frame.sequence + 1, 0)

    def of_line(self, line: str) -> list[CameraReported]:
        """The last report of each camera of a line."""
        return [
            CameraReported.model_validate_json(report) for report in self._latest.all(self._keys.cameras(line)).values()
        ]

    def _advance(self, session: str, line: str, captured: int, refused: int) -> None:
        keys = [self._keys.session(session), self._keys.total(line), self._keys.lines]
        self._script(keys=keys, args=[captured, refused, self._seconds, line])
