"""Put a kernel machine between the features of a network and its last layer, in layers of Keras.

Its outputs are likenesses: how near the features of an image are to each of some landmarks, by a Gaussian kernel. A
linear layer on them is a kernel machine with these landmarks (Williams and Seeger 2001), which tells what no linear
layer on the features tells: a value in the middle from both extremes, or two features that mean a fault together.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray


@dataclass(frozen=True)
class Kernel:
    """Landmarks, and the space in which features are compared with them: a likeness is exp(-distance²)."""

    projection: NDArray[np.float32]
    """(features, directions), from features to the space, with ``bias``."""
    bias: NDArray[np.float32]
    """(directions,)"""
    landmarks: NDArray[np.float32]
    """(landmarks, directions)"""

    def likenesses(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the likenesses, (…, images, landmarks), 0 to 1, of features (…, images, features)."""
        places = features @ self.projection + self.bias
        squared = np.square(places).sum(axis=-1, keepdims=True) - 2 * places @ self.landmarks.T
        return np.asarray(np.exp(-np.maximum(squared + np.square(self.landmarks).sum(axis=1), 0)), np.float32)


def with_kernel(network: keras.Model, kernel: Kernel) -> keras.Model:
    """Return a network with the same features whose last layer, of random weights, sees their likenesses."""
    count, directions = kernel.landmarks.shape
    last = network.layers[-1]
    places = layers.Dense(directions, name="kernel_projection")(last.input)
    square = layers.Dense(1, use_bias=False, name="kernel_square")(layers.Multiply()([places, places]))
    squared = layers.Dense(count, name="kernel_landmarks")(layers.Concatenate()([places, square]))
    likenesses = layers.Activation("exponential")(layers.Rescaling(-1.0)(layers.ReLU()(squared)))
    logits = layers.Dense(last.units, name=last.name)(likenesses)
    changed = keras.Model(network.input, logits, name=network.name)
    changed.get_layer("kernel_projection").set_weights([kernel.projection, kernel.bias])
    changed.get_layer("kernel_square").set_weights([np.ones((directions, 1), np.float32)])
    weights = np.vstack([-2 * kernel.landmarks.T, np.ones((1, count), np.float32)])
    changed.get_layer("kernel_landmarks").set_weights([weights, np.square(kernel.landmarks).sum(axis=1)])
    return changed
