"""Publish commands of people, and apply them to the projection at once, so that the pages show them."""

from __future__ import annotations

import threading
from concurrent.futures import TimeoutError as NotInTime
from typing import Final

from ulid import ULID

from services.dashboard.ingest.archive import Archive
from services.dashboard.ingest.projector import Projector
from services.dashboard.store.connection import ReasonAway
from services.dashboard.store.errors import REDIS_UNAVAILABLE
from services.dashboard.web.problems import Problem
from shared.language import gettext
from shared.messages import Message
from shared.messaging.port import BrokerUnavailable, Publisher

CONFIRM_SECONDS: Final = 5.0


class CommandPublisher:
    """Publishes commands. Thread-safe."""

    def __init__(self, publisher: Publisher, projector: Projector, archive: Archive, *, redis_away: ReasonAway) -> None:
        self._publisher = publisher
        self._projector = projector
        self._archive = archive
        self._redis_away = redis_away
        self._lock = threading.Lock()

    def publish(self, command: Message, *, applied: bool = True) -> None:
        """Publish a command, wait for the broker's confirm, and apply the command to the projection.

        Use ``applied=False`` for a command that the projection has no updater for.

        Raises:
            MessagingError: the command was not published, or the broker did not confirm it; the message says which.
            Problem: 503: Redis is unavailable, so the command was not published, or was published and is not shown.
        """
        if applied and (reason := self._redis_away()):
            raise Problem(
                503,
                gettext("nothing was requested: Redis is away (%(reason)s)", reason=reason),
                headers={"Retry-After": "5"},
            )
        with self._lock:
            confirm = self._publisher.publish(command)
        at_once = confirm.done()
        try:
            confirm.result(CONFIRM_SECONDS)
        except NotInTime as error:
            raise BrokerUnavailable(
                f"the broker did not confirm within {CONFIRM_SECONDS:.0f} s: it may have taken the request"
            ) from error
        except BrokerUnavailable as error:
            outcome = "nothing was requested" if at_once else "the broker may have taken the request"
            raise BrokerUnavailable(f"{outcome}: {error}") from error
        if applied:
            # archived first: if Redis is away now, the projection gets the command from the archive later
            batch = str(ULID())
            self._archive.add([command], batch)
            try:
                self._projector.watermark.apply(lambda: self._projector.apply([command]), batch)
            except REDIS_UNAVAILABLE as error:
                raise Problem(
                    503,
                    gettext(
                        "it was requested, and will be done; Redis is away, so it is not shown yet: do not repeat it"
                    ),
                ) from error
