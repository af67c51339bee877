"""Of several gateways one acts: the one that holds the claim in object storage. The others stand by."""

from __future__ import annotations

import threading
from typing import Final

import structlog

from shared.claims import Claim, Claims
from shared.health import Health
from shared.storage.port import ObjectStore, StorageUnavailable

FOLDER: Final = "gateways"
CLAIM: Final = "active"
LOOK_SECONDS: Final = 1.0
"""Between two looks of a gateway that stands by."""

_log = structlog.stdlib.get_logger("gateway")


class Tenure:
    """The claim of the gateway that acts.

    While object storage is away no other gateway can take the claim, so the one that acts continues. Should another
    one take it nevertheless, the queue of verdicts still has one reader at a time.
    """

    def __init__(self, store: ObjectStore, holder: str, lease_seconds: float) -> None:
        self._claims = Claims(store, FOLDER, holder, lease_seconds)
        self._lease_seconds = lease_seconds
        self._claim: Claim | None = None

    def begin(self, stop: threading.Event, health: Health) -> bool:
        """Wait until this gateway may act; False: ``stop`` was set before."""
        reason = ""
        while not stop.is_set():
            health.beat()
            before, reason = reason, "another gateway acts"
            try:
                self._claim = self._claims.take(CLAIM)
            except StorageUnavailable as error:
                reason = str(error)
            if self._claim:
                _log.info("this gateway acts")
                return True
            if reason != before:
                _log.info("this gateway stands by", reason=reason)
            stop.wait(min(LOOK_SECONDS, self._lease_seconds / 3))
        return False

    def keep(self, stop: threading.Event, health: Health) -> None:
        """Renew the claim until ``stop`` is set, then give it back; set ``stop`` when another gateway has taken it."""
        while self._claim and not stop.wait(self._lease_seconds / 3):
            health.beat()
            try:
                if not self._claims.renew(CLAIM, self._claim):
                    _log.error("another gateway has taken over, because this one was silent: it ends")
                    stop.set()
                    return
            except StorageUnavailable as error:
                _log.warning("the claim can't be renewed; this gateway continues", reason=str(error))
        try:
            self._claims.release(CLAIM)
        except StorageUnavailable as error:
            _log.warning("the claim can't be given back: it lapses", reason=str(error))
