"""Failed logins: after a few, each further one has to wait, twice as long each time, but never longer than minutes.

No name is locked for everybody: that would let anyone keep its owner out. Strangers are counted by name and address
together, and by address, and a browser in which somebody has logged in before by itself (OWASP's device cookies).
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

FREE: Final = 5
"""Tries without waiting."""
FREE_OF_ADDRESS: Final = 100
"""The same, of an address, whatever the names: many people may be behind one."""
LONGEST_WAIT: Final = timedelta(minutes=5)
FORGOTTEN_AFTER: Final = timedelta(hours=1)
DEVICE_LASTS: Final = timedelta(days=180)


@dataclass(frozen=True)
class Counter:
    """What a try counts for."""

    who: str
    free: int = FREE
    """Tries without waiting."""


class Throttle:
    """Counts tries in Redis, so that every dashboard counts the same."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def knows(self, name: str, device: str | None) -> bool:
        """Whether somebody of that name has logged in with this browser."""
        return device is not None and self._redis.get(self._keys.device(digest_of(device))) == name

    def counters(self, name: str, device: str | None, address: str) -> list[Counter]:
        """What a try to log in counts for: a browser that is known; else the name with the address, and the address."""
        if device and self.knows(name, device):
            return [Counter(f"device-{digest_of(device)}")]
        place = network_of(address)
        return [Counter(f"pair-{_hidden(f'{name} {place}')}"), Counter(f"address-{_hidden(place)}", FREE_OF_ADDRESS)]

    def counter_of(self, name: str) -> list[Counter]:
        """Under what the tries of somebody count who has logged in."""
        return [Counter(f"own-{_hidden(name)}")]

    def admit(self, counters: Sequence[Counter]) -> None:
        """Count a try before it is made, so that many at once count as many.

        Raises:
            Problem: 429: it is too early for another one.
        """
        for each in counters:
            self._turn_away(self._keys.waiting(each.who))
        for each in counters:
            failures, waiting = self._keys.failures(each.who), self._keys.waiting(each.who)
            tries = self._redis.incr(failures)
            self._redis.expire(failures, FORGOTTEN_AFTER)
            wait = wait_after(tries, each.free)
            if tries > each.free and not self._redis.set(waiting, "1", nx=True, ex=wait):
                self._turn_away(waiting)

    def forgive(self, counters: Sequence[Counter]) -> None:
        """Somebody has logged in: that try was none of the failures. What others at the address did stays."""
        own, *others = (each.who for each in counters)
        self._redis.delete(self._keys.failures(own), self._keys.waiting(own))
        for each in others:
            self._redis.decr(self._keys.failures(each))

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


def network_of(address: str) -> str:
    """The address as one party has it: of IPv6, the network of its first 64 bits."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    return str(ip_network(f"{ip}/64", strict=False)) if isinstance(ip, IPv6Address) else str(ip)


def wait_after(tries: int, free: int = FREE) -> timedelta:
    """How long to wait after so many tries."""
    doubled = timedelta(seconds=2 ** min(max(0, tries - free), 20))
    return min(doubled, LONGEST_WAIT)


def _hidden(text: str) -> str:
    """A digest: people type passwords into the wrong field."""
    return sha256(text.encode()).hexdigest()
