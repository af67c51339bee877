"""How a worker is: told to the dashboard every few seconds."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from shared.health import Health
from shared.messages import Message, WorkerReported
from shared.messaging.loop import Handle
from shared.messaging.port import Publisher


class Reporter:
    """Counts what a worker handles, and publishes a `WorkerReported` now and then; a lost one is no loss."""

    def __init__(
        self,
        service: str,
        publisher: Publisher,
        *,
        model_version: Callable[[], str | None] = lambda: None,
        trouble: Callable[[], str] = lambda: "",
    ) -> None:
        """Report for a service; ``trouble`` is what hinders it, in one line, or empty."""
        self._service = service
        self._publisher = publisher
        self._model_version = model_version
        self._trouble = trouble
        self._worker = f"{platform.node()}-{os.getpid()}"
        self._handled = 0

    def counting(self, handle: Handle) -> Handle:
        """A handler that counts the messages that it handled."""

        def handle_and_count(messages: list[Message]) -> Sequence[Message]:
            answers = handle(messages)
            self._handled += len(messages)
            return answers

        return handle_and_count

    def run(self, every_seconds: float, stop: threading.Event, health: Health) -> None:
        """Report until ``stop`` is set."""
        while not stop.wait(every_seconds):
            health.beat()
            self._publisher.publish(self.report())

    def report(self) -> WorkerReported:
        """How the worker is now."""
        return WorkerReported(
            service=self._service,
            worker=self._worker,
            model_version=self._model_version(),
            handled=self._handled,
            reason=self._trouble(),
            at=datetime.now(UTC),
        )
