"""Hold the models in production of several recipes, so that a worker inspects each frame by the recipe that it names.

A model is loaded when the first frame names its recipe. Beyond a number of models, the one that was used longest ago is
given up.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

import structlog

from services.inference import metrics
from services.inference.model import Model
from services.inference.production import POLL_SECONDS, NoModel, Production
from shared.contracts.bundle import Bundle
from shared.health import Health
from shared.messaging.port import BrokerUnavailable, Subscription
from shared.storage.port import ObjectStore

LOAD_SECONDS: Final = 10.0
"""Most seconds that the inspection waits for the first model of a recipe; frames that name it are deferred then."""
MOST_UNKNOWN: Final = 20
"""Most recipes without a usable model that are followed."""

_log = structlog.stdlib.get_logger("production")


class Models:
    """The models in production of the recipes that frames name.

    One thread follows promotions (`follow`), and another thread inspects (`of`, `take_retired`).
    """

    def __init__(
        self,
        store: ObjectStore,
        recipe: str,
        load: Callable[[Bundle], Model],
        *,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Hold up to ``most`` models. The one of ``recipe``, by which frames without a recipe are inspected, stays."""
        self._store = store
        self._load = load
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._loading = ThreadPoolExecutor(1, "load")
        self._loads: dict[str, Future[None]] = {}
        """The last load of each recipe that a frame named."""
        self.usual = Production(store, recipe, load, clock)
        self._held = OrderedDict({recipe: self.usual})
        """By recipe, the one that a frame named longest ago first."""
        self._in_use: dict[str, Model] = {}
        self._retired: list[Model] = []
        metrics.MODEL_TROUBLE.set_function(lambda: any(each.trouble and each.version for each in self._all()))

    @property
    def name(self) -> tuple[str, str] | None:
        """Return recipe and version of the model that inspected last, or before the first frame will; None: of none."""
        return next(((each.recipe, each.version) for each in reversed(self._all()) if each.version), None)

    def of(self, recipe: str | None) -> Model | NoModel:
        """Return the model of a recipe for the next batch; None: of the recipe for frames that name none."""
        name = recipe or self.usual.recipe
        with self._lock:
            production = self._held.get(name)
            is_new = production is None
            if production is None:
                production = self._held[name] = Production(self._store, name, self._load, self._clock)
            self._held.move_to_end(name)
        if is_new:
            loading = self._loads[name] = self._loading.submit(production.check)
            if wait([loading], LOAD_SECONDS).done:
                loading.result()
        elif production.is_due and name in self._loads and self._loads[name].done():
            self._loads[name] = self._loading.submit(production.check)
        model = production.model()
        before = self._in_use.get(name)
        if isinstance(model, Model) and model is not before:
            self._in_use[name] = model
            if before:
                self._retired.append(before)
            self._give_up()
        elif is_new:
            self._give_up()
        return model

    def take_retired(self) -> list[Model]:
        """Return the models that no later batch gets; the caller unloads each as soon as no batch uses it."""
        retired, self._retired = self._retired, []
        return retired

    def _give_up(self) -> None:
        """Give up the recipes that no frame named for the longest time, beyond those that are held."""
        with self._lock:
            others = [each for each in self._held.values() if each is not self.usual]
            loaded = [each for each in others if each.version]
            unknown = [each for each in others if not each.version]
            beyond = [*loaded[: max(0, len(loaded) + 1 - self._most)], *unknown[: max(0, len(unknown) - MOST_UNKNOWN)]]
            for production in beyond:
                del self._held[production.recipe], self._loads[production.recipe]
        for production in beyond:
            if model := self._in_use.pop(production.recipe, None):
                metrics.MODEL.remove(model.recipe.name, model.version)
                _log.info("model given up for those of other recipes", recipe=model.recipe.name, version=model.version)
                self._retired.append(model)

    def follow(self, promotions: Subscription, every_seconds: float, stop: threading.Event, health: Health) -> None:
        """Check the pointers at the start, at each promotion, and every few seconds: a broadcast may be lost."""
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
            self.check(health)
            next_check = time.monotonic() + every_seconds

    def check(self, health: Health | None = None) -> None:
        """Load the models in production that changed."""
        for production in self._all():
            if health:
                health.beat()
            production.check()

    def _all(self) -> list[Production]:
        with self._lock:
            return list(self._held.values())
