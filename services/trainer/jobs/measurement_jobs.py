"""What was asked for and takes minutes to measure: kept in object storage, so that no command waits behind it.

``errands/<name>/`` holds ``request.json``, the message as it came; ``claim.<number>.json``, who measures; and of a
promotion ``measured.json``, against which model it was measured. One that is measured is still claimed until it is
asked for again. An errand is deleted when it is done: what came of it is kept elsewhere.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from services.trainer.jobs.claims import CLAIM, Claim, Claims
from services.trainer.jobs.records import read_record, write_record
from shared.messages import ComparisonRequested, PromotionRequested, ThresholdsRequested, decode
from shared.storage.port import ObjectStore
from shared.storage.records import readable

FOLDER: Final = "errands"
REQUEST: Final = "request.json"
MEASURED: Final = "measured.json"

Errand = ComparisonRequested | PromotionRequested | ThresholdsRequested


class Measured(BaseModel):
    """What a promotion waited for."""

    model_config = ConfigDict(frozen=True)

    against: str = Field(description="the version that was in production")
    objection: str = Field("", description="why the two can't be compared; empty: the comparison is kept")


class Errands:
    """All errands, as one trainer sees them."""

    def __init__(self, store: ObjectStore, holder: str, lease_seconds: float) -> None:
        self._store = store
        self._claims = Claims(store, FOLDER, holder, lease_seconds)

    def add(self, errand: Errand) -> None:
        """Take one in. One that was measured is to be measured anew; of the same asked twice, the later one stays."""
        self._store.delete(_key(errand, MEASURED))
        before = self._request(name_of(errand))
        if before is None or before.at < errand.at:
            self._store.put(_key(errand, REQUEST), errand.encode(), "application/json")

    def open(self) -> list[Errand]:
        """Those that are not measured, or of which nobody was told that they are; oldest first."""
        known: dict[str, set[str]] = {}
        for key in self._store.keys(f"{FOLDER}/"):
            _, name, record = (*key.split("/", 2), "")[:3]  # a stray object beside the folders is none
            known.setdefault(name, set()).add(record)
        waiting = (
            name
            for name, records in known.items()
            if REQUEST in records and (MEASURED not in records or any(map(CLAIM.fullmatch, records)))
        )
        found = (errand for name in waiting if (errand := self._request(name)))
        return sorted(found, key=lambda errand: errand.at)

    def _request(self, name: str) -> Errand | None:
        """What was asked for; None where it is done by now, or of a newer trainer: this one can't read it."""
        key = f"{FOLDER}/{name}/{REQUEST}"
        found = readable(key, lambda: decode(self._store.get(key)))
        return found if isinstance(found, Errand) else None

    def claim(self, errand: Errand) -> Claim | None:
        """Take one up; None while another trainer measures it."""
        return self._claims.take(name_of(errand))

    def renew(self, errand: Errand, claim: Claim) -> bool:
        """Hold on to one; False where another trainer has it."""
        return self._claims.renew(name_of(errand), claim)

    def release(self, errand: Errand) -> None:
        """Let go of one that is not done."""
        self._claims.release(name_of(errand))

    def was_measured(self, errand: Errand, against: str, objection: str = "") -> None:
        """What a promotion waited for is there."""
        write_record(self._store, _key(errand, MEASURED), Measured(against=against, objection=objection))

    def was_told(self, errand: Errand) -> None:
        """Whoever waits for it has heard that it is measured."""
        self._claims.drop(name_of(errand))

    def measured(self, errand: Errand) -> Measured | None:
        """What a promotion waited for; None while it is not there."""
        return read_record(self._store, _key(errand, MEASURED), Measured)

    def finish(self, errand: Errand) -> None:
        """It is done, unless somebody asked anew meanwhile, who waits for an answer of his own.

        The request goes first, so that what is left of it is no errand.
        """
        latest = self._request(name_of(errand))
        if latest and latest.at > errand.at:
            self.release(errand)
            return
        for record in (REQUEST, MEASURED):
            self._store.delete(_key(errand, record))
        self._claims.drop(name_of(errand))


def name_of(errand: Errand) -> str:
    """The same for a request that comes twice."""
    match errand:
        case ComparisonRequested():
            return f"comparison.{errand.recipe}.{errand.baseline}.{errand.candidate}"
        case PromotionRequested():
            return f"promotion.{errand.recipe}.{errand.promotion_id}"
        case ThresholdsRequested():
            return f"thresholds.{errand.recipe}.{errand.thresholds_id}"


def _key(errand: Errand, record: str) -> str:
    return f"{FOLDER}/{name_of(errand)}/{record}"
