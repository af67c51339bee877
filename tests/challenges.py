"""Challenge sets for tests: parts of the recipe of `tests.parts`, and checks that ask for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ulid import ULID

from shared.messages import (
    ChallengeImage,
    ChallengePart,
    CheckedPart,
    CheckFrame,
    CheckFrameInspected,
    CheckRequested,
    Expected,
    LineChecked,
    PartAction,
    PartVerdict,
    challenge_folder,
)
from tests.parts import verdict


def image(name: str = "a.png", camera: str = "camera-1") -> ChallengeImage:
    key = f"{challenge_folder('line-1')}/{name}"
    return ChallengeImage(camera=camera, key=key, encoding="png", width=64, height=48)


def part(name: str, expected: str, *defects: str, images: int = 1) -> ChallengePart:
    files = tuple(image(f"{name}-{place}.png") for place in range(images))
    return ChallengePart(name=name, expected=Expected(expected), defects=defects, images=files)


GOOD, BROKEN = part("good-1", "ok"), part("break-1", "ng", "break")


def check(*parts: ChallengePart, after: float = 0, **changes: Any) -> CheckRequested:
    """A check that is requested ``after`` seconds from now."""
    at = datetime.now(UTC) + timedelta(seconds=after)
    check_id = f"check-{ULID.from_datetime(at)}"
    request = CheckRequested(check_id=check_id, line="line-1", parts=parts or (GOOD, BROKEN), by="eva", at=at)
    return request.model_copy(update=changes)


def answer(frame: CheckFrame, said: str = "ok") -> CheckFrameInspected:
    """The verdict of a worker on a frame of a check."""
    found = verdict(0, said)
    return CheckFrameInspected(**{**dict(found), "frame": frame.frame, "image_key": frame.image_key})


def record_of(request: CheckRequested, **changes: Any) -> LineChecked:
    """The record of a check of which each part got what was expected."""
    actions = {Expected.OK: PartAction.PASS, Expected.NG: PartAction.REJECT}
    return LineChecked(
        check_id=request.check_id,
        line=request.line,
        passed=True,
        parts=tuple(
            CheckedPart(
                part=each,
                verdict=PartVerdict(each.expected.value),
                action=actions[each.expected],
                reason="no fault" if each.expected is Expected.OK else "1 of 1 frames are NG: break",
                faults=each.defects,
                passed=True,
                latency_ms=120,
            )
            for each in request.parts
        ),
        recipe="seam",
        model_versions=("model-1",),
        by=request.by,
        requested_at=request.at,
        at=datetime.now(UTC),
    ).model_copy(update=changes)
