"""The background loops of a gateway: decide at deadlines, publish decisions, read reports, and take commands."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import wait
from datetime import UTC, datetime
from typing import Final

import structlog

from services.gateway.handler import Gateway
from services.gateway.journal import Journal
from services.gateway.line_checks import LineChecks
from services.gateway.line_recipes import LineRecipes
from services.gateway.line_watch import LineWatch
from services.gateway.outputs.port import signal_of_test
from services.gateway.signal_outbox import SignalOutbox
from shared.health import Health
from shared.messages import (
    CameraReported,
    CheckRequested,
    OutputTestRequested,
    PartDecided,
    RecipeChangeRequested,
    decode,
)
from shared.messaging.loop import Loop, Outcome, Received
from shared.messaging.port import BrokerUnavailable, Publisher, PublishRefused, Subscription
from shared.messaging.traces import publish_decision

LONGEST_WAIT: Final = 0.5
"""Most seconds that an idle loop waits."""
FORGET_SECONDS: Final = 3_600.0
"""Seconds between two deletions of old decisions."""
BATCH: Final = 200
"""Most messages or decisions at once."""
CONFIRM_SECONDS: Final = 10.0
"""Seconds that a loop waits for the broker's confirms."""

DECISIONS_SECONDS: Final = 0.2
"""Seconds that a gateway that stands by waits for further decisions of the active one."""

_log = structlog.stdlib.get_logger("gateway")


def decide_at_deadlines(gateway: Gateway, journal: Journal, stop: threading.Event, health: Health) -> None:
    """Decide about parts at their deadlines until ``stop`` is set, and delete old decisions each hour."""
    forget_at = time.monotonic()
    while not stop.is_set():
        health.beat()
        version = journal.version
        gateway.expire()
        if time.monotonic() >= forget_at:
            journal.forget_old(datetime.now(UTC))
            forget_at = time.monotonic() + FORGET_SECONDS
        left = gateway.seconds_to_deadline
        journal.wait(version, LONGEST_WAIT if left is None else min(left, LONGEST_WAIT))


def adopt_decisions(journal: Journal, decisions: Subscription) -> None:
    """Store the decisions that the active gateway has published since the last call."""
    try:
        while received := decisions.receive(BATCH, DECISIONS_SECONDS):
            messages = [decode(delivery.body) for delivery in received]
            journal.adopt([each for each in messages if isinstance(each, PartDecided)], datetime.now(UTC))
            decisions.acknowledge(received)
    except BrokerUnavailable as error:
        _log.warning("the decisions of the active gateway can't be read", reason=str(error))


def read_reports(
    gateway: Gateway,
    watch: LineWatch,
    reports: Subscription,
    stop: threading.Event,
    health: Health,
    *,
    line_recipes: LineRecipes,
) -> None:
    """Read reports until ``stop`` is set: the frames that were captured, the health of the senders, the recipes."""

    def read(batch: Sequence[Received]) -> Outcome:
        watch.note_reports([received.message for received in batch])
        newest = {
            report.session: report for received in batch if isinstance(report := received.message, CameraReported)
        }
        for report in newest.values():
            gateway.expect_captured(report)
            line_recipes.note_report(report)
        return Outcome()

    Loop(reports, None, read, stop, health).run(BATCH, LONGEST_WAIT)


def take_commands(
    outbox: SignalOutbox,
    checks: LineChecks,
    commands: Subscription,
    stop: threading.Event,
    health: Health,
    *,
    line_recipes: LineRecipes,
) -> None:
    """Take the requests to test outputs, to check lines and to change their recipes until ``stop`` is set."""

    def take(batch: Sequence[Received]) -> Outcome:
        rejected = {}
        for place, received in enumerate(batch):
            request = received.message
            if isinstance(request, CheckRequested):
                checks.begin(request)
            elif isinstance(request, RecipeChangeRequested):
                line_recipes.take(request)
            elif isinstance(request, OutputTestRequested) and not outbox.add_test(
                signal_of_test(request), request.output
            ):
                rejected[place] = f"line {request.line} has no output {request.output}"
        return Outcome(rejected=rejected)

    Loop(commands, None, take, stop, health).run(BATCH, LONGEST_WAIT)


def publish_decisions(journal: Journal, publisher: Publisher, stop: threading.Event, health: Health) -> None:
    """Publish decisions of the journal until ``stop`` is set; while the broker is away, they wait in the journal."""
    outage = ""
    while not stop.is_set():
        health.beat()
        version = journal.version
        decisions = journal.unpublished(BATCH)
        if not decisions:
            journal.wait(version, LONGEST_WAIT)
            continue
        sent = [(decision, publish_decision(publisher, decision.message)) for decision in decisions]
        until = time.monotonic() + CONFIRM_SECONDS
        while not stop.is_set() and time.monotonic() < until:
            health.beat()
            if not wait([future for _, future in sent], LONGEST_WAIT).not_done:
                break
        confirmed, reason = [], ""
        for decision, future in sent:
            error = future.exception() if future.done() else BrokerUnavailable("no confirm in time")
            if error is None:
                confirmed.append(decision)
            elif isinstance(error, BrokerUnavailable | PublishRefused):
                reason = str(error)
            else:
                raise error
        if confirmed:
            journal.mark_published(confirmed)
        if reason:
            if not outage:
                _log.warning("decisions wait for the broker", reason=reason)
            stop.wait(1.0)
        outage = reason
