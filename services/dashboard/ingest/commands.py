"""Commands that people give through the API: published, confirmed, and known here at once."""

from __future__ import annotations

import threading
from concurrent.futures import TimeoutError as NotInTime
from typing import Final

from ulid import ULID

from services.dashboard.ingest.archive import Archive
from services.dashboard.ingest.projector import Projector
from services.dashboard.store.connection import ReasonAway
from services.dashboard.store.errors import AWAY
from services.dashboard.web.problems import Problem
from shared.messages import Message
from shared.messaging.port import BrokerUnavailable, Publisher

CONFIRM_SECONDS: Final = 5.0


class Commands:
    """Publishes commands; several threads may use it."""

    def __init__(self, publisher: Publisher, projector: Projector, archive: Archive, *, redis_away: ReasonAway) -> None:
        """``redis_away``: why what is ordered could not be shown."""
        self._publisher = publisher
        self._projector = projector
        self._archive = archive
        self._redis_away = redis_away
        self._lock = threading.Lock()

    def give(self, command: Message, *, noted: bool = True) -> None:
        """Publish a command and wait until the broker has it; ``noted``: the projection shows that it was given.

        Raises:
            MessagingError: it was not published, or nobody knows whether it was; the message says which.
            Problem: 503: it was not published; or it was, and can't be shown yet.
        """
        if noted and (reason := self._redis_away()):
            raise Problem(503, f"nothing was ordered: Redis is away ({reason})", headers={"Retry-After": "5"})
        with self._lock:
            confirmed = self._publisher.publish(command)
        at_once = confirmed.done()
        try:
            confirmed.result(CONFIRM_SECONDS)
        except NotInTime as error:
            raise BrokerUnavailable(
                f"the broker did not confirm within {CONFIRM_SECONDS:.0f} s: it may have taken the order"
            ) from error
        except BrokerUnavailable as error:
            taken = "nothing was ordered" if at_once else "the broker may have taken the order"
            raise BrokerUnavailable(f"{taken}: {error}") from error
        if noted:
            # the archive first: while Redis is away the projection lacks the command, and gets it from there later
            batch = str(ULID())
            self._archive.keep([command], batch)
            try:
                self._projector.watermark.apply(lambda: self._projector.apply([command]), batch)
            except AWAY as error:
                raise Problem(
                    503,
                    "it was ordered, and will be done; Redis is away, so it is not shown yet: do not order it again",
                ) from error
