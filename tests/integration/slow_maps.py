"""Maps the slow way: a gradient tape through the whole network, one image and one label at a time."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shared.explain.cam import Method


def replayed(network: keras.Model, layer: str, image: Any) -> tuple[Any, Any]:
    """Logits and features of one image, by running the layers with the target's output noted on its way."""
    noted: list[Any] = []
    target = next(found for found in network._flatten_layers() if found.name == layer)
    original = target.call

    def call(*args: Any, **kwargs: Any) -> Any:
        noted.append(original(*args, **kwargs))
        return noted[-1]

    target.call = call
    try:
        return network(image, training=False), noted[-1]
    finally:
        target.call = original


def slowly(
    network: keras.Model, layer: str, images: NDArray[np.float32], label: int, *, for_label: bool, method: Method
) -> NDArray[np.float32]:
    """(images, height, width) of the features."""
    maps = []
    for image in images:
        with tf.GradientTape() as tape:
            logits, features = replayed(network, layer, image[np.newaxis])
            answer = logits[0, label] * (1 if for_label else -1)
        maps.append(method(features, tape.gradient(answer, features)).numpy()[0])
    return np.stack(maps)
