"""Sessions of people who have logged in, in Redis: if they are lost, people have to log in again."""

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
"""For so long a cached session is valid while Redis is away."""
MOST_CACHED: Final = 10_000
BROWSER_LENGTH: Final = 200
USE_NOTED_SECONDS: Final = 60.0
"""Between two notes of the use of a token."""


class LoginSession(BaseModel):
    """A session as it is stored."""

    person: str
    epoch: str
    """Epoch of the person when the session began."""
    until: AwareDatetime
    """When it ends, even if it is in use."""
    begun_at: AwareDatetime
    address: str = ""
    browser: str = ""
    """Its user agent."""


@dataclass(frozen=True)
class OpenSession:
    """A session in the list that its person sees."""

    digest: str
    session: LoginSession
    seen_at: datetime

    @property
    def id(self) -> str:
        """Return a name of the session that gives no access to it."""
        return self.digest[:16]


class Sessions:
    """The sessions by the digest of their id; only the browser has the id."""

    def __init__(self, redis: Redis, keys: Keys, *, idle: timedelta, longest: timedelta) -> None:
        """A session ends after ``idle`` without use, and after ``longest`` in any case."""
        self._redis = redis
        self._keys = keys
        self._idle = idle
        self.longest = longest
        self._cache: OrderedDict[str, tuple[float, LoginSession]] = OrderedDict()
        """With the time of the monotonic clock at which each was found last."""
        self._use_noted: dict[str, float] = {}
        """Time of the monotonic clock at which the use of each token was noted last."""

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
        """Return the valid sessions of a person, the one used last first."""
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

        While Redis is away, return a session that this process found within the last minutes.
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
        """Store that a token was used, once a minute at most."""
        now = time.monotonic()
        if now - self._use_noted.get(token_id, float("-inf")) < USE_NOTED_SECONDS:
            return
        self._use_noted[token_id] = now
        with suppress(*REDIS_UNAVAILABLE):
            self._redis.hset(self._keys.used, token_id, datetime.now(UTC).isoformat(timespec="seconds"))

    def tokens_used(self) -> dict[str, datetime]:
        """Return when each token was used last."""
        return {token: datetime.fromisoformat(at) for token, at in read_hash(self._redis, self._keys.used).items()}

    def _cache_or_drop(self, digest: str, session: LoginSession | None) -> None:
        self._cache.pop(digest, None)
        if session:
            self._cache[digest] = time.monotonic(), session
        if len(self._cache) > MOST_CACHED:
            with suppress(KeyError):
                self._cache.popitem(last=False)


def digest_of(secret: str) -> str:
    """Return the SHA-256 digest of a secret of many random bits, which can't be guessed from it."""
    return sha256(secret.encode()).hexdigest()
