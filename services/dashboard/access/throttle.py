"""Failed logins: after a few, each further one has to wait, twice as long each time, but never longer than minutes.

Who hammers at somebody's name would keep that person out. So a browser in which somebody has logged in before is
counted by itself, apart from strangers (OWASP's device cookies).
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import Final

from redis import Redis

from services.dashboard.access.sessions import digest_of
from services.dashboard.problems import Problem
from services.dashboard.projection import Keys

FREE: Final = 5
"""Tries without waiting."""
LONGEST_WAIT: Final = timedelta(minutes=5)
FORGOTTEN_AFTER: Final = timedelta(hours=1)
DEVICE_LASTS: Final = timedelta(days=180)


class Throttle:
    """Counts tries in Redis, so that every dashboard counts the same."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def who(self, name: str, device: str | None) -> str:
        """Under what a try to log in counts: of the browser, if that name has logged in with it, or of the name."""
        if device and self._redis.get(self._keys.device(digest_of(device))) == name:
            return f"device-{digest_of(device)}"
        return f"name-{sha256(name.encode()).hexdigest()}"  # people type passwords into the wrong field

    def admit(self, who: str) -> None:
        """Count a try before it is made, so that many at once count as many.

        Raises:
            Problem: 429: it is too early for another one.
        """
        failures, waiting = self._keys.failures(who), self._keys.waiting(who)
        self._turn_away(waiting)
        tries = self._redis.incr(failures)
        self._redis.expire(failures, FORGOTTEN_AFTER)
        if tries > FREE and not self._redis.set(waiting, "1", nx=True, ex=wait_after(tries)):
            self._turn_away(waiting)

    def forgive(self, who: str) -> None:
        """Somebody has logged in."""
        self._redis.delete(self._keys.failures(who), self._keys.waiting(who))

    def remember(self, name: str) -> str:
        """What the browser keeps, in which somebody has logged in."""
        device = token_urlsafe(24)
        self._redis.set(self._keys.device(digest_of(device)), name, ex=DEVICE_LASTS)
        return device

    def _turn_away(self, waiting: str) -> None:
        left = self._redis.ttl(waiting)
        if left >= 0:
            seconds = max(1, left)
            words = f"too many failed logins: try again in {seconds} s"
            raise Problem(429, words, headers={"Retry-After": str(seconds)})


def wait_after(tries: int) -> timedelta:
    """How long nobody may try again after so many tries."""
    doubled = timedelta(seconds=2 ** min(max(0, tries - FREE), 20))
    return min(doubled, LONGEST_WAIT)
