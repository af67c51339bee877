"""The live stream: server-sent events about lines, frames, workers, trainings and models.

A note on a channel of Redis names a changed item by the name of its event and its id. Each dashboard process receives
the notes, reads the items, and sends them to its open pages. The states of lines and workers change all the time, so
they are read twice a second, and sent if they have changed.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import structlog
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import ServerSentEvent
from prometheus_client import Gauge
from pydantic import BaseModel
from redis import Redis

from services.dashboard.store.errors import REDIS_UNAVAILABLE
from services.dashboard.store.keys import Keys
from services.dashboard.web.problems import Problem
from shared.language import gettext
from shared.messaging.port import MessagingError
from shared.storage.port import StorageError

TICK_SECONDS: Final = 0.25
"""Seconds for which notes are collected before their events are sent."""
STATE_SECONDS: Final = 0.5
"""Seconds between two reads of the states."""
BEAT_SECONDS: Final = 2.0
"""Seconds between two beats; a page without a beat for a few seconds shows that its figures are old."""
MOST_NOTES: Final = 12
"""Most events of one kind that are sent per tick; older ones are dropped, because people can't follow more."""
MOST_WAITING: Final = 200
"""Most events that wait for one page; beyond them the oldest event is dropped."""
MOST_PAGES: Final = 200
"""Most pages that listen."""
MOST_OF_ONE: Final = 50
"""Most pages of one person that listen."""
RETRY_MS: Final = 2_000
"""Milliseconds after which a page connects again."""
CLOSE_SECONDS: Final = 3.0
"""Most seconds that `Hub.close` waits for the thread, which may be waiting for Redis."""

TEMPORARY: Final = (*REDIS_UNAVAILABLE, StorageError, MessagingError)

PAGES: Final = Gauge("dashboard_live_pages", "Pages that listen to the live stream")

_log = structlog.stdlib.get_logger("live")


@dataclass(eq=False)
class _Page:
    """One open page that listens to events."""

    loop: asyncio.AbstractEventLoop
    events: asyncio.Queue[ServerSentEvent | None] = field(default_factory=lambda: asyncio.Queue(MOST_WAITING))

    def send(self, event: ServerSentEvent | None) -> None:
        """Send an event, from any thread; None ends the stream."""

        def put() -> None:
            if self.events.full():
                self.events.get_nowait()
            self.events.put_nowait(event)

        with suppress(RuntimeError):  # its loop has ended
            self.loop.call_soon_threadsafe(put)


@dataclass(frozen=True)
class LiveSources:
    """The functions by which the hub reads states and items. They may raise `Problem` for an item that was deleted."""

    states: Callable[[], dict[str, BaseModel]]
    """Return the states by a stable key: the name of the event, a slash, and a name."""
    by_id: dict[str, Callable[[str], BaseModel]]
    """Functions that return an item by its id; by the name of the event."""
    away: Callable[[], list[str]] = list
    """Return the sentences for every page: what does not work without a server, or that counts are being rebuilt."""


class Hub:
    """Reads changes in a thread, and sends them to each page that listens."""

    def __init__(self, redis: Redis, keys: Keys, sources: LiveSources) -> None:
        self._redis = redis
        self._channel = keys.events
        self._sources = sources
        self._pages: set[_Page] = set()
        self._listeners: Counter[str] = Counter()
        """Number of pages by person; only the event loop of the server uses it."""
        self._sent: dict[str, str] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._thread.start()

    @contextmanager
    def place(self, person: str) -> Iterator[None]:
        """Count one more listening page of a person while the block runs.

        Raises:
            Problem: 503: too many pages listen, in total or of this person.
        """
        again = {"Retry-After": "30"}
        if self._listeners.total() >= MOST_PAGES or self._closed.is_set():
            raise Problem(
                503, gettext("%(most_pages)s pages listen already: close some", most_pages=MOST_PAGES), headers=again
            )
        if self._listeners[person] >= MOST_OF_ONE:
            raise Problem(
                503,
                gettext(
                    "%(person)s has %(most_of_one)s pages open that listen: close some",
                    person=person,
                    most_of_one=MOST_OF_ONE,
                ),
                headers=again,
            )
        self._listeners[person] += 1
        try:
            yield
        finally:
            self._listeners[person] -= 1

    async def stream(self) -> AsyncIterator[ServerSentEvent]:
        """Yield the events for one page: first the present states, then the changes, until it disconnects."""
        page = _Page(asyncio.get_running_loop())
        self._pages.add(page)
        PAGES.set(len(self._pages))
        try:
            yield ServerSentEvent(comment="seamline", retry=RETRY_MS)
            yield _away(self._sources.away())
            with suppress(*TEMPORARY):  # the states are then sent when the server is back
                for name, text in (await run_in_threadpool(self._states)).items():
                    yield _event(name.partition("/")[0], text)
            while (event := await page.events.get()) is not None:
                yield event
        finally:
            self._pages.discard(page)
            PAGES.set(len(self._pages))

    def close(self) -> None:
        """End all streams."""
        self._closed.set()
        for page in list(self._pages):
            page.send(None)
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        waiting = False
        while not self._closed.is_set():
            try:
                self._listen()
            except TEMPORARY as error:
                if not waiting:
                    _log.warning("no live events can be sent; trying again", reason=str(error))
                waiting = True
                self._sent.clear()  # all states are sent again when the server is back
                self._send_away()
                self._closed.wait(1.0)
            except Exception:  # noqa: BLE001  without this thread the pages would get no events until the next start
                _log.exception("no live events can be sent; trying again")
                self._closed.wait(1.0)

    def _listen(self) -> None:
        read_at = beat_at = 0.0
        with self._redis.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(self._channel)
            self._send_away()
            while not self._closed.is_set():
                # the notes of one tick: ids by event, without repetitions, the newest last
                notes: dict[str, dict[str, None]] = {}
                until = time.monotonic() + TICK_SECONDS
                while (left := until - time.monotonic()) > 0 and not self._closed.is_set():
                    message = channel.get_message(timeout=left)
                    if message:
                        note = json.loads(message["data"])
                        ids = notes.setdefault(note["event"], {})
                        ids.pop(note["id"], None)
                        ids[note["id"]] = None
                if not self._pages:
                    continue
                for event, ids in notes.items():
                    for changed in list(ids)[-MOST_NOTES:]:
                        with suppress(Problem):  # the verdict has not arrived yet, or the item was deleted
                            self._send(_event(event, self._sources.by_id[event](changed).model_dump_json()))
                if time.monotonic() - read_at >= STATE_SECONDS:
                    read_at = time.monotonic()
                    for name, text in self._states().items():
                        if self._sent.get(name) != text:
                            self._sent[name] = text
                            self._send(_event(name.partition("/")[0], text))
                if time.monotonic() - beat_at >= BEAT_SECONDS:
                    beat_at = time.monotonic()
                    self._send_away()
                    self._send(_event("beat", json.dumps({"at": datetime.now(UTC).isoformat()})))

    def _send_away(self) -> None:
        self._send(_away(self._sources.away()))

    def _states(self) -> dict[str, str]:
        """Return the states as JSON without the field ``at``, the time of the read."""
        return {name: state.model_dump_json(exclude={"at"}) for name, state in self._sources.states().items()}

    def _send(self, event: ServerSentEvent) -> None:
        for page in list(self._pages):
            page.send(event)


def _away(missing: list[str]) -> ServerSentEvent:
    return _event("away", json.dumps(missing))


def _event(name: str, text: str) -> ServerSentEvent:
    return ServerSentEvent(event=name, raw_data=text)
