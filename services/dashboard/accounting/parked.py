"""Parked messages: list them, replay them, or discard them, with a record of who decided."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import blake2b
from typing import Final, Literal

import structlog
from pydantic import BaseModel
from ulid import ULID

from services.dashboard.accounting.schemas import DecisionList, ParkedDecision, ParkedList, ParkedView
from services.dashboard.store.refreshed import Refreshed
from services.dashboard.web.paging import ALL, Paging, Place, newest
from services.dashboard.web.problems import Problem
from shared.language import gettext
from shared.messages import FrameIdentity, MalformedMessage, Message, decode
from shared.messaging.port import Broker, BrokerUnavailable, ParkedAction, ParkedMessage, PublishRefused
from shared.storage.port import ObjectStore, StorageError
from shared.storage.records import read_or_skip
from shared.topology import QUEUES

FOLDER: Final = "parked"
"""The folder of decisions in object storage, each with its message, so that a discarded message is not lost."""
MOST_REVIEWED: Final = 200
"""Messages of one queue; each may hold an image of a mebibyte."""
FRESH_SECONDS: Final = 5.0
"""A list is shown again for this time: making one moves up to 200 MiB of each queue through the broker."""
REFRESH_SECONDS: Final = 0.8
"""A request waits this long for a new list; then it gets the last one, with its time."""
FIRST_SECONDS: Final = 20.0
"""A request waits this long for the first list, which may take long to make."""
DECISION_SECONDS: Final = 4.0
"""A decision waits this long until a list is made."""
DECISION_DAYS: Final = 30
DECISION: Final = re.compile(rf"{FOLDER}/[0-9-]{{10}}/[0-7][0-9A-HJKMNP-TV-Z]{{25}}\.json")
PARKED_ACTIONS: Final = {"replay": ParkedAction.REPLAY, "discard": ParkedAction.DISCARD}

_log = structlog.stdlib.get_logger("parked")


class StoredParkedDecision(BaseModel):
    """A decision in object storage."""

    decision: ParkedDecision
    body: str
    """The body of the message in base64."""


class ParkedMessages:
    """The parked messages of all queues. They are reviewed one at a time, because a review takes them from the queue.

    Args:
        broker: the broker with the messages.
        store: the storage of the decisions.
        fresh_seconds: a list is shown again for this time, unless a decision is made here.
    """

    def __init__(self, broker: Broker, store: ObjectStore, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._broker = broker
        self._store = store
        self._lock = threading.Lock()
        self._seen = Refreshed(self._list, fresh_seconds=fresh_seconds, name="parked messages")

    def prepare(self) -> None:
        """Begin to make the first list, so that there is one while the broker is slow."""
        self._seen.prepare()

    def look(self, longest_seconds: float = FIRST_SECONDS) -> ParkedList:
        """Return the parked messages of all queues, as they were some seconds ago at most.

        While the broker is slow they are older: see ``at``. ``longest_seconds``: how long to wait for the first list.

        Raises:
            MessagingError: the broker does not answer.
        """
        refresh_seconds = min(REFRESH_SECONDS, longest_seconds)
        found = self._seen.get(refresh_seconds)
        if isinstance(found.error, TimeoutError) and found.value is None:
            found = self._seen.get(longest_seconds - refresh_seconds)
        if isinstance(found.error, TimeoutError) and found.value is not None:
            return found.value
        if isinstance(found.error, TimeoutError):
            raise BrokerUnavailable("the parked messages can't be listed: the broker does not answer")
        if found.error or found.value is None:
            raise found.error or BrokerUnavailable("the parked messages were not listed")
        return found.value

    def page(self, paging: Paging) -> ParkedList:
        """Return a page of the parked messages; raises as `look`."""
        seen = self.look()
        shown, more = paging.page(seen.parked, lambda view: newest(view.parked_at, f"{view.queue}/{view.id}"))
        return seen.model_copy(update={"parked": shown, "next": more})

    def decide(
        self, queue: str, parked_id: str, action: Literal["replay", "discard"], *, by: str, note: str
    ) -> ParkedDecision:
        """Replay or discard a message. Before that, store the decision and the message.

        Raises:
            Problem: 404: it is not parked, or not any more; 409: its queue is full.
            StorageError: the decision was not stored, and the message stays parked.
            MessagingError: the broker went away. If the result is unknown, the decision is stored as one that may not
                be done.
        """
        source = next((each for each in QUEUES if each.name == queue), None)
        if source is None:
            raise Problem(404, gettext("there is no queue %(queue)r", queue=queue))
        made: list[StoredParkedDecision] = []

        def decide(message: ParkedMessage) -> ParkedAction:
            view = _view(message)
            if made or view.id != parked_id:
                return ParkedAction.KEEP
            decision = ParkedDecision(
                id=str(ULID()), action=action, by=by, at=datetime.now(UTC), note=note, parked=view, done=False
            )
            stored = StoredParkedDecision(decision=decision, body=base64.b64encode(message.body).decode())
            self._store_decision(stored)
            made.append(stored)
            return PARKED_ACTIONS[action]

        try:
            with self._alone():
                self._broker.review(source, decide, MOST_REVIEWED)
        except PublishRefused as error:
            self._store.delete(_key(made[0].decision))
            raise Problem(
                409, gettext("%(queue)s is full: the message stays parked until there is room", queue=queue)
            ) from error
        if not made:
            raise Problem(
                404, gettext("no such message is parked in %(queue)s: another person may have decided", queue=queue)
            )
        done = made[0].decision.model_copy(update={"done": True})
        try:
            self._store_decision(StoredParkedDecision(decision=done, body=made[0].body))
        except StorageError as error:
            _log.warning("a decision that is done is stored as one that may not be", id=done.id, reason=str(error))
        return done

    def decisions(self, paging: Paging = ALL) -> DecisionList:
        """Return the decisions of the last days, newest first."""
        today = datetime.now(UTC)
        folders = (f"{FOLDER}/{today - timedelta(days=age):%Y-%m-%d}/" for age in range(DECISION_DAYS))
        keys = (key for folder in folders for key in self._store.keys(folder) if DECISION.fullmatch(key))
        shown, more = paging.page(keys, _place)

        def read(key: str) -> StoredParkedDecision:
            return StoredParkedDecision.model_validate_json(self._store.get(key))

        stored = (read_or_skip(key, partial(read, key)) for key in shown)
        return DecisionList(decisions=[each.decision for each in stored if each], next=more)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Exclude other reviews and decisions; afterwards, the last list is outdated."""
        if not self._lock.acquire(timeout=DECISION_SECONDS):
            raise BrokerUnavailable("nothing was decided: the parked messages are still being listed")
        try:
            yield
        finally:
            self._seen.invalidate()
            self._lock.release()

    def _list(self) -> ParkedList:
        with self._lock:
            began = datetime.now(UTC)
            waiting = {queue.name: self._broker.depth(queue.parked).total for queue in QUEUES}
            found: list[ParkedView] = []

            def note(message: ParkedMessage) -> ParkedAction:
                found.append(_view(message))
                return ParkedAction.KEEP

            for queue in QUEUES:
                if waiting[queue.name]:
                    self._broker.review(queue, note, MOST_REVIEWED)
        return ParkedList(
            at=began,
            parked=sorted(found, key=lambda view: view.parked_at, reverse=True),
            waiting={name: count for name, count in waiting.items() if count},
            complete=len(found) >= sum(waiting.values()),
        )

    def _store_decision(self, decision: StoredParkedDecision) -> None:
        self._store.put(_key(decision.decision), decision.model_dump_json().encode(), "application/json")


