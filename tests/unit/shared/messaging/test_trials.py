"""Which suspects are handled, which wait, and which are parked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from shared.messaging.rabbitmq.trials import RETURN_SECONDS, SuspectDecision, Trials, losses_of

LOST_TWICE = 2


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trials(clock: Clock) -> Trials:
    return Trials(clock)


def test_a_suspect_whose_reader_went_once_is_tried_at_once(trials: Trials) -> None:
    assert [trials.judge(b"frame", losses) for losses in (0, 1)] == [SuspectDecision.TRY, SuspectDecision.TRY]


def test_a_suspect_that_no_reader_comes_back_for_is_parked(trials: Trials, clock: Clock) -> None:
    assert trials.judge(b"frame", LOST_TWICE) is SuspectDecision.WAIT
    clock.now = RETURN_SECONDS - 1
    assert trials.judge(b"frame", LOST_TWICE) is SuspectDecision.WAIT
    clock.now = RETURN_SECONDS
    assert trials.judge(b"frame", LOST_TWICE) is SuspectDecision.PARK


def test_a_suspect_that_was_cleared_meanwhile_is_tried(trials: Trials, clock: Clock) -> None:
    assert trials.judge(b"frame", LOST_TWICE) is SuspectDecision.WAIT
    clock.now = RETURN_SECONDS
    assert trials.judge(b"frame", 0) is SuspectDecision.TRY


def test_a_suspect_that_is_lost_anew_is_waited_for_anew(trials: Trials, clock: Clock) -> None:
    for _ in ("parked, and replayed by a person", "lost again"):
        assert trials.judge(b"frame", LOST_TWICE) is SuspectDecision.WAIT
        clock.now += RETURN_SECONDS
        assert trials.judge(b"frame", LOST_TWICE) is SuspectDecision.PARK
    assert trials.judge(b"frame", LOST_TWICE) is SuspectDecision.WAIT
    clock.now += RETURN_SECONDS
    assert trials.judge(b"frame", 0) is SuspectDecision.TRY
    assert trials.judge(b"frame", LOST_TWICE) is SuspectDecision.WAIT


def test_the_time_without_a_connection_counts_for_no_wait(trials: Trials, clock: Clock) -> None:
    assert trials.judge(b"frame", LOST_TWICE) is SuspectDecision.WAIT
    clock.now = RETURN_SECONDS
    trials.connected()
    assert trials.judge(b"frame", LOST_TWICE) is SuspectDecision.WAIT


def test_a_reader_clears_a_survived_suspect_once_and_handles_it_itself(trials: Trials, clock: Clock) -> None:
    trials.survived(b"frame")
    clock.now = 10 * RETURN_SECONDS  # of an outage
    trials.connected()
    assert trials.owes
    assert trials.judge(b"frame", LOST_TWICE) is SuspectDecision.TRY
    assert trials.clear(b"frame")
    assert not trials.owes
    assert not trials.clear(b"frame")


def test_a_suspect_that_does_not_return_in_time_is_forgotten(trials: Trials, clock: Clock) -> None:
    trials.survived(b"frame")
    clock.now = RETURN_SECONDS
    assert not trials.owes


@pytest.mark.parametrize(
    ("headers", "losses"),
    [
        (None, 0),
        ({}, 0),
        ({"x-delivery-count": 1}, 1),
        ({"x-delivery-count": 1, "x-seamline-losses": 2}, 3),
        ({"x-delivery-count": 3, "x-death": []}, 0),
        ({"x-delivery-count": 1, "x-death": []}, 1),
    ],
    ids=["new", "without headers", "lost here", "and before", "of the queue that it comes from", "and lost here"],
)
def test_losses_are_of_all_copies(headers: dict[str, object] | None, losses: int) -> None:
    assert losses_of(SimpleNamespace(headers=headers)) == losses
