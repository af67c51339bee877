"""The maps of a network that measures how far each place of an image is from anything good."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np

from shared.contracts.bundle import DISTANCES, BundleError
from shared.engines.port import Images
from shared.explain.network import Look, by_tensorflow
from shared.explain.targets import Maps


def measures_distances(network: keras.Model) -> bool:
    """Return whether a network has a layer of distances, which is its own explanation."""
    return any(layer.name == DISTANCES for layer in network.layers)


class DistanceProbe:
    """Answer questions with the distances that the score was made of; see `shared.explain.targets.Probe`."""

    def __init__(
        self, network: keras.Model, layers: Sequence[str], see: Callable[[keras.Model], Look] = by_tensorflow
    ) -> None:
        """Cut a network behind its distances.

        Args:
            network: from images to logits.
            layers: the name of the layer of distances, (images, height, width, 1), 0 or more.
            see: compiles the part of the network up to there.

        Raises:
            BundleError: there is no such layer, or it has no map.
        """
        try:
            (layer,) = layers
            output = network.get_layer(layer).output
        except ValueError as error:
            raise BundleError(f"network {network.name} has no layer {', '.join(layers)}: train it again") from error
        if len(output.shape) != 4 or output.shape[-1] != 1:
            raise BundleError(f"layer {layer} gives {output.shape}, which is no map of distances: train it again")
        self._look = see(keras.Model(network.input, output))

    def maps(self, images: Images, asked: Sequence[tuple[int, int, bool]]) -> Maps:
        """See `shared.explain.targets.Probe`. Nothing in an image speaks against its distance: such maps are empty."""
        if not asked:
            return np.zeros((0, 1, 1), np.float32)
        found = np.asarray(self._look(images), np.float32)[..., 0]
        towards = np.array([towards for _, _, towards in asked], np.float32)
        return found[[image for image, _, _ in asked]] * towards[:, np.newaxis, np.newaxis]
