"""Triggers and images: which image a trigger gets, and when it is missed."""

from __future__ import annotations

import pytest

from services.camera.triggers.trigger import Cause, InvalidTrigger, Trigger, TriggerOutcome
from services.camera.triggers.triggers import Triggers
from shared.messages import CameraState
from tests.messages import identity


class Camera:
    """Triggers of a camera that runs, by a clock that the test sets."""

    def __init__(self, seconds: float = 60, delay_seconds: float = 0) -> None:
        self.now = 100.0
        self.missed = 0
        self.triggers = Triggers(
            "line-1",
            "camera-1",
            self._count,
            seconds=seconds,
            delay_seconds=delay_seconds,
            refusal=lambda recipe: "" if recipe == "seam" else "no model of it is in production",
            clock=lambda: self.now,
        )
        self.triggers.set_state(CameraState.RUNNING)

    def _count(self) -> None:
        self.missed += 1


def test_a_trigger_gets_the_first_image_that_is_read_after_its_delay() -> None:
    camera = Camera(delay_seconds=0.5)
    answer = camera.triggers.fire(Trigger(id="7", part="part-1"))
    assert camera.triggers.take(read_at=100.4) is None
    pending = camera.triggers.take(read_at=100.5)
    assert pending is not None
    camera.triggers.captured(pending, identity(3, part="part-1"))
    told = answer.result(10)
    assert (told.id, told.outcome, told.frame_id, told.part) == ("7", "captured", identity(3).frame_id, "part-1")
    assert camera.triggers.take(read_at=101) is None, "a trigger is for one image"
    assert camera.missed == 0


def test_a_trigger_before_the_image_of_another_one_is_missed_and_the_other_is_not() -> None:
    camera = Camera()
    first = camera.triggers.fire(Trigger())
    assert not camera.triggers.is_ready
    assert camera.triggers.fire(Trigger(id="second")).result(0).cause is Cause.BUSY
    pending = camera.triggers.take()
    assert pending is not None
    assert camera.triggers.is_ready
    camera.triggers.captured(pending, identity())
    assert first.result(10).outcome is TriggerOutcome.CAPTURED
    assert camera.missed == 1


def test_a_trigger_that_is_sent_again_gets_the_answer_of_the_first_and_is_counted_once() -> None:
    camera = Camera()
    first = camera.triggers.fire(Trigger(id="7"))
    assert camera.triggers.fire(Trigger(id="7")) is first, "while the first waits for its image"
    busy = camera.triggers.fire(Trigger(id="8"))
    pending = camera.triggers.take()
    assert pending is not None
    camera.triggers.captured(pending, identity(3))
    assert camera.triggers.fire(Trigger(id="7")).result(10).frame_id == identity(3).frame_id
    assert camera.triggers.fire(Trigger(id="8")) is busy
    assert busy.result(0).cause is Cause.BUSY
    assert camera.triggers.is_ready
    assert camera.missed == 1
    camera.now += 61
    assert not camera.triggers.fire(Trigger(id="7")).done(), "after a minute it is another trigger"
    assert not camera.triggers.is_ready


def test_a_trigger_with_a_recipe_that_no_model_has_is_refused_and_the_next_one_is_not() -> None:
    camera = Camera()
    told = camera.triggers.fire(Trigger(id="7", recipe="nut")).result(10)
    assert (told.id, told.outcome, told.cause) == ("7", TriggerOutcome.MISSED, Cause.REFUSED)
    assert told.reason == "no model of it is in production"
    assert camera.missed == 1
    assert camera.triggers.is_ready
    camera.triggers.fire(Trigger(recipe="seam"))
    pending = camera.triggers.take()
    assert pending is not None
    assert pending.trigger.recipe == "seam"


def test_a_camera_that_goes_away_misses_the_trigger_that_waits_and_those_after_it() -> None:
    camera = Camera()
    waiting = camera.triggers.fire(Trigger())
    seen: list[str] = []
    camera.triggers.watch(lambda: seen.append(camera.triggers.away))
    camera.triggers.set_state(CameraState.RECONNECTING, "unplugged")
    after = camera.triggers.fire(Trigger())
    assert {answer.result(10).cause for answer in (waiting, after)} == {Cause.AWAY}
    assert after.result().reason == "the camera is reconnecting: unplugged"
    camera.triggers.set_state(CameraState.RUNNING)
    assert seen == ["the camera is reconnecting: unplugged", ""]
    assert camera.triggers.is_ready
    assert camera.missed == 2


def test_a_trigger_whose_frame_is_dropped_is_missed_and_counted_with_the_frame() -> None:
    camera = Camera()
    answer = camera.triggers.fire(Trigger(id="7"))
    pending = camera.triggers.take()
    assert pending is not None
    camera.triggers.dropped(pending)
    told = answer.result(10)
    assert (told.id, told.outcome, told.cause, told.frame_id) == ("7", "missed", "dropped", None)
    assert camera.missed == 0, "the frame is among the captured ones"


def test_a_trigger_whose_image_does_not_come_is_missed() -> None:
    camera = Camera(seconds=0.01)
    answer = camera.triggers.fire(Trigger()).result(60)
    assert (answer.cause, answer.reason) == (Cause.LATE, "no image came within 0.01 s")
    assert camera.triggers.take() is None
    assert camera.triggers.is_ready


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b'{"part": "a/b"}', "part: give letters, digits, _ and -"),
        (b'{"parts": "a"}', "parts: there is no such field"),
        (b"part=a", "not JSON"),
        (b"[]", "give"),
        (b" " * 5_000, "at most 4,096 bytes"),
    ],
)
def test_a_document_that_is_no_trigger_is_refused_with_the_reason(document: bytes, reason: str) -> None:
    with pytest.raises(InvalidTrigger) as error:
        Trigger.read(document)
    assert reason in str(error.value)


def test_a_trigger_may_say_nothing() -> None:
    assert Trigger.read(b"") == Trigger.read(b"{}") == Trigger()
