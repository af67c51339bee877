"""Parked messages: looked at, put back, or discarded by a person whose name is kept."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final, Literal

import structlog
from pydantic import BaseModel
from ulid import ULID

from services.dashboard.accounting.schemas import Decision, DecisionList, ParkedList, ParkedView
from services.dashboard.store.refreshed import Refreshed
from services.dashboard.web.paging import ALL, Paging, Place, newest
from services.dashboard.web.problems import Problem
from shared.messages import FrameIdentity, MalformedMessage, Message, decode
from shared.messaging.port import Broker, BrokerUnavailable, Fate, ParkedMessage, PublishRefused
from shared.storage.port import ObjectStore, StorageError
from shared.storage.records import readable
from shared.topology import QUEUES, Queue

FOLDER: Final = "parked"
"""In object storage: what was decided, and the message itself, so that discarding one loses nothing."""
MOST_LOOKED_AT: Final = 200
"""Messages of one queue; each may hold an image of a mebibyte."""
FRESH_SECONDS: Final = 5.0
"""What was found is shown for so long: a look moves up to 200 MiB of each queue through the broker."""
PATIENCE: Final = 0.8
"""Seconds that one waits for a new look; then the last one is shown, with its time."""
LONGEST_LOOK: Final = 20.0
"""Seconds that one waits where there is none: a look may have much to move."""
LONGEST_WAIT: Final = 4.0
"""Seconds that a decision waits for a look to end."""
DECISION_DAYS: Final = 30
DECISION: Final = re.compile(rf"{FOLDER}/[0-9-]{{10}}/[0-7][0-9A-HJKMNP-TV-Z]{{25}}\.json")
FATES: Final = {"replay": Fate.REPLAY, "discard": Fate.DISCARD}

_log = structlog.stdlib.get_logger("parked")


class _Kept(BaseModel):
    """A decision as it is kept."""

    decision: Decision
    body: str
    """of the message, in base64"""


class ParkedMessages:
    """What the broker has put aside. One look at a time: while one goes on, another would not see the same.

    Args:
        broker: has the messages.
        store: keeps the decisions.
        fresh_seconds: a look is shown again for so long, unless somebody decides here.
    """

    def __init__(self, broker: Broker, store: ObjectStore, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._broker = broker
        self._store = store
        self._lock = threading.Lock()
        self._seen = Refreshed(self._look, fresh_seconds=fresh_seconds, name="parked messages")

    def prepare(self) -> None:
        """Begin a first look, so that there is one while the broker is slow."""
        self._seen.prepare()

    def look(self, patience: float = LONGEST_LOOK) -> ParkedList:
        """The parked messages of all queues, as they are or were some seconds ago.

        While the broker is slow they are older; ``at`` says how old. ``patience``: seconds to wait for the first look.

        Raises:
            MessagingError: the broker can't be asked.
        """
        found = self._seen.get(PATIENCE)
        if isinstance(found.error, TimeoutError) and found.value is None:
            found = self._seen.get(patience)
        if isinstance(found.error, TimeoutError) and found.value is not None:
            return found.value
        if isinstance(found.error, TimeoutError):
            raise BrokerUnavailable("the broker can't be asked what is parked: it does not answer")
        if found.error or found.value is None:
            raise found.error or BrokerUnavailable("the broker was not asked what is parked")
        return found.value

    def page(self, paging: Paging) -> ParkedList:
        """A part of them; raises as `look`."""
        seen = self.look()
        shown, more = paging.part(seen.parked, lambda view: newest(view.parked_at, f"{view.queue}/{view.id}"))
        return seen.model_copy(update={"parked": shown, "next": more})

    def decide(self, queue: str, parked_id: str, fate: Literal["replay", "discard"], *, by: str, note: str) -> Decision:
        """Put a message back into its queue, or discard it; who did so is kept first, and the message with it.

        Raises:
            Problem: 404: it is not parked (any more); 409: its queue is full.
            StorageError: it stays parked.
            MessagingError: the broker went away; if it was too late to know what became of the message, the decision
                is kept as one that may not be done.
        """
        source = _queue(queue)
        made: list[_Kept] = []

        def decide(message: ParkedMessage) -> Fate:
            view = _view(message)
            if made or view.id != parked_id:
                return Fate.KEEP
            decision = Decision(
                id=str(ULID()), fate=fate, by=by, at=datetime.now(UTC), note=note, parked=view, done=False
            )
            kept = _Kept(decision=decision, body=base64.b64encode(message.body).decode())
            self._keep(kept)
            made.append(kept)
            return FATES[fate]

        try:
            with self._alone():
                self._broker.review(source, decide, MOST_LOOKED_AT)
        except PublishRefused as error:
            self._store.delete(_key(made[0].decision))
            raise Problem(409, f"{queue} is full: the message stays parked until there is room") from error
        if not made:
            raise Problem(404, f"no such message is parked in {queue}: somebody may have decided already")
        return self._settle(made[0])

    def decisions(self, paging: Paging = ALL) -> DecisionList:
        """What was decided lately, newest first."""
        shown, more = paging.part(self._decided(), _place)
        found = [kept.decision for key in shown if (kept := self._kept(key))]
        return DecisionList(decisions=found, next=more)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While nobody else looks or decides; afterwards, what was seen before is old."""
        if not self._lock.acquire(timeout=LONGEST_WAIT):
            raise BrokerUnavailable("nothing was decided: another look at the parked messages does not end")
        try:
            yield
        finally:
            self._seen.invalidate()
            self._lock.release()

    def _look(self) -> ParkedList:
        with self._lock:
            return self._look_alone()

    def _look_alone(self) -> ParkedList:
        began = datetime.now(UTC)
        waiting = {queue.name: self._broker.depth(queue.parked).total for queue in QUEUES}
        found: list[ParkedView] = []

        def note(message: ParkedMessage) -> Fate:
            found.append(_view(message))
            return Fate.KEEP

        for queue in QUEUES:
            if waiting[queue.name]:
                self._broker.review(queue, note, MOST_LOOKED_AT)
        return ParkedList(
            at=began,
            parked=sorted(found, key=lambda view: view.parked_at, reverse=True),
            waiting={name: count for name, count in waiting.items() if count},
            complete=len(found) >= sum(waiting.values()),
        )

    def _decided(self) -> Iterator[str]:
        """The keys of the decisions that are told of."""
        today = datetime.now(UTC)
        for age in range(DECISION_DAYS):
            folder = f"{FOLDER}/{today - timedelta(days=age):%Y-%m-%d}/"
            yield from filter(DECISION.fullmatch, self._store.keys(folder))

    def _settle(self, kept: _Kept) -> Decision:
        """Note that it is done. It is, even if that can't be noted."""
        done = kept.decision.model_copy(update={"done": True})
        try:
            self._keep(_Kept(decision=done, body=kept.body))
        except StorageError as error:
            _log.warning("a decision that is done is kept as one that may not be", id=done.id, reason=str(error))
        return done

    def _kept(self, key: str) -> _Kept | None:
        return readable(key, lambda: _Kept.model_validate_json(self._store.get(key)))

    def _keep(self, kept: _Kept) -> None:
        self._store.put(_key(kept.decision), kept.model_dump_json().encode(), "application/json")


def _queue(name: str) -> Queue:
    found = next((queue for queue in QUEUES if queue.name == name), None)
    if found is None:
        raise Problem(404, f"there is no queue {name!r}")
    return found


def _key(decision: Decision) -> str:
    return f"{FOLDER}/{decision.at:%Y-%m-%d}/{decision.id}.json"


def _place(key: str) -> Place:
    """A decision's id is a ULID."""
    return newest(ULID.from_str(key.rpartition("/")[2].removesuffix(".json")).datetime, key)


def _view(parked: ParkedMessage) -> ParkedView:
    message = _read(parked.body)
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


def _read(body: bytes) -> Message | None:
    try:
        return decode(body)
    except MalformedMessage:
        return None


def _author(message: Message | None) -> str | None:
    """The person who ordered it, or the camera or worker that it is from."""
    for field in ("by", "worker"):
        if name := getattr(message, field, None):
            return str(name)
    origin = getattr(message, "frame", message)
    parts = [str(part) for part in (getattr(origin, "line", None), getattr(origin, "camera", None)) if part]
    return ", ".join(parts) or None
