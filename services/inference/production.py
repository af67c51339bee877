"""Follow the model in production of one recipe while lines run, and swap models between two batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from services.inference import metrics
from services.inference.model import Model
from shared.contracts.bundle import Bundle, BundleError, read_bundle
from shared.contracts.promotion import Promotion, last_promotion
from shared.engines.port import EngineError
from shared.health import Health
from shared.recipe import RecipeError
from shared.storage.port import ObjectNotFound, ObjectStore, StorageError

POLL_SECONDS: Final = 0.5
"""Most seconds until a request to stop is noticed."""
RETRY_SECONDS: Final = 1.0
"""Seconds between two tries to load a model for which frames wait, while object storage fails."""
REFUSAL_SECONDS: Final = 300.0
"""Seconds before a network that this worker could not run is tried again; a damaged bundle is read at each check."""

_log = structlog.stdlib.get_logger("production")


@dataclass(frozen=True)
class NoModel:
    """The reason why a recipe has no model to inspect with; ``temporary`` if object storage may tell more later."""

    reason: str
    temporary: bool


class Production:
    """Hold the current model of a recipe, and load its successor in the background.

    One thread follows the pointer to the model in production (`check`), and another thread inspects (`model`). While
    the model in production can't be used, the previous model stays in use.
    """

    def __init__(
        self,
        store: ObjectStore,
        recipe: str,
        load: Callable[[Bundle], Model],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.recipe = recipe
        self._store = store
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._checking = threading.Lock()
        self._current: Model | None = None
        self._successor: Model | None = None
        self._refused: str | None = None
        self._refused_until = 0.0
        self._arrived = threading.Event()
        self._storage_failed = True
        """Whether no check so far, or not the last one, could read the promotions and the model."""
        self._checked_at = -RETRY_SECONDS
        self.trouble = ""
        """Why the model in production is not in use; empty when it is."""

    @property
    def version(self) -> str | None:
        """Return the version that inspects the next frame; None before the first model."""
        with self._lock:
            newest = self._successor or self._current
        return newest.version if newest else None

    @property
    def is_due(self) -> bool:
        """Return whether a frame waits for a model that storage did not give, and storage was not asked lately."""
        return self.version is None and self._storage_failed and self._clock() >= self._checked_at + RETRY_SECONDS

    def model(self) -> Model | NoModel:
        """Return the model for the next batch, and put a successor into use. Only the inspecting thread calls this.

        The caller unloads the model before as soon as no batch uses it.
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
                reason = self.trouble or f"the model of recipe {self.recipe} is being loaded"
                return NoModel(reason, temporary=self._storage_failed)
            return self._current

    def wait(self, stop: threading.Event, health: Health) -> None:
        """Wait for the first model, or for ``stop``. The service is healthy meanwhile: frames wait in the queue."""
        while not stop.is_set() and not self._arrived.wait(POLL_SECONDS):
            health.beat()

    def check(self) -> None:
        """Load the model in production if it changed; one thread at a time does it."""
        with self._checking:
            self._checked_at = self._clock()
            try:
                pointer = last_promotion(self._store, self.recipe)
                version = pointer.version if pointer else None
                if pointer is None:
                    self._report(f"no model of recipe {self.recipe} is in production: train one and promote it")
                elif version != self.version and not (version == self._refused and self._clock() < self._refused_until):
                    self._prepare(pointer)
            except (StorageError, BundleError) as error:
                self._report(f"can't read which model is in production: {error}")
                self._storage_failed = isinstance(error, StorageError)
            else:
                self._storage_failed = False
                if version is not None and version == self.version:
                    self.trouble, self._refused = "", None

    def _prepare(self, pointer: Promotion) -> None:
        version = pointer.version
        try:
            model = self._load(read_bundle(self._store, self.recipe, version, pointer.digest))
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
            _log.error(trouble, recipe=self.recipe, in_use=self.version or "none")
        self.trouble = trouble
