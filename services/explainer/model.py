"""The models that judged: each frame is explained with the one that judged it, not with the one of today."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import structlog

from services.explainer.gradcam import Explanation
from services.explainer.network import read_network
from shared.recipe import Recipe
from shared.storage.port import ObjectStore
from shared.vision.bundle import Bundle, BundleError, read_bundle

_log = structlog.stdlib.get_logger("model")


@dataclass(frozen=True)
class Model:
    """A network to ask, and the recipe that says what its answers mean."""

    version: str
    recipe: Recipe
    explanation: Explanation


def load_model(bundle: Bundle) -> Model:
    """Load a bundle.

    Raises:
        BundleError: its network can't be loaded, or has no features to look at.
    """
    network = read_network(bundle)
    picture, labels = bundle.recipe.picture, len(bundle.recipe.labels)
    expected = (picture.height, picture.width, 1 if picture.colour == "grey" else 3)
    if network.input_shape[1:] != expected or network.output_shape[1:] != (labels,):
        raise BundleError(
            f"model {bundle.version} makes {network.output_shape[1:]} of {network.input_shape[1:]}, "
            f"and its recipe asks for {(labels,)} of {expected}"
        )
    explanation = Explanation(network, bundle.manifest.target_layer)
    explanation.maps(np.zeros((1, *expected), np.float32), [(0, 0, True)])
    _log.info("explaining with model", version=bundle.version)
    return Model(bundle.version, bundle.recipe, explanation)


class Models:
    """The model versions that were used last; others are read again when they are asked for."""

    def __init__(self, store: ObjectStore, most: int, load: Callable[[Bundle], Model] = load_model) -> None:
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