def _key(decision: ParkedDecision) -> str:
    return f"{FOLDER}/{decision.at:%Y-%m-%d}/{decision.id}.json"


def _place(key: str) -> Place:
    """Return the place of a decision in a list; its id is a ULID."""
    return newest(ULID.from_str(key.rpartition("/")[2].removesuffix(".json")).datetime, key)


def _view(parked: ParkedMessage) -> ParkedView:
    message: Message | None = None
    with suppress(MalformedMessage):
        message = decode(parked.body)
    frame: FrameIdentity | None = getattr(message, "frame", None)
    digest = blake2b(parked.body + parked.parked_at.isoformat().encode(), digest_size=12)
    return ParkedView(
        id=digest.hexdigest(),
        queue=parked.queue,
        message=type(message).__name__ if message else None,
        author=_author(message),
        sender=parked.sender,
        frame_id=frame.frame_id if frame else None,
        line=frame.line if frame else None,
        camera=frame.camera if frame else None,
        captured_at=frame.captured_at if frame else None,
        reason=parked.reason,
        parked_at=parked.parked_at,
        size=len(parked.body),
    )


def _author(message: Message | None) -> str | None:
    """Return the person who requested it, or the camera or worker that sent it."""
    for field in ("by", "worker"):
        if name := getattr(message, field, None):
            return str(name)
    origin = getattr(message, "frame", message)
    names = (getattr(origin, "line", None), getattr(origin, "camera", None))
    return ", ".join(str(name) for name in names if name) or None
