"""Follow the model in production while the line runs, and swap models between two batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from services.inference import metrics
from services.inference.model import Model
from shared.contracts.bundle import Bundle, BundleError, read_bundle
from shared.contracts.promotion import Promotion, last_promotion
from shared.engines.port import EngineError
from shared.health import Health
from shared.messaging.port import BrokerUnavailable, Subscription
from shared.recipe import RecipeError
from shared.storage.port import ObjectNotFound, ObjectStore, StorageError

POLL_SECONDS: Final = 0.5
"""Most seconds until a request to stop is noticed."""
REFUSAL_SECONDS: Final = 300.0
"""Seconds before a network that this worker could not run is tried again; a damaged bundle is read at each check."""

_log = structlog.stdlib.get_logger("production")


class NoModel(RuntimeError):
    """A batch arrived before the first model."""


class Production:
    """Hold the current model, and load its successor in the background.

    One thread follows the pointer to the model in production (`follow`), and another thread inspects (`model`). While
    the model in production can't be used, the previous model stays in use.
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
        self._checking = threading.Lock()
        self._current: Model | None = None
        self._successor: Model | None = None
        self._refused: str | None = None
        self._refused_until = 0.0
        self._arrived = threading.Event()
        self.trouble = ""
        """Why the model in production is not in use; empty when it is."""
        metrics.MODEL_TROUBLE.set_function(lambda: bool(self.trouble))

    @property
    def version(self) -> str | None:
        """Return the version that inspects the next frame; None before the first model."""
        with self._lock:
            newest = self._successor or self._current
        return newest.version if newest else None

    @property
    def name(self) -> tuple[str, str] | None:
        """Return recipe and version of the model that inspects the next frame; None before the first model."""
        version = self.version
        return (self._recipe, version) if version else None

    def model(self) -> Model:
        """Return the model for the next batch, and put a successor into use. Only the inspecting thread calls this.

        The caller unloads the model before as soon as no batch uses it.

        Raises:
            NoModel: no model has arrived yet; see `wait`.
        """
        with self._lock:
            if successor := self._successor:
                if self._current:
                    metrics.MODEL.remove(self._current.recipe.name, self._current.version)
                metrics.MODEL.labels(successor.recipe.name, successor.version).set(1)
                _log.info(
                    "model in use",
                    version=successor.version,
                    variant=successor.variant,
                    engine=successor.engine.name,
                )
                self._current, self._successor = successor, None
            if self._current is None:
                raise NoModel(self.trouble)
            return self._current

    def wait(self, stop: threading.Event, health: Health) -> None:
        """Wait for the first model, or for ``stop``. The service is healthy meanwhile: frames wait in the queue."""
        while not stop.is_set() and not self._arrived.wait(POLL_SECONDS):
            health.beat()

    def follow(self, promotions: Subscription, every_seconds: float, stop: threading.Event, health: Health) -> None:
        """Check the pointer at the start, at each promotion, and every few seconds: a broadcast may be lost."""
        next_check = 0.0
        while not stop.is_set():
            health.beat()
            if time.monotonic() < next_check:
                try:
                    deliveries = promotions.receive(most=100, wait_seconds=POLL_SECONDS)
                except BrokerUnavailable:
                    stop.wait(POLL_SECONDS)
                    continue
                promotions.acknowledge(deliveries)
                if not deliveries:
                    continue
            self.check()
            next_check = time.monotonic() + every_seconds

    def check(self) -> None:
        """Load the model in production if it changed; one thread at a time does it."""
        with self._checking:
            try:
                pointer = last_promotion(self._store, self._recipe)
                version = pointer.version if pointer else None
                if pointer is None:
                    self._report(f"no model of recipe {self._recipe} is in production: train one and promote it")
                elif version != self.version and not (version == self._refused and self._clock() < self._refused_until):
                    self._prepare(pointer)
            except (StorageError, BundleError) as error:
                self._report(f"can't read which model is in production: {error}")
            else:
                if version is not None and version == self.version:
                    self.trouble, self._refused = "", None

    def _prepare(self, pointer: Promotion) -> None:
        version = pointer.version
        try:
            model = self._load(read_bundle(self._store, self._recipe, version, pointer.digest))
        except (BundleError, ObjectNotFound) as error:
            self._report(f"model {version} can't be used: {error}")
            return
        except (RecipeError, EngineError) as error:
            self._refused, self._refused_until = version, self._clock() + REFUSAL_SECONDS
            self._report(f"model {version} can't be used: {error}")
            return
        with self._lock:
            replaced, self._successor = self._successor, model
        if replaced:
            replaced.unload()
        self._arrived.set()

    def _report(self, trouble: str) -> None:
        if trouble != self.trouble:
            _log.error(trouble, in_use=self.version or "none: frames wait in the queue")
        self.trouble = trouble
