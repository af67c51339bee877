"""Decisions about parked messages, while something else goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.dashboard.accounting.parked import ParkedMessages
from services.dashboard.settings import DashboardSettings
from services.dashboard.web.problems import Problem
from shared.messaging.port import Broker, BrokerUnavailable, MessagingError, ParkedAction, ParkedMessage, PublishRefused
from shared.storage.port import ObjectStore
from shared.topology import INFERENCE_FRAMES, Queue
from tests.dashboards import captured, embedded_settings, park
from tests.processes import wait_until
from tests.verdicts import Line


@pytest.fixture
def settings(tmp_path: Path) -> DashboardSettings:
    return embedded_settings(tmp_path)


class Failing:
    """A broker that fails between a decision and what it decides."""

    def __init__(self, broker: Broker, error: MessagingError) -> None:
        self._broker = broker
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def review(self, queue: Queue, decide: Callable[[ParkedMessage], ParkedAction], most: int) -> None:
        def fail(message: ParkedMessage) -> ParkedAction:
            if decide(message) is not ParkedAction.KEEP:
                raise self._error
            return ParkedAction.KEEP

        self._broker.review(queue, fail, most)


@pytest.mark.parametrize("action", ["replay", "discard"])
def test_a_decision_is_stored_as_not_done_when_the_broker_goes_away(
    broker: Broker, store: ObjectStore, action: Any
) -> None:
    park(broker, INFERENCE_FRAMES, [captured(Line())], "not an image")
    failing: Any = Failing(broker, BrokerUnavailable("it went away"))
    parked = ParkedMessages(failing, store)
    (message,) = parked.look().parked
    with pytest.raises(BrokerUnavailable):
        parked.decide(message.queue, message.id, action, by="ada", note="")
    (doubtful,) = parked.decisions().decisions
    assert (doubtful.by, doubtful.action, doubtful.done) == ("ada", action, False)

    # ids order by the millisecond
    wait_until(lambda: datetime.now(UTC) - doubtful.at > timedelta(milliseconds=2), 60, "a later millisecond", 0.001)
    working = ParkedMessages(broker, store)
    assert [each.id for each in working.look().parked] == [message.id]
    assert working.decide(message.queue, message.id, action, by="ada", note="").done
    assert [decision.done for decision in working.decisions().decisions] == [True, False]


def test_a_replay_that_the_queue_refused_is_no_decision(broker: Broker, store: ObjectStore) -> None:
    park(broker, INFERENCE_FRAMES, [captured(Line())], "not an image")
    failing: Any = Failing(broker, PublishRefused("the queue is full"))
    parked = ParkedMessages(failing, store)
    (message,) = parked.look().parked
    with pytest.raises(Problem, match="is full: the message stays parked"):
        parked.decide(message.queue, message.id, "replay", by="ada", note="")
    assert parked.decisions().decisions == []


def test_parked_messages_are_listed_at_most_every_few_seconds_and_after_a_decision(
    broker: Broker, store: ObjectStore
) -> None:
    parked = ParkedMessages(broker, store, fresh_seconds=600)
    park(broker, INFERENCE_FRAMES, [captured(Line())], "not an image")
    (first,) = parked.look().parked
    park(broker, INFERENCE_FRAMES, [captured(Line(camera="camera-2"))], "no image either")
    assert [each.id for each in parked.look().parked] == [first.id]
    parked.decide(first.queue, first.id, "discard", by="ada", note="")
    assert [each.camera for each in parked.look().parked] == ["camera-2"]


def test_a_newly_parked_message_is_listed_after_some_seconds(broker: Broker, store: ObjectStore) -> None:
    parked = ParkedMessages(broker, store, fresh_seconds=0.0)
    assert parked.look().parked == []
    park(broker, INFERENCE_FRAMES, [captured(Line())], "not an image")
    assert len(parked.look().parked) == 1
