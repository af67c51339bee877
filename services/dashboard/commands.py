"""Commands that people give through the API: published, confirmed, and known here at once."""

from __future__ import annotations

import threading
from concurrent.futures import TimeoutError as NotInTime
from typing import Final

from ulid import ULID

from services.dashboard.archive import Archive
from services.dashboard.handler import Handler
from shared.messages import Message
from shared.messaging.port import BrokerUnavailable, Publisher

CONFIRM_SECONDS: Final = 5.0


class Commands:
    """Publishes commands; several threads may use it."""

    def __init__(self, publisher: Publisher, handler: Handler, archive: Archive) -> None:
        self._publisher = publisher
        self._handler = handler
        self._archive = archive
        self._lock = threading.Lock()

    def give(self, command: Message, *, noted: bool = True) -> None:
        """Publish a command and wait until the broker has it; ``noted``: the projection shows that it was given.

        Raises:
            MessagingError: it may not have been published; giving it again with the same id is harmless.
        """
        with self._lock:
            confirmed = self._publisher.publish(command)
        try:
            confirmed.result(CONFIRM_SECONDS)
        except NotInTime as error:
            raise BrokerUnavailable(f"the broker did not confirm within {CONFIRM_SECONDS:.0f} s") from error
        if noted:
            batch = str(ULID())
            self._archive.keep(
                [command], batch
            )  # first: while Redis is away, the projection lacks it, and gets it later
            self._handler.watermark.apply(lambda: self._handler.apply([command]), batch)
