"""Does the errands: measures, in a thread of its own, while the trainer goes on answering commands."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import structlog

from services.trainer.jobs.announcement import promotion_of_thresholds, refused
from services.trainer.jobs.answers import Answer, find_answer, keep_answer
from services.trainer.jobs.claims import Claim
from services.trainer.jobs.measurement_jobs import Errand, Errands, name_of
from services.trainer.jobs.turns import PASSING, take_turns
from services.trainer.promotion.gate import Interrupted, Measuring
from shared.contracts.bundle import production_version
from shared.health import Health
from shared.messages import ComparisonRequested, Message, PromotionRequested, ThresholdsRequested
from shared.messaging.port import Publisher
from shared.storage.port import ObjectStore, StorageUnavailable

MOST_ATTEMPTS: Final = 3
"""An errand that brings its trainer down so often is given up."""
GIVEN_UP: Final = f"the trainer died {MOST_ATTEMPTS} times while it measured this: see its log"

_log = structlog.stdlib.get_logger("measurer")


class Measurer:
    """Takes up open errands, oldest first."""

    def __init__(
        self,
        errands: Errands,
        measuring: Measuring,
        store: ObjectStore,
        publisher: Publisher,
        *,
        news: threading.Event,
        stop: threading.Event,
        lease_seconds: float,
        health: Health,
    ) -> None:
        """Make a measurer.

        Args:
            errands: what is to be measured.
            measuring: how.
            store: where the models are.
            publisher: of this measurer alone.
            news: set when there is a new errand.
            stop: set by a signal; the errand at hand is left between two batches, to be taken up again.
            lease_seconds: how long an errand stays with a trainer that is not heard of.
            health: of this measurer.
        """
        self._errands = errands
        self._measuring = measuring
        self._store = store
        self._publisher = publisher
        self._news = news
        self._stop = stop
        self._lease_seconds = lease_seconds
        self._health = health
        self._to_release: Errand | None = None

    def run(self) -> None:
        """Until the stop."""
        take_turns(self._turn, self._news, self._stop, self._health)

    def _turn(self) -> bool:
        """Do the first errand that nobody else does; False if there is none."""
        self._release()
        for errand in self._errands.open():
            claim = self._errands.claim(errand)
            if claim is not None:
                self._do(errand, claim)
                return True
        return False

    def _do(self, errand: Errand, claim: Claim) -> None:
        """Measure, tell, and only then close the errand: when anything fails in between, it is done again."""
        _log.info("measuring", errand=name_of(errand), attempt=claim.attempts)
        try:
            with self._held(errand, claim):
                answers = self._measured(errand, give_up=claim.attempts > MOST_ATTEMPTS)
            for confirmed in [self._publisher.publish(message) for message in answers]:
                confirmed.result()
        except (Interrupted, *PASSING) as error:
            self._to_release = errand
            with suppress(StorageUnavailable):
                self._release()
            if not isinstance(error, Interrupted):
                raise
        else:
            if isinstance(errand, PromotionRequested):  # whoever decides on that one closes it
                self._errands.was_told(errand)
            else:
                self._errands.finish(errand)

    def _release(self) -> None:
        """Let go of what an outage ended: it counts as no attempt."""
        if self._to_release:
            self._errands.release(self._to_release)
            self._to_release = None

    def _measured(self, errand: Errand, *, give_up: bool) -> Sequence[Message]:
        """What follows when it is measured. What came of it is in object storage then."""
        match errand:
            case ComparisonRequested():
                if give_up:
                    self._measuring.refuse(errand, GIVEN_UP)
                else:
                    self._measuring.answer(errand)
                return []
            case PromotionRequested():
                return self._beside_production(errand, GIVEN_UP if give_up else "")
            case ThresholdsRequested():
                answer = self._answered(errand, give_up=give_up)
                promotion = promotion_of_thresholds(errand, answer)
                return [answer, *([promotion] if promotion else [])]

    def _beside_production(self, asked: PromotionRequested, objection: str) -> Sequence[Message]:
        """Measure, and ask for the promotion again: the thread that reads commands alone moves the pointer."""
        production = production_version(self._store, asked.recipe)
        if production:
            objection = objection or self._measuring.objection(asked.recipe, production, asked.model_version)
            self._errands.was_measured(asked, production, objection)
        return [asked]

    def _answered(self, asked: ThresholdsRequested, *, give_up: bool) -> Answer:
        """The answer to a request that comes twice is the same."""
        if known := find_answer(self._store, asked.recipe, asked.thresholds_id):
            return known
        answer = refused(asked, GIVEN_UP) if give_up else self._measuring.keep_thresholds(asked)
        keep_answer(self._store, answer)
        _log.info(type(answer).__name__, **answer.model_dump(mode="json"))
        return answer

    @contextmanager
    def _held(self, errand: Errand, claim: Claim) -> Iterator[None]:
        """Renew the claim until the block ends."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(self._lease_seconds / 3):
                with suppress(StorageUnavailable):
                    self._errands.renew(errand, claim)

        renewing = threading.Thread(target=renew, name="renewing", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            done.set()
            renewing.join()
