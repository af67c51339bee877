"""Grad-CAM: which places of the features speak for a label.

Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
doi 10.1109/ICCV.2017.74. On the logit, as in the paper: behind a sigmoid or a softmax the gradient of a sure network
vanishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from shared.heatmaps.network import cut
from shared.heatmaps.probe import Maps
from shared.vision.engine import Pictures


class Method(Protocol):
    """How features and gradients become a map."""

    def __call__(self, features: Any, gradients: Any) -> Any:
        """Make maps.

        Args:
            features: tensor (questions, height, width, channels).
            gradients: tensor of the same shape: of the questions' logits by the features.

        Returns:
            Tensor (questions, height, width), 0 or more.
        """
        ...


def grad_cam(features: Any, gradients: Any) -> Any:
    """Each channel counts as much as it moves the logit on average (equations 1 and 2 of the paper)."""
    weights = tf.reduce_mean(gradients, axis=(1, 2))
    return tf.nn.relu(tf.einsum("qhwc,qc->qhw", features, weights))


class GradientProbe:
    """Asks a network by the gradients of its logits; see `shared.heatmaps.probe.Probe`.

    The pictures of a batch go through the network once; only its head, from the features on, is run and differentiated
    for the questions, all of them together.
    """

    def __init__(self, network: keras.Model, target_layer: str, method: Method = grad_cam) -> None:
        """Prepare a network, from pictures to logits, to be asked about the features of a layer.

        Raises:
            BundleError: the network can't be cut at that layer.
        """
        self._features, self._head = cut(network, target_layer)
        self._method = method
        self._labels = network.output_shape[-1]
        pictures = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
        questions = (tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, self._labels), tf.float32))
        self._run = tf.function(self._maps, input_signature=[pictures, *questions])

    def maps(self, pictures: Pictures, asked: Sequence[tuple[int, int, bool]]) -> Maps:
        """Answer questions about a batch; see the port."""
        picture_of = np.array([picture for picture, _, _ in asked], np.int32)
        directions = np.zeros((len(asked), self._labels), np.float32)
        for question, (_, output, towards) in enumerate(asked):
            directions[question, output] = 1 if towards else -1
        return np.asarray(self._run(pictures, picture_of, directions), np.float32)

    def _maps(self, pictures: Any, picture_of: Any, directions: Any) -> Any:
        features = tf.gather(self._features(pictures, training=False), picture_of)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(features)
            answers = tf.reduce_sum(self._head(features, training=False) * directions)
        return self._method(features, tape.gradient(answers, features))
