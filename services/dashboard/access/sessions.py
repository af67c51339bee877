"""Sessions of people who have logged in, in Redis: who loses them has to log in again, and nothing more."""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import Final, cast

from pydantic import AwareDatetime, BaseModel
from redis import Redis

from services.dashboard.access.directory import Person
from services.dashboard.projection import AWAY, Keys

REMEMBERED_SECONDS: Final = 300.0
"""For so long a session that was found here still holds while Redis is away."""
MOST_REMEMBERED: Final = 10_000


class Session(BaseModel):
    """A login that still holds."""

    person: str
    epoch: str
    """The person's, when it began."""
    until: AwareDatetime
    """However busy it is."""


class Sessions:
    """Sessions by the digest of their id; only the browser has the id."""

    def __init__(self, redis: Redis, keys: Keys, *, idle: timedelta, longest: timedelta) -> None:
        self._redis = redis
        self._keys = keys
        self._idle = idle
        self._longest = longest
        self._remembered: OrderedDict[str, tuple[float, Session]] = OrderedDict()
        """When each was found last (monotonic)."""

    @property
    def longest(self) -> timedelta:
        """After so long a session ends, however busy it is."""
        return self._longest

    def begin(self, person: Person) -> str:
        """A new session; its id, which is told once."""
        session_id = token_urlsafe(32)
        session = Session(person=person.name, epoch=person.epoch, until=datetime.now(UTC) + self._longest)
        self._redis.set(self._key(digest_of(session_id)), session.model_dump_json(), ex=self._idle)
        return session_id

    def find(self, digest: str) -> Session | None:
        """The session, which is kept for as long again as it may be idle.

        While Redis is away, it is as this process found it within the last minutes.
        """
        try:
            found = cast("str | None", self._redis.getex(self._key(digest), ex=self._idle))
        except AWAY:
            session = self._recall(digest)
            if session is None:
                raise
        else:
            session = Session.model_validate_json(found) if found else None
            self._remember(digest, session)
        return session if session and session.until > datetime.now(UTC) else None

    def end(self, digest: str) -> None:
        """End a session."""
        self._redis.delete(self._key(digest))
        self._remember(digest, None)

    def _remember(self, digest: str, session: Session | None) -> None:
        self._remembered.pop(digest, None)
        if session:
            self._remembered[digest] = time.monotonic(), session
        if len(self._remembered) > MOST_REMEMBERED:
            with suppress(KeyError):
                self._remembered.popitem(last=False)

    def _recall(self, digest: str) -> Session | None:
        at, session = self._remembered.get(digest, (0.0, None))
        return session if session and time.monotonic() - at < REMEMBERED_SECONDS else None

    def _key(self, digest: str) -> str:
        return self._keys.login(digest)


def digest_of(secret: str) -> str:
    """What is kept of a secret of many random bits: nobody can guess it from this."""
    return sha256(secret.encode()).hexdigest()
