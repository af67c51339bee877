"""The sessions of people who have logged in. They are in Redis; if they are lost, people have to log in again."""

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
from services.dashboard.store.connection import read_hash
from services.dashboard.store.errors import REDIS_UNAVAILABLE
from services.dashboard.store.keys import Keys

CACHED_SECONDS: Final = 300.0
"""Seconds for which a cached session is valid while Redis is unavailable."""
MOST_CACHED: Final = 10_000
"""Most sessions in the cache."""
BROWSER_LENGTH: Final = 200
"""Most characters of a user agent that are stored."""
USE_NOTED_SECONDS: Final = 60.0
"""Least seconds between two updates of the time of a token's last use."""


class LoginSession(BaseModel):
    """A session as it is stored."""

    person: str
    epoch: str
    """The person's epoch at the beginning of the session."""
    until: AwareDatetime
    """When the session ends, even if it is in use."""
    begun_at: AwareDatetime
    address: str = ""
    browser: str = ""
    """The user agent of the browser."""


@dataclass(frozen=True)
class OpenSession:
    """A valid session, with its digest and the time of its last use."""

    digest: str
    session: LoginSession
    seen_at: datetime

    @property
    def id(self) -> str:
        """The beginning of the digest, which names the session without giving access to it."""
        return self.digest[:16]


class Sessions:
    """The sessions, stored by the digest of their id. Only the browser has the id."""

    def __init__(self, redis: Redis, keys: Keys, *, idle: timedelta, longest: timedelta) -> None:
        """A session ends after the time ``idle`` without use, and after the time ``longest`` in any case."""
        self._redis = redis
        self._keys = keys
        self._idle = idle
        self.longest = longest
        self._cache: OrderedDict[str, tuple[float, LoginSession]] = OrderedDict()
        """Sessions by digest, each with the time of its last read in seconds of the steady clock."""
        self._use_noted: dict[str, float] = {}
        """When the use of each token was stored last, by its id, in seconds of the steady clock."""

    def begin(self, person: Person, address: str = "", browser: str = "") -> str:
        """Begin a session, and return its id, which is not stored."""
        session_id, now = token_urlsafe(32), datetime.now(UTC)
        session = LoginSession(
            person=person.name,
            epoch=person.epoch,
            until=now + self.longest,
            begun_at=now,
            address=address,
            browser=browser[:BROWSER_LENGTH],
        )
        digest = digest_of(session_id)
        pipeline = self._redis.pipeline()
        pipeline.set(self._keys.login(digest), session.model_dump_json(), ex=self._idle)
        pipeline.sadd(self._keys.logins(person.name), digest)
        pipeline.expire(self._keys.logins(person.name), self.longest)
        pipeline.execute()
        return session_id

    def all_of(self, person: Person) -> list[OpenSession]:
        """Return the valid sessions of a person, the last used first."""
        digests = sorted(cast("set[str]", self._redis.smembers(self._keys.logins(person.name))))
        pipeline = self._redis.pipeline(transaction=False)
        for digest in digests:
            pipeline.get(self._keys.login(digest))
            pipeline.pttl(self._keys.login(digest))
        answers, found, now = pipeline.execute(), [], datetime.now(UTC)
        for digest, text, left in zip(digests, answers[::2], answers[1::2], strict=True):
            session = LoginSession.model_validate_json(text) if text else None
            if session and session.epoch == person.epoch and session.until > now:
                found.append(OpenSession(digest, session, now - self._idle + timedelta(milliseconds=left)))
            else:
                self._redis.srem(self._keys.logins(person.name), digest)
        return sorted(found, key=lambda each: each.seen_at, reverse=True)

    def find(self, digest: str) -> LoginSession | None:
        """Return a session, and extend it by the idle time; None if it has ended.

        While Redis is unavailable, return a session that this process has read within `CACHED_SECONDS`.
        """
        try:
            found = cast("str | None", self._redis.getex(self._keys.login(digest), ex=self._idle))
        except REDIS_UNAVAILABLE:
            found_at, session = self._cache.get(digest, (0.0, None))
            if session is None or time.monotonic() - found_at >= CACHED_SECONDS:
                raise
        else:
            session = LoginSession.model_validate_json(found) if found else None
            self._cache_or_drop(digest, session)
        return session if session and session.until > datetime.now(UTC) else None

    def end(self, digest: str) -> None:
        """End a session."""
        self._redis.delete(self._keys.login(digest))
        self._cache_or_drop(digest, None)

    def note_used(self, token_id: str) -> None:
        """Store the time of a token's use, at most once a minute."""
        now = time.monotonic()
        if now - self._use_noted.get(token_id, float("-inf")) < USE_NOTED_SECONDS:
            return
        self._use_noted[token_id] = now
        with suppress(*REDIS_UNAVAILABLE):
            self._redis.hset(self._keys.used, token_id, datetime.now(UTC).isoformat(timespec="seconds"))

    def tokens_used(self) -> dict[str, datetime]:
        """Return the time of the last use of each token, by its id."""
        return {token: datetime.fromisoformat(at) for token, at in read_hash(self._redis, self._keys.used).items()}

    def _cache_or_drop(self, digest: str, session: LoginSession | None) -> None:
        self._cache.pop(digest, None)
        if session:
            self._cache[digest] = time.monotonic(), session
        if len(self._cache) > MOST_CACHED:
            with suppress(KeyError):
                self._cache.popitem(last=False)


def digest_of(secret: str) -> str:
    """Return the SHA-256 digest of a secret, in hexadecimal. The secret needs enough random bits to resist guessing."""
    return sha256(secret.encode()).hexdigest()
