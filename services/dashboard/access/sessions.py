"""Sessions of people who have logged in, in Redis: who loses them has to log in again, and nothing more."""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import Final, cast

from pydantic import AwareDatetime, BaseModel
from redis import Redis

from services.dashboard.access.directory import Person
from services.dashboard.store.connection import AWAY, read_hash
from services.dashboard.store.keys import Keys

REMEMBERED_SECONDS: Final = 300.0
"""For so long a session that was found here still holds while Redis is away."""
MOST_REMEMBERED: Final = 10_000
BROWSER_LENGTH: Final = 200
NOTED_EVERY: Final = 60.0
"""Seconds."""


class Session(BaseModel):
    """A login that still holds."""

    person: str
    epoch: str
    """The person's, when it began."""
    until: AwareDatetime
    """However busy it is."""
    begun_at: AwareDatetime
    address: str = ""
    browser: str = ""
    """As it calls itself."""


@dataclass(frozen=True)
class OpenSession:
    """A session as its person sees it."""

    digest: str
    session: Session
    seen_at: datetime

    @property
    def id(self) -> str:
        """A name for it that opens nothing."""
        return self.digest[:16]


class Sessions:
    """Sessions by the digest of their id; only the browser has the id."""

    def __init__(self, redis: Redis, keys: Keys, *, idle: timedelta, longest: timedelta) -> None:
        self._redis = redis
        self._keys = keys
        self._idle = idle
        self._longest = longest
        self._remembered: OrderedDict[str, tuple[float, Session]] = OrderedDict()
        """When each was found last (monotonic)."""
        self._noted: dict[str, float] = {}
        """When each token was noted last (monotonic)."""

    @property
    def longest(self) -> timedelta:
        """After so long a session ends, however busy it is."""
        return self._longest

    def begin(self, person: Person, address: str = "", browser: str = "") -> str:
        """A new session; its id, which is told once."""
        session_id, now = token_urlsafe(32), datetime.now(UTC)
        session = Session(
            person=person.name,
            epoch=person.epoch,
            until=now + self._longest,
            begun_at=now,
            address=address,
            browser=browser[:BROWSER_LENGTH],
        )
        digest = digest_of(session_id)
        pipeline = self._redis.pipeline()
        pipeline.set(self._key(digest), session.model_dump_json(), ex=self._idle)
        pipeline.sadd(self._keys.logins(person.name), digest)
        pipeline.expire(self._keys.logins(person.name), self._longest)
        pipeline.execute()
        return session_id

    def all_of(self, person: Person) -> list[OpenSession]:
        """The sessions of a person that still hold, the one used last first."""
        digests = sorted(cast("set[str]", self._redis.smembers(self._keys.logins(person.name))))
        pipeline = self._redis.pipeline(transaction=False)
        for digest in digests:
            pipeline.get(self._key(digest))
            pipeline.pttl(self._key(digest))
        answers, found, now = pipeline.execute(), [], datetime.now(UTC)
        for digest, text, left in zip(digests, answers[::2], answers[1::2], strict=True):
            session = Session.model_validate_json(text) if text else None
            if session and session.epoch == person.epoch and session.until > now:
                found.append(OpenSession(digest, session, now - self._idle + timedelta(milliseconds=left)))
            else:
                self._redis.srem(self._keys.logins(person.name), digest)
        return sorted(found, key=lambda each: each.seen_at, reverse=True)

    def note_used(self, token_id: str) -> None:
        """Remember that a token was used; once a minute is enough."""
        now = time.monotonic()
        if now - self._noted.get(token_id, float("-inf")) < NOTED_EVERY:
            return
        self._noted[token_id] = now
        with suppress(*AWAY):
            self._redis.hset(self._keys.used, token_id, datetime.now(UTC).isoformat(timespec="seconds"))

    def used(self) -> dict[str, datetime]:
        """When each token was used last."""
        return {token: datetime.fromisoformat(at) for token, at in read_hash(self._redis, self._keys.used).items()}

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
