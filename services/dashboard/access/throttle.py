"""Rate limit of failed logins: after some attempts, each further one has to wait twice as long, up to five minutes.

No name is locked, because an attacker could then lock a person out. Attempts from unknown browsers are counted by name
and address together, and by address. Attempts from a browser with which the person has logged in before are counted by
browser (device cookies, as OWASP describes them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from secrets import token_urlsafe
from typing import Final

from redis import Redis

from services.dashboard.access.sessions import digest_of
from services.dashboard.store.keys import Keys
from services.dashboard.web.problems import Problem
from shared.language import gettext

FREE_TRIES: Final = 5
"""Failed attempts after which the next one has to wait."""
FREE_TRIES_OF_ADDRESS: Final = 100
"""Failed attempts from one address after which the next one has to wait; many people may share an address."""
LONGEST_WAIT: Final = timedelta(minutes=5)
COUNTER_LIFETIME: Final = timedelta(hours=1)
DEVICE_LIFETIME: Final = timedelta(days=180)


@dataclass(frozen=True)
class TryCounter:
    """A counter of failed attempts."""

    name: str
    free: int = FREE_TRIES
    """Failed attempts after which the next one has to wait."""


class Throttle:
    """Counts attempts in Redis, for all dashboard processes together."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def knows(self, name: str, device: str | None) -> bool:
        """Return whether the person with this name has logged in with this browser before."""
        return device is not None and self._redis.get(self._keys.device(digest_of(device))) == name

    def counters(self, name: str, device: str | None, address: str) -> list[TryCounter]:
        """Return the counters of an attempt to log in, the most specific counter first."""
        if device and self.knows(name, device):
            return [TryCounter(f"device-{digest_of(device)}")]
        network = network_of(address)
        return [
            TryCounter(f"pair-{_hashed(f'{name} {network}')}"),
            TryCounter(f"address-{_hashed(network)}", FREE_TRIES_OF_ADDRESS),
        ]

    def counters_after_login(self, name: str) -> list[TryCounter]:
        """Return the counters of a logged-in person's attempt to change their own password."""
        return [TryCounter(f"own-{_hashed(name)}")]

    def admit(self, counters: Sequence[TryCounter]) -> None:
        """Count an attempt before it is made, so that simultaneous attempts are all counted.

        Raises:
            Problem: 429: the caller has to wait.
        """
        for each in counters:
            self._refuse_while(self._keys.waiting(each.name))
        for each in counters:
            failures, waiting = self._keys.failures(each.name), self._keys.waiting(each.name)
            tries = self._redis.incr(failures)
            self._redis.expire(failures, COUNTER_LIFETIME)
            wait = wait_after(tries, each.free)
            if tries > each.free and not self._redis.set(waiting, "1", nx=True, ex=wait):
                self._refuse_while(waiting)

    def forgive(self, counters: Sequence[TryCounter]) -> None:
        """After a successful attempt, reset the first counter, and subtract the attempt from the others."""
        own, *others = (each.name for each in counters)
        self._redis.delete(self._keys.failures(own), self._keys.waiting(own))
        for each in others:
            self._redis.decr(self._keys.failures(each))

    def remember(self, name: str) -> str:
        """Return a new device cookie for a browser with which the person has logged in."""
        device = token_urlsafe(24)
        self._redis.set(self._keys.device(digest_of(device)), name, ex=DEVICE_LIFETIME)
        return device

    def _refuse_while(self, waiting: str) -> None:
        left = self._redis.ttl(waiting)
        if left >= 0:
            seconds = max(1, left)
            detail = gettext("too many failed logins: try again in %(seconds)s s", seconds=seconds)
            raise Problem(429, detail, headers={"Retry-After": str(seconds)})


def network_of(address: str) -> str:
    """Return the /64 network of an IPv6 address; an IPv4 address, or other text, unchanged."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    return str(ip_network(f"{ip}/64", strict=False)) if isinstance(ip, IPv6Address) else str(ip)


def wait_after(tries: int, free: int = FREE_TRIES) -> timedelta:
    """Return the time to wait after this number of attempts, of which ``free`` cost no wait."""
    doubled = timedelta(seconds=2 ** min(max(0, tries - free), 20))
    return min(doubled, LONGEST_WAIT)


def _hashed(text: str) -> str:
    """Return a digest of a text, because people type passwords into the field of the name."""
    return sha256(text.encode()).hexdigest()
