"""The models that judged: each frame is explained with the one that judged it, not with the one of today."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from shared.contracts.bundle import Bundle, read_bundle
from shared.explain.port import Probe
from shared.recipe import Recipe
from shared.storage.port import ObjectStore


@dataclass(frozen=True)
class Model:
    """A network to ask, and the recipe that says what its answers mean."""

    version: str
    recipe: Recipe
    probe: Probe


class Models:
    """The model versions that were used last; others are read again when they are asked for."""

    def __init__(self, store: ObjectStore, most: int, load: Callable[[Bundle], Model]) -> None:
        self._store = store
        self._most = most
        self._load = load
        self._loaded: OrderedDict[tuple[str, str], Model] = OrderedDict()

    @property
    def last(self) -> str | None:
        """The version used last."""
        return next(reversed(self._loaded.values())).version if self._loaded else None

    def get(self, recipe: str, version: str) -> Model:
        """A model version.

        Raises:
            BundleError: it can't be used.
            StorageError: of the storage itself; `ObjectNotFound` when there is no such version.
        """
        key = (recipe, version)
        if key not in self._loaded:
            self._loaded[key] = self._load(read_bundle(self._store, recipe, version))
            while len(self._loaded) > self._most:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(key)
        return self._loaded[key]
