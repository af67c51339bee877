"""The model in production: followed while the line runs, and swapped between two batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from services.inference import metrics
from services.inference.model import Model
from shared.contracts.bundle import Bundle, BundleError, ProductionPointer, production_pointer, read_bundle
from shared.engines.port import EngineError
from shared.health import Health
from shared.messaging.port import BrokerUnavailable, Subscription
from shared.recipe import RecipeError
from shared.storage.port import ObjectNotFound, ObjectStore, StorageError

LISTEN_SECONDS: Final = 0.5
"""How long a stop may go unheard."""
REFUSAL_SECONDS: Final = 300.0
"""How long a network that this worker could not run is left alone; a damaged bundle is read again at each look."""

_log = structlog.stdlib.get_logger("production")


class NoModel(RuntimeError):
    """A batch was judged before a model was there."""


class Production:
    """Keeps the model that judges, and loads its successor beside it.

    One thread follows the pointer to the model in production (`follow`), another one judges (`model`). While a model
    can't be used, the one before it goes on judging.
    """

    def __init__(
        self,
        store: ObjectStore,
        recipe: str,
        load: Callable[[Bundle], Model],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._recipe = recipe
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._current: Model | None = None
        self._successor: Model | None = None
        self._refused: str | None = None
        self._refused_until = 0.0
        self._arrived = threading.Event()
        self.trouble = ""
        """Why the model in production does not judge; empty when it does."""

    @property
    def version(self) -> str | None:
        """The version that judges the next frame; None before the first."""
        with self._lock:
            newest = self._successor or self._current
        return newest.version if newest else None

    def model(self) -> Model:
        """The model for the next batch. Only the thread that judges calls this: here a successor takes over.

        Raises:
            NoModel: none has arrived yet; see `wait`.
        """
        with self._lock:
            if self._successor:
                self._take_over(self._successor)
            if self._current is None:
                raise NoModel(self.trouble)
            return self._current

    def wait(self, stop: threading.Event, health: Health) -> None:
        """Wait for the first model, or for ``stop``. The service is well meanwhile: frames wait in the queue."""
        while not stop.is_set() and not self._arrived.wait(LISTEN_SECONDS):
            health.beat()

    def follow(self, promotions: Subscription, every_seconds: float, stop: threading.Event, health: Health) -> None:
        """Look at the pointer at the start, at each promotion, and every few seconds: a broadcast may be missed."""
        next_look = 0.0
        while not stop.is_set():
            health.beat()
            if time.monotonic() >= next_look or self._heard(promotions, stop):
                self.look()
                next_look = time.monotonic() + every_seconds

    def look(self) -> None:
        """Load the model in production, if it is another than the last one."""
        try:
            pointer = production_pointer(self._store, self._recipe)
            version = pointer.version if pointer else None
            if pointer is None:
                self._say(f"no model of recipe {self._recipe} is in production: train one and promote it")
            elif version != self.version and not self._is_refused(pointer.version):
                self._prepare(pointer)
        except (StorageError, BundleError) as error:
            self._say(f"can't look which model is in production: {error}")
        else:
            if version is not None and version == self.version:
                self.trouble, self._refused = "", None

    def _heard(self, promotions: Subscription, stop: threading.Event) -> bool:
        try:
            deliveries = promotions.receive(most=100, wait_seconds=LISTEN_SECONDS)
        except BrokerUnavailable:
            stop.wait(LISTEN_SECONDS)
            return False
        promotions.acknowledge(deliveries)
        return bool(deliveries)

    def _is_refused(self, version: str) -> bool:
        return version == self._refused and self._clock() < self._refused_until

    def _prepare(self, pointer: ProductionPointer) -> None:
        version = pointer.version
        try:
            model = self._load(read_bundle(self._store, self._recipe, version, pointer.digest))
        except (BundleError, ObjectNotFound) as error:
            self._say(f"model {version} can't be used: {error}")
            return
        except (RecipeError, EngineError) as error:
            self._refused, self._refused_until = version, self._clock() + REFUSAL_SECONDS
            self._say(f"model {version} can't be used: {error}")
            return
        with self._lock:
            replaced, self._successor = self._successor, model
        if replaced:
            replaced.unload()
        self._arrived.set()

    def _take_over(self, successor: Model) -> None:
        previous, self._current, self._successor = self._current, successor, None
        if previous:
            metrics.MODEL.remove(previous.recipe.name, previous.version)
            previous.unload()
        metrics.MODEL.labels(successor.recipe.name, successor.version).set(1)
        _log.info("judging with model", version=successor.version, form=successor.form, engine=successor.engine.name)

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            _log.error(trouble, judging=self.version or "nothing: frames wait in the queue")
        self.trouble = trouble
