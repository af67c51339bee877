"""The live stream: server-sent events about lines, frames, workers, trainings and models.

A note on Redis' channel says what is new; each dashboard process looks it up and tells its own pages. The state of the
lines changes all the time, so it is looked at twice a second, and told when it changed.
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

from services.dashboard.store.errors import AWAY
from services.dashboard.store.keys import Keys
from services.dashboard.web.problems import Problem
from shared.messaging.port import MessagingError
from shared.storage.port import StorageError

TICK_SECONDS: Final = 0.25
STATES_EVERY: Final = 0.5
BEAT_EVERY: Final = 2.0
"""A page that hears nothing for a few of these must not go on showing that all is well."""
MOST_NOTES: Final = 12
"""Of one tick and kind: nobody can follow more, and the next tick brings the next."""
MOST_WAITING: Final = 200
"""Events for one page; of a page that does not read them the oldest are dropped."""
MOST_PAGES: Final = 200
MOST_OF_ONE: Final = 50
"""Pages of one person."""
RETRY_MS: Final = 2_000
CLOSE_SECONDS: Final = 3.0
"""For the thread to end, which may be waiting for Redis."""

PASSING: Final = (*AWAY, StorageError, MessagingError)

PAGES: Final = Gauge("dashboard_live_pages", "Pages that listen to the live stream")

_log = structlog.stdlib.get_logger("live")


@dataclass(eq=False)
class _Page:
    """One listener."""

    loop: asyncio.AbstractEventLoop
    events: asyncio.Queue[ServerSentEvent | None] = field(default_factory=lambda: asyncio.Queue(MOST_WAITING))

    def tell(self, event: ServerSentEvent | None) -> None:
        """Hand an event over, from any thread."""
        with suppress(RuntimeError):  # its loop has ended
            self.loop.call_soon_threadsafe(self._put, event)

    def _put(self, event: ServerSentEvent | None) -> None:
        if self.events.full():
            self.events.get_nowait()
        self.events.put_nowait(event)


@dataclass(frozen=True)
class Sources:
    """Where the hub looks up what is new. Each may raise `Problem` when it is gone again."""

    states: Callable[[], dict[str, BaseModel]]
    """What a page should always know: by a name that is stable, with the event's name before the first slash."""
    by_id: dict[str, Callable[[str], BaseModel]]
    """By the name of the event."""
    away: Callable[[], list[str]] = list
    """What is missing because a server is away, a sentence each."""


class Hub:
    """Looks for what is new in a thread of its own, and tells every page."""

    def __init__(self, redis: Redis, keys: Keys, sources: Sources) -> None:
        self._redis = redis
        self._channel = keys.events
        self._sources = sources
        self._pages: set[_Page] = set()
        self._listeners: Counter[str] = Counter()
        """By person. In the loop of the server alone."""
        self._told: dict[str, str] = {}
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
            raise Problem(503, f"{MOST_PAGES} pages listen already: close some", headers=again)
        if self._listeners[person] >= MOST_OF_ONE:
            raise Problem(503, f"{person} has {MOST_OF_ONE} pages open that listen: close some", headers=again)
        self._listeners[person] += 1
        try:
            yield
        finally:
            self._listeners[person] -= 1

    async def stream(self) -> AsyncIterator[ServerSentEvent]:
        """The events for one page: first what it should know, then what is new, until it goes."""
        page = _Page(asyncio.get_running_loop())
        self._pages.add(page)
        PAGES.set(len(self._pages))
        try:
            yield ServerSentEvent(comment="seamline", retry=RETRY_MS)
            yield _away(self._sources.away())
            with suppress(*PASSING):  # then they come when the server is back
                for name, text in (await run_in_threadpool(self._look)).items():
                    yield _event(name.partition("/")[0], text)
            while (event := await page.events.get()) is not None:
                yield event
        finally:
            self._pages.discard(page)
            PAGES.set(len(self._pages))

    def close(self) -> None:
        """Send every page away."""
        self._closed.set()
        for page in list(self._pages):
            page.tell(None)
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        waiting = False
        while not self._closed.is_set():
            try:
                self._listen()
            except PASSING as error:
                if not waiting:
                    _log.warning("the live pages have to wait", reason=str(error))
                waiting = True
                self._told.clear()  # what changes meanwhile is told afterwards
                self._tell_away()
                self._closed.wait(1.0)
            except Exception:  # noqa: BLE001  a thread that dies alone would leave every page without news until the next start
                _log.exception("the live pages have to wait")
                self._closed.wait(1.0)

    def _listen(self) -> None:
        looked_at = beat_at = 0.0
        with self._redis.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(self._channel)
            self._tell_away()
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
                self._tell_notes(notes)
                if time.monotonic() - looked_at >= STATES_EVERY:
                    looked_at = time.monotonic()
                    self._tell_states()
                if time.monotonic() - beat_at >= BEAT_EVERY:
                    beat_at = time.monotonic()
                    self._tell_away()
                    self._tell(_event("beat", json.dumps({"at": datetime.now(UTC).isoformat()})))

    def _tell_notes(self, notes: dict[str, dict[str, None]]) -> None:
        for event, ids in notes.items():
            look_up = self._sources.by_id[event]
            for known in list(ids)[-MOST_NOTES:]:
                try:
                    self._tell(_event(event, look_up(known).model_dump_json()))
                except Problem:
                    continue  # only its explanation has come, or it is gone again

    def _tell_states(self) -> None:
        for name, text in self._look().items():
            if self._told.get(name) != text:
                self._told[name] = text
                self._tell(_event(name.partition("/")[0], text))

    def _tell_away(self) -> None:
        self._tell(_away(self._sources.away()))

    def _look(self) -> dict[str, str]:
        """Everything that a page should know; the time of looking is no news."""
        return {name: state.model_dump_json(exclude={"at"}) for name, state in self._sources.states().items()}

    def _tell(self, event: ServerSentEvent) -> None:
        for page in list(self._pages):
            page.tell(event)


def _away(missing: list[str]) -> ServerSentEvent:
    return _event("away", json.dumps(missing))


def _event(name: str, text: str) -> ServerSentEvent:
    return ServerSentEvent(event=name, raw_data=text)
