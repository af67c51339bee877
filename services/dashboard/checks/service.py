"""Keep the challenge sets of lines, run checks, and show their records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from services.dashboard.checks.repository import ChallengeRepository, CheckRepository, StoredPart, new_check_id
from services.dashboard.checks.schemas import (
    ChallengePartView,
    ChallengeSet,
    CheckList,
    CheckOrder,
    CheckStarted,
)
from services.dashboard.frames.service import FramesService, ServedImage
from services.dashboard.ingest.command_publisher import CommandPublisher
from services.dashboard.lines.service import LinesService
from services.dashboard.web.language import gettext, translated
from services.dashboard.web.problems import Problem
from shared.imaging.codec import FILE_LIMIT, UnreadableImage, as_jpeg_or_png
from shared.messages import ChallengePart, CheckRequested, CheckState, Expected, LineChecked

MOST_PARTS: Final = 100
MOST_IMAGES: Final = 32
"""Images of a part."""
MOST_LISTED: Final = 50


@dataclass(frozen=True)
class GivenImage:
    """An image for a part of a challenge set: an uploaded file, or the image of a frame that was inspected."""

    camera: str | None
    """None: the camera of the frame."""
    content: bytes = b""
    frame_id: str | None = None


class ChecksService:
    """Answers about challenge sets and checks."""

    def __init__(
        self,
        lines: LinesService,
        frames: FramesService,
        challenges: ChallengeRepository,
        records: CheckRepository,
        commands: CommandPublisher,
    ) -> None:
        self._lines = lines
        self._frames = frames
        self._challenges = challenges
        self._records = records
        self._commands = commands

    def challenge(self, line: str) -> ChallengeSet:
        """Return the challenge set of a line.

        Raises:
            Problem: 404: there is no such line.
        """
        self._lines.check(line)
        parts = [ChallengePartView.of(line, stored) for stored in self._challenges.parts(line)]
        return ChallengeSet(line=line, parts=parts)

    def put_part(
        self, line: str, name: str, expected: Expected, defects: Sequence[str], images: Sequence[GivenImage], *, by: str
    ) -> ChallengePartView:
        """Store a part of the challenge set of a line, in place of one of the same name.

        Raises:
            Problem: 404: there is no such line or frame; 409: the set is full; 422: an image can't be used.
        """
        self._lines.check(line)
        others = [stored for stored in self._challenges.parts(line) if stored.part.name != name]
        if len(others) >= MOST_PARTS:
            raise Problem(409, gettext("a challenge set has %(most)s parts at most: remove one", most=MOST_PARTS))
        if not 0 < len(images) <= MOST_IMAGES:
            raise Problem(422, gettext("images: give 1 to %(most)s files or frames", most=MOST_IMAGES))
        if defects and expected is Expected.OK:
            raise Problem(422, gettext("defects: a part that has to be ok has none"))
        stored = []
        for given in images:
            content, camera = given.content, given.camera
            if given.frame_id is not None:
                content = self._frames.image(given.frame_id).content
                camera = camera or self._frames.get(given.frame_id).camera
            if len(content) > FILE_LIMIT:
                raise Problem(413, gettext("images: a file is too large"))
            try:
                stored.append(self._challenges.put_image(line, camera or "camera-1", as_jpeg_or_png(content)))
            except UnreadableImage as error:
                raise Problem(422, gettext("images: %(error)s", error=translated(error))) from error
        part = ChallengePart(name=name, expected=expected, defects=tuple(defects), images=tuple(stored))
        stored_part = StoredPart(part=part, by=by, at=datetime.now(UTC))
        self._challenges.put(line, stored_part)
        return ChallengePartView.of(line, stored_part)

    def remove_part(self, line: str, name: str) -> None:
        """Remove a part from the challenge set of a line.

        Raises:
            Problem: 404: there is no such line or part.
        """
        self._lines.check(line)
        if not self._challenges.remove(line, name):
            raise Problem(404, gettext("the challenge set of %(line)s has no part %(name)r", line=line, name=name))

    def image(self, line: str, name: str) -> ServedImage:
        """Return an image of a challenge set, also of a part that was removed.

        Raises:
            Problem: 404: there is no such line or image.
        """
        self._lines.check(line)
        found = self._challenges.image(line, name)
        if found is None:
            raise Problem(404, gettext("there is no such image in the challenge set of %(line)s", line=line))
        return ServedImage(*found)

    def run(self, line: str, order: CheckOrder, by: str) -> CheckStarted:
        """Request that the gateway checks a line.

        Raises:
            Problem: 404: there is no such line; 409: it can't be checked now; 503: the broker is unavailable.
        """
        self.check_can_run(line)
        request = CheckRequested(
            check_id=new_check_id(),
            line=line,
            parts=tuple(stored.part for stored in self._challenges.parts(line)),
            recipe=order.recipe,
            part_seconds=order.part_seconds,
            by=by,
            at=datetime.now(UTC),
        )
        self._commands.publish(request, applied=False)
        return CheckStarted(check_id=request.check_id)

    def check_can_run(self, line: str) -> None:
        """Check that a check of a line can begin.

        Raises:
            Problem: 404: there is no such line; 409: the set is incomplete, no gateway works, or a check runs.
        """
        gateway = self._lines.state(line).gateway
        expected = {stored.part.expected for stored in self._challenges.parts(line)}
        if expected != set(Expected):
            raise Problem(409, gettext("the challenge set needs at least one good part, and one with a defect"))
        if gateway is None:
            raise Problem(
                409,
                gettext("no gateway has reported line %(line)s: name the line in the file of GATEWAY_LINES", line=line),
            )
        if gateway.lost:
            raise Problem(409, gettext("the gateway has sent no report for too long: a check needs it"))
        if gateway.check and gateway.check.state is CheckState.RUNNING:
            raise Problem(409, gettext("a check of the line runs: %(check)s", check=gateway.check.check_id))

    def last_checks(self, line: str) -> CheckList:
        """Return the last checks of a line.

        Raises:
            Problem: 404: there is no such line.
        """
        gateway = self._lines.state(line).gateway
        return CheckList(last=gateway.check if gateway else None, checks=self._records.newest(line, MOST_LISTED))

    def find(self, line: str, check_id: str) -> LineChecked | None:
        """Return the record of a check; None: it has none so far.

        Raises:
            Problem: 404: there is no such line.
        """
        self._lines.check(line)
        return self._records.get(line, check_id)

    def get(self, line: str, check_id: str) -> LineChecked:
        """Return the record of a check.

        Raises:
            Problem: 404: there is no such line, or no record of the check so far.
        """
        if record := self.find(line, check_id):
            return record
        raise Problem(404, gettext("there is no record of this check: it runs still, or there was none of this id"))
