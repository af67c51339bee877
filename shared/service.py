"""How every service starts, runs its background threads, reports and ends."""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import structlog
from tenacity import RetryCallState

from shared.contracts.bundle import BundleError
from shared.errors import CannotStart
from shared.health import Health
from shared.messages import Message, WorkerReported
from shared.messaging import open_broker
from shared.messaging.loop import Handle
from shared.messaging.port import Broker, BrokerUnavailable, MessagingError, Publisher
from shared.recipe import RecipeError
from shared.retry import retrying
from shared.settings import ServiceSettings
from shared.shutdown import Stop, stop_on_signal
from shared.storage.port import StorageError, StorageRefusedLogin, StorageUnavailable
from shared.tracing.setup import close_tracing

LONGEST_PAUSE: Final = 10.0
"""Seconds between two tries to reach an unavailable broker."""

_log = structlog.stdlib.get_logger("service")


def run_service(main: Callable[[Stop], None]) -> None:
    """Run a service's ``main`` with the event that a signal sets.

    An error that the operator can correct is printed in one line, with exit code 2; an error that may pass, with exit
    code 1, so that the supervisor starts the service again. Any other error is a defect and is raised. If a thread ends
    with an error, the service ends with it.
    """
    stop = stop_on_signal()
    try:
        with _ending_with_its_threads(stop):
            main(stop)
    except (CannotStart, MessagingError, StorageError, RecipeError, BundleError) as error:
        may_pass = isinstance(error, BrokerUnavailable | StorageUnavailable)
        stop.exit_code = 1 if may_pass and not isinstance(error, StorageRefusedLogin) else 2
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        raise SystemExit(stop.exit_code) from None
    else:
        stop.exit_code = 0
    finally:
        close_tracing()


@contextmanager
def _ending_with_its_threads(stop: Stop) -> Iterator[None]:
    """Stop when any thread of the process fails, and raise its error after the block."""
    failures: list[BaseException] = []

    def on_failure(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_value is None or isinstance(failed.exc_value, SystemExit):
            return
        name = failed.thread.name if failed.thread else ""
        _log.error("a thread failed: the service ends", thread=name, exc_info=failed.exc_value)
        failures.append(failed.exc_value)
        stop.exit_code = 1
        stop.set()

    before, threading.excepthook = threading.excepthook, on_failure
    try:
        yield
    finally:
        threading.excepthook = before
    if failures:
        raise failures[0]


def await_broker(
    settings: ServiceSettings, stop: threading.Event, connect: Callable[[ServiceSettings], Broker] = open_broker
) -> Broker:
    """Connect to the broker of the settings; while it is unavailable, log that once and wait for it.

    Raises:
        MessagingError: the broker can't be used, or refuses the login.
        SystemExit: ``stop`` was set while the broker was unavailable.
    """

    def log_first(state: RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome:
            _log.warning("waiting for the broker", reason=str(state.outcome.exception()))

    connect_later = retrying(stop, BrokerUnavailable, shortest=0.5, longest=LONGEST_PAUSE, before_pause=log_first)
    try:
        return connect_later(connect, settings)
    except BrokerUnavailable:
        raise SystemExit(0) from None


@contextmanager
def background_threads(stop: threading.Event, *loops: Callable[[], None]) -> Iterator[None]:
    """Run loops in background threads while the block runs; at its end, set ``stop`` and wait for them.

    If a loop fails, ``stop`` is set at once, and its error is raised after the block.
    """

    def end(_loop: Future[None]) -> None:
        stop.set()

    with ThreadPoolExecutor(max(1, len(loops)), thread_name_prefix="background") as threads:
        running = [threads.submit(loop) for loop in loops]
        for loop in running:
            loop.add_done_callback(end)
        try:
            yield
        finally:
            stop.set()
    for loop in running:
        loop.result()


class WorkerReporter:
    """Count the messages that a worker handles, and publish a `WorkerReported` every few seconds."""

    def __init__(
        self,
        service: str,
        publisher: Publisher,
        *,
        model: Callable[[], tuple[str, str] | None] = lambda: None,
        trouble: Callable[[], str] = lambda: "",
    ) -> None:
        """Start to count.

        Args:
            service: the name of the service.
            publisher: publishes the reports.
            model: returns recipe and version of the model that the worker uses, if it uses one.
            trouble: returns what hinders the worker, in one line, or an empty text.
        """
        self._service = service
        self._publisher = publisher
        self._model = model
        self._trouble = trouble
        self._host = platform.node()
        self._started_at = datetime.now(UTC)
        self._handled = 0
        self._last_report = time.monotonic(), 0

    def counting(self, handle: Handle) -> Handle:
        """Return a handler that also counts the messages that it handled."""

        def handle_and_count(messages: list[Message]) -> Sequence[Message] | Future[Sequence[Message]]:
            def count(answer: Future[Sequence[Message]] | None = None) -> None:
                if answer is None or answer.exception() is None:
                    self._handled += len(messages)

            answers = handle(messages)
            if isinstance(answers, Future):
                answers.add_done_callback(count)
            else:
                count()
            return answers

        return handle_and_count

    def run(self, every_seconds: float, stop: threading.Event, health: Health) -> None:
        """Publish reports until ``stop`` is set. A report that is lost is followed by another."""
        while not stop.wait(every_seconds):
            health.beat()
            self._publisher.publish(self.report())

    def report(self) -> WorkerReported:
        """Return the present state of the worker; its rate is that since the report before."""
        now, handled = time.monotonic(), self._handled
        (last, handled_before), self._last_report = self._last_report, (now, handled)
        recipe, version = self._model() or (None, None)
        return WorkerReported(
            service=self._service,
            worker=f"{self._host}-{os.getpid()}",
            host=self._host,
            recipe=recipe,
            model_version=version,
            handled=handled,
            messages_per_second=(handled - handled_before) / max(now - last, 0.001),
            started_at=self._started_at,
            reason=self._trouble(),
            at=datetime.now(UTC),
        )
