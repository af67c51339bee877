"""Keep the challenge sets of lines, run checks, and show their records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from services.dashboard.checks.repository import (
    CHECK_ID,
    REQUEST_SECONDS,
    ChallengeRepository,
    CheckRepository,
    CheckRequests,
    GivenImage,
    StoredPart,
    moment_of,
    new_check_id,
)
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
from services.dashboard.web.problems import Problem
from shared.imaging.codec import FILE_LIMIT, UnreadableImage, as_jpeg_or_png
from shared.language import gettext, translated
from shared.messages import ChallengePart, CheckRequested, CheckState, Expected, LineChecked
from shared.recipe import Recipe

MOST_PARTS: Final = 100
MOST_IMAGES: Final = 32
"""Images of a part."""
MOST_LISTED: Final = 50
SHOWN_SECONDS: Final = 10.0
"""Most seconds for the verdicts on the images of a part."""
FED_SECONDS: Final = 300.0
"""Most seconds until the next real part comes."""
LONGEST_CHECK: Final = timedelta(minutes=15)
"""Time from the request of a check after which no record is expected, unless the gateway reports that it runs."""


class ChecksService:
    """Answers about challenge sets and checks."""

    def __init__(
        self,
        lines: LinesService,
        frames: FramesService,
        challenges: ChallengeRepository,
        *,
        records: CheckRepository,
        requests: CheckRequests,
        commands: CommandPublisher,
        recipe_of: Callable[[str, str], Recipe],
    ) -> None:
        """``recipe_of`` returns the recipe of a model by the names of the recipe and the version, or raises 404."""
        self._lines = lines
        self._frames = frames
        self._challenges = challenges
        self._records = records
        self._requests = requests
        self._recipe_of = recipe_of
        self._commands = commands

    def challenge(self, line: str) -> ChallengeSet:
        """Return the challenge set of a line.

        Raises:
            Problem: 404: there is no such line.
        """
        self._lines.check(line)
        parts = [ChallengePartView.of(line, stored) for stored in self._challenges.parts(line)]
        return ChallengeSet(line=line, parts=parts)

    def labels(self, line: str) -> tuple[str, ...]:
        """Return the labels that a part of a line may be NG by: of its model in production, and of earlier verdicts.

        Empty: the recipe of the model is not known.

        Raises:
            Problem: 404: there is no such line.
        """
        recipe = self.recipe(line)
        return tuple(dict.fromkeys([*recipe.label_names, *self._lines.choices(line).labels])) if recipe else ()

    def recipe(self, line: str) -> Recipe | None:
        """Return the recipe of the model that inspected the last frame of a line; None: it is not known.

        Raises:
            Problem: 404: there is no such line.
        """
        state = self._lines.state(line)
        if state.recipe is None or state.model_version is None:
            return None
        with suppress(Problem):
            return self._recipe_of(state.recipe, state.model_version)
        return None

    def put_part(
        self,
        line: str,
        name: str,
        expected: Expected,
        defects: Sequence[str],
        images: Sequence[GivenImage],
        *,
        fed: bool = False,
        by: str,
    ) -> ChallengePartView:
        """Store a part of the challenge set of a line, in place of one of the same name.

        ``fed`` says that it is a real part, which can be fed to the cameras; such a part needs no images.

        Raises:
            Problem: 404: there is no such line or frame; 409: the set is full; 422: an image can't be used, or a label
                is not known.
        """
        self._lines.check(line)
        others = [stored for stored in self._challenges.parts(line) if stored.part.name != name]
        if len(others) >= MOST_PARTS:
            raise Problem(409, gettext("a challenge set has %(most)s parts at most: remove one", most=MOST_PARTS))
        if not images and not fed:
            raise Problem(422, gettext("images: give files or frames, or say that it is a real part (fed)"))
        if len(images) > MOST_IMAGES:
            raise Problem(422, gettext("images: give %(most)s files or frames at most", most=MOST_IMAGES))
        if defects and expected is Expected.OK:
            raise Problem(422, gettext("defects: a part that has to be ok has none"))
        known = self.labels(line)
        if known and (unknown := [label for label in defects if label not in known]):
            raise Problem(
                422,
                gettext(
                    "defects: the line has no label %(label)r; its labels: %(known)s",
                    label=unknown[0],
                    known=", ".join(known),
                ),
            )
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
        part = ChallengePart(name=name, expected=expected, defects=tuple(defects), images=tuple(stored), fed=fed)
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
        self.check_can_run(line, by_camera=order.by_camera)
        request = CheckRequested(
            check_id=new_check_id(),
            line=line,
            parts=self._parts(line, by_camera=order.by_camera),
            by_camera=order.by_camera,
            recipe=order.recipe,
            part_seconds=order.part_seconds or (FED_SECONDS if order.by_camera else SHOWN_SECONDS),
            by=by,
            at=datetime.now(UTC),
        )
        if not self._requests.begin(line, request.check_id):
            raise Problem(
                409,
                gettext(
                    "a check of the line was requested less than %(seconds)s s ago: wait for its record",
                    seconds=REQUEST_SECONDS,
                ),
            )
        try:
            self._commands.publish(request, applied=False)
        except Problem:
            self._requests.end(line, request.check_id)
            raise
        return CheckStarted(check_id=request.check_id)

    def _parts(self, line: str, *, by_camera: bool) -> tuple[ChallengePart, ...]:
        """Return the real parts, for a check by camera, or those that have images."""
        parts = (stored.part for stored in self._challenges.parts(line))
        return tuple(part for part in parts if (part.fed if by_camera else part.images))

    def check_can_run(self, line: str, *, by_camera: bool = False) -> None:
        """Check that a check of a line can begin, by its images or with real parts.

        Raises:
            Problem: 404: there is no such line; 409: the set is incomplete, no gateway works, or a check runs.
        """
        gateway = self._lines.state(line).gateway
        if {part.expected for part in self._parts(line, by_camera=by_camera)} != set(Expected):
            if by_camera:
                raise Problem(
                    409, gettext("the challenge set needs at least one real good part, and one with a defect")
                )
            raise Problem(
                409, gettext("the challenge set needs images of at least one good part, and of one with a defect")
            )
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
        return CheckList(
            last=gateway.check if gateway else None,
            due=gateway.due_check if gateway else None,
            checks=self._records.newest(line, MOST_LISTED),
        )

    def find(self, line: str, check_id: str) -> LineChecked | None:
        """Return the record of a check; None: it has none so far.

        Raises:
            Problem: 404: there is no such line, or what is given is not the id of a check.
        """
        self._lines.check(line)
        if not CHECK_ID.fullmatch(check_id):
            raise Problem(404, gettext("there is no check %(check)s", check=check_id))
        return self._records.get(line, check_id)

    def is_expected(self, line: str, check_id: str) -> bool:
        """Return whether a record of a check may still come: it was just requested, or the gateway reports it."""
        if abs(datetime.now(UTC) - moment_of(check_id)) < LONGEST_CHECK:
            return True
        gateway = self._lines.state(line).gateway
        check = gateway.check if gateway and not gateway.lost else None
        return check is not None and check.check_id == check_id and check.state is CheckState.RUNNING

    def next_part(self, line: str, check_id: str) -> ChallengePart | None:
        """Return the part that has to be fed to the cameras now; None: none has, or the gateway has not said so yet."""
        gateway = self._lines.state(line).gateway
        check = gateway.check if gateway else None
        if check is None or check.check_id != check_id:
            return None
        parts = (stored.part for stored in self._challenges.parts(line))
        return next((part for part in parts if part.name == check.next_part), None)

    def get(self, line: str, check_id: str) -> LineChecked:
        """Return the record of a check.

        Raises:
            Problem: 404: there is no such line, or no record of the check so far.
        """
        if record := self.find(line, check_id):
            return record
        raise Problem(404, gettext("there is no record of this check: it runs still, or there was none of this id"))
