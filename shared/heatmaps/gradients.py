"""Questions answered by the gradients of a network's logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from shared.heatmaps.features import Look, by_tensorflow
from shared.heatmaps.methods import METHODS
from shared.heatmaps.network import cut, shuffled
from shared.heatmaps.probe import Maps
from shared.heatmaps.scoring import Subject
from shared.recipe import ExplanationMethod, Recipe
from shared.vision.engine import Pictures


def subject_of(network: keras.Model, recipe: Recipe, layer: str) -> Subject:
    """A network whose heatmaps are to be measured.

    Raises:
        BundleError: the network can't be cut at that layer.
    """
    method = recipe.explanation.method
    signature = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
    run = tf.function(lambda pictures: network(pictures, training=False), input_signature=[signature])
    return Subject(
        recipe=recipe,
        layer=layer,
        probe=GradientProbe(network, layer, method),
        shuffled=GradientProbe(shuffled(network), layer, method),
        logits=lambda pictures: np.asarray(run(pictures), np.float32),
    )


class GradientProbe:
    """Asks a network by the gradients of its logits; see `shared.heatmaps.probe.Probe`.

    The pictures of a batch go through the network once; only its head, from the features on, is run and differentiated
    for the questions, all of them together.
    """

    def __init__(
        self,
        network: keras.Model,
        target_layer: str,
        method: ExplanationMethod = "grad-cam",
        see: Callable[[keras.Model], Look] = by_tensorflow,
    ) -> None:
        """Prepare a network to be asked about the features of a layer.

        Args:
            network: from pictures to logits.
            target_layer: where it is cut.
            method: how features and their gradients become a map.
            see: what runs the half before the cut.

        Raises:
            BundleError: the network can't be cut at that layer.
        """
        half, self._head = cut(network, target_layer)
        self._look = see(half)
        self._method = METHODS[method]
        self._labels = network.output_shape[-1]
        features = tf.TensorSpec((None, *half.output_shape[1:]), tf.float32)
        questions = (tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, self._labels), tf.float32))
        self._run = tf.function(self._maps, input_signature=[features, *questions])

    def maps(self, pictures: Pictures, asked: Sequence[tuple[int, int, bool]]) -> Maps:
        """Answer questions about a batch; see the port."""
        picture_of = np.array([picture for picture, _, _ in asked], np.int32)
        directions = np.zeros((len(asked), self._labels), np.float32)
        for question, (_, output, towards) in enumerate(asked):
            directions[question, output] = 1 if towards else -1
        return np.asarray(self._run(self._look(pictures), picture_of, directions), np.float32)

    def _maps(self, features: Any, picture_of: Any, directions: Any) -> Any:
        features = tf.gather(features, picture_of)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(features)
            answers = tf.reduce_sum(self._head(features, training=False) * directions)
        return self._method(features, tape.gradient(answers, features))
