"""Find the model that inspected a frame: a frame is explained with that model, not with the one in production."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from shared.contracts.bundle import Bundle, HeatmapSpec, read_bundle
from shared.explain.targets import Probe
from shared.imaging.references import References
from shared.recipe import Recipe
from shared.storage.port import ObjectStore


@dataclass(frozen=True)
class Model:
    """A network, the recipe that gives its outputs their meaning, and how its heatmaps are made."""

    version: str
    recipe: Recipe
    heatmaps: HeatmapSpec
    probe: Probe
    references: References | None = None
    """The reference images of the recipe, if it has any."""


class Models:
    """Cache the model versions that were used last, and read others from object storage."""

    def __init__(self, store: ObjectStore, most: int, load: Callable[[Bundle], Model]) -> None:
        self._store = store
        self._most = most
        self._load = load
        self._loaded: OrderedDict[tuple[str, str], Model] = OrderedDict()

    @property
    def last(self) -> tuple[str, str] | None:
        """Return recipe and version of the model that was used last."""
        return next(reversed(self._loaded)) if self._loaded else None

    def get(self, recipe: str, version: str) -> Model:
        """Return a model version.

        Raises:
            BundleError: the bundle can't be used.
            StorageError: object storage failed; `ObjectNotFound` when there is no such version.
        """
        key = (recipe, version)
        if key not in self._loaded:
            self._loaded[key] = self._load(read_bundle(self._store, recipe, version))
            while len(self._loaded) > self._most:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(key)
        return self._loaded[key]
