"""The live stream: server-sent events about lines, frames, workers, trainings and models.

A note on a channel of Redis names what changed; each dashboard process reads it and sends it to its own pages. The
state of the lines changes all the time, so it is read twice a second, and sent if it changed.
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
from services.dashboard.web.language import gettext
from services.dashboard.web.problems import Problem
from shared.messaging.port import MessagingError
from shared.storage.port import StorageError

TICK_SECONDS: Final = 0.25
STATES_EVERY: Final = 0.5
BEAT_EVERY: Final = 2.0
"""A page that gets no beat for a few seconds shows that its figures are old."""
MOST_NOTES: Final = 12
"""Notes of one tick and kind that are sent: people can't follow more."""
MOST_WAITING: Final = 200
"""Events that wait for one page; then the oldest are dropped."""
MOST_PAGES: Final = 200
MOST_OF_ONE: Final = 50
"""Pages of one person."""
RETRY_MS: Final = 2_000
CLOSE_SECONDS: Final = 3.0
"""For the thread to end, which may wait for Redis."""

PASSING: Final = (*REDIS_UNAVAILABLE, StorageError, MessagingError)

PAGES: Final = Gauge("dashboard_live_pages", "Pages that listen to the live stream")

_log = structlog.stdlib.get_logger("live")


@dataclass(eq=False)
class _Page:
    """A page that listens."""

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
    """What the hub reads. Each function may raise `Problem` if the item does not exist any more."""

    states: Callable[[], dict[str, BaseModel]]
    """Return the states that every page shows: by a stable name, which begins with the event's name and a slash."""
    by_id: dict[str, Callable[[str], BaseModel]]
    """Return an item by its id; by the name of the event."""
    away: Callable[[], list[str]] = list
    """Return what people miss, a sentence for each server that is away."""


class Hub:
    """Reads what changed in a thread, and sends it to every page."""

    def __init__(self, redis: Redis, keys: Keys, sources: LiveSources) -> None:
        self._redis = redis
        self._channel = keys.events
        self._sources = sources
        self._pages: set[_Page] = set()
        self._listeners: Counter[str] = Counter()
        """By person; only the loop of the server uses it."""
        self._sent: dict[str, str] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._thread.start()

    @contextmanager
    def place(self, person: str) -> Iterator[None]:
        """Hold a place to listen while the block runs.

        Raises:
            Problem: 503: too many pages listen, of this person or in all.
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
            with suppress(*PASSING):  # then they are sent when the server is back
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
            except PASSING as error:
                if not waiting:
                    _log.warning("no live events can be sent; trying again", reason=str(error))
                waiting = True
                self._sent.clear()  # so that the states are sent again afterwards
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
                # the notes of one tick: ids by event, each once, the newest last
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
                        with suppress(Problem):  # only its explanation has come, or it does not exist any more
                            self._send(_event(event, self._sources.by_id[event](changed).model_dump_json()))
                if time.monotonic() - read_at >= STATES_EVERY:
                    read_at = time.monotonic()
                    for name, text in self._states().items():
                        if self._sent.get(name) != text:
                            self._sent[name] = text
                            self._send(_event(name.partition("/")[0], text))
                if time.monotonic() - beat_at >= BEAT_EVERY:
                    beat_at = time.monotonic()
                    self._send_away()
                    self._send(_event("beat", json.dumps({"at": datetime.now(UTC).isoformat()})))

    def _send_away(self) -> None:
        self._send(_away(self._sources.away()))

    def _states(self) -> dict[str, str]:
        """Return the states as JSON, without the time at which they were read."""
        return {name: state.model_dump_json(exclude={"at"}) for name, state in self._sources.states().items()}

    def _send(self, event: ServerSentEvent) -> None:
        for page in list(self._pages):
            page.send(event)


def _away(missing: list[str]) -> ServerSentEvent:
    return _event("away", json.dumps(missing))


def _event(name: str, text: str) -> ServerSentEvent:
    return ServerSentEvent(event=name, raw_data=text)
