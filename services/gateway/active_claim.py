"""The claim in object storage that makes one of several gateways the active one; the others stand by."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog

from shared.claims import Claim, Claims
from shared.health import Health
from shared.storage.port import ObjectStore, StorageUnavailable

FOLDER: Final = "gateways"
CLAIM: Final = "active"
POLL_SECONDS: Final = 1.0
"""Seconds between two attempts of a gateway that stands by to take the claim."""

_log = structlog.stdlib.get_logger("gateway")


class ActiveClaim:
    """The claim of the active gateway.

    While object storage is unavailable, no other gateway can take the claim, so the active gateway continues. Even if
    two gateways believe to be active, the queue of verdicts has one reader at a time.
    """

    def __init__(self, store: ObjectStore, holder: str, lease_seconds: float) -> None:
        self._claims = Claims(store, FOLDER, holder, lease_seconds)
        self._lease_seconds = lease_seconds
        self._claim: Claim | None = None

    def take(self, stop: threading.Event, health: Health, stand_by: Callable[[], None] = lambda: None) -> bool:
        """Wait until this gateway has the claim, and return True; return False if ``stop`` is set before.

        ``stand_by`` is called after each attempt, also after the one that has succeeded.
        """
        reason = ""
        while not stop.is_set():
            health.beat()
            before, reason = reason, "another gateway is active"
            try:
                self._claim = self._claims.take(CLAIM)
            except StorageUnavailable as error:
                reason = str(error)
            stand_by()
            if self._claim:
                _log.info("this gateway is active")
                return True
            if reason != before:
                _log.info("this gateway stands by", reason=reason)
            stop.wait(min(POLL_SECONDS, self._lease_seconds / 3))
        return False

    def renew(self, stop: threading.Event, health: Health) -> None:
        """Renew the claim until ``stop`` is set, then release it; set ``stop`` if another gateway has taken it."""
        while self._claim and not stop.wait(self._lease_seconds / 3):
            health.beat()
            try:
                if not self._claims.renew(CLAIM, self._claim):
                    _log.error("another gateway has taken the claim, which was not renewed in time: this gateway ends")
                    stop.set()
                    return
            except StorageUnavailable as error:
                _log.warning("the claim can't be renewed; this gateway continues", reason=str(error))
        try:
            self._claims.release(CLAIM)
        except StorageUnavailable as error:
            _log.warning("the claim can't be released: it expires after its lease", reason=str(error))
