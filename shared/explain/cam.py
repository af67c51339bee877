"""Class activation maps: Grad-CAM, Grad-CAM++ and LayerCAM, from the gradients of a network's logits.

All three start from the gradient of a logit, because the gradient of a score, after a sigmoid or a softmax, is almost
0 where the network is sure. Each takes two tensors of shape (questions, height, width, channels), the features and the
gradients of each question's logit with respect to them, and returns maps (questions, height, width), all 0 or more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from shared.engines.port import Images
from shared.explain.network import Look, by_tensorflow, cut_at
from shared.explain.targets import Maps
from shared.recipe import ExplanationMethod

Method = Callable[[Any, Any], Any]
"""Computes maps from features and gradients; all three are tensors."""


def grad_cam(features: Any, gradients: Any) -> Any:
    """Weight each channel by its mean gradient.

    Selvaraju et al. 2017, doi 10.1109/ICCV.2017.74, equations 1 and 2.
    """
    weights = tf.reduce_mean(gradients, axis=(1, 2))
    return tf.nn.relu(tf.einsum("qhwc,qc->qhw", features, weights))


def grad_cam_plus_plus(features: Any, gradients: Any) -> Any:
    """Weight each channel so that small and large regions count equally.

    Chattopadhay et al. 2018, doi 10.1109/WACV.2018.00097. The paper differentiates exp(logit), whose first three
    derivatives are exp(logit) times g, g² and g³, where g is the gradient of the logit. Dividing the numerator and
    the denominator of the paper's alpha by g² gives 1 / (2 + sum(A) g). The factor exp(logit) scales the whole map
    and could overflow, so it is left out. A sum of features below 0, which the paper's features exclude, is set to 0.
    """
    summed = tf.nn.relu(tf.reduce_sum(features, axis=(1, 2), keepdims=True))
    positive = tf.nn.relu(gradients)
    weights = tf.reduce_sum(positive / (2 + summed * positive), axis=(1, 2))
    return tf.nn.relu(tf.einsum("qhwc,qc->qhw", features, weights))


def layer_cam(features: Any, gradients: Any) -> Any:
    """Weight each pixel by its own gradient, so that early layers, whose resolution is higher, also give usable maps.

    Jiang et al. 2021, doi 10.1109/TIP.2021.3089943, equations 6 and 7.
    """
    return tf.nn.relu(tf.reduce_sum(features * tf.nn.relu(gradients), axis=-1))


def fuse_maps(maps: Sequence[Any]) -> Any:
    """Add the maps of several layers, each divided by its peak, at the finest resolution (after Jiang et al. 2021)."""
    if len(maps) == 1:
        return maps[0]
    height, width = max((each.shape[1], each.shape[2]) for each in maps)
    resized = []
    for each in maps:
        peaks = tf.reduce_max(each, axis=(1, 2), keepdims=True)
        resized.append(tf.image.resize(tf.math.divide_no_nan(each, peaks)[..., tf.newaxis], (height, width))[..., 0])
    return tf.add_n(resized)


METHODS: Final[dict[ExplanationMethod, Method]] = {
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_plus_plus,
    "layer-cam": layer_cam,
}


class GradientProbe:
    """Answer questions by the gradients of the logits; see `shared.explain.targets.Probe`.

    The images of a batch go through the network once. Only its head, from the features on, is differentiated: once
    for the first question about each image, once for the second one, and so on, for all images together.
    """

    def __init__(
        self,
        network: keras.Model,
        layers: Sequence[str],
        method: ExplanationMethod = "grad-cam",
        see: Callable[[keras.Model], Look] = by_tensorflow,
    ) -> None:
        """Cut a network at the layers whose features the maps are computed from.

        Args:
            network: from images to logits.
            layers: names of these layers, the earliest first.
            method: name of the method that computes a map from features and gradients.
            see: compiles the part of the network before the first of them.

        Raises:
            BundleError: the network can't be cut there.
        """
        half, self._rest = cut_at(network, layers)
        self._look = see(half)
        self._method = METHODS[method]
        self._labels = network.output_shape[-1]
        self._features = tf.TensorSpec((None, *half.output_shape[1:]), tf.float32)
        self._runs: dict[int, Any] = {}

    def maps(self, images: Images, asked: Sequence[tuple[int, int, bool]]) -> Maps:
        """See `shared.explain.targets.Probe`."""
        features = self._look(images)
        if not asked:
            return np.zeros((0, *features.shape[1:3]), np.float32)
        asked_before: Counter[int] = Counter()
        places = []
        for image, _, _ in asked:
            places.append((asked_before[image], image))
            asked_before[image] += 1
        directions = np.zeros((max(asked_before.values()), len(images), self._labels), np.float32)
        for place, (_, output, for_label) in zip(places, asked, strict=True):
            directions[(*place, output)] = 1 if for_label else -1
        maps = np.asarray(self._run(len(directions))(features, directions), np.float32)
        return maps[tuple(zip(*places, strict=True))]

    def _run(self, questions: int) -> Any:
        """Return the graph for a number of questions per image; graphs are cached, because they are slow to build."""
        if questions not in self._runs:
            directions = tf.TensorSpec((questions, None, self._labels), tf.float32)
            self._runs[questions] = tf.function(self._maps, input_signature=[self._features, directions])
        return self._runs[questions]

    def _maps(self, features: Any, directions: Any) -> Any:
        """Return (questions, images, height, width); the head runs once, and is differentiated for each question.

        No image has an influence on the logits of another one, so that the gradient of the sum of one logit of each
        image contains the gradient of each.
        """
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(features)
            *later, logits = self._rest(features)
            answers = tf.unstack(tf.reduce_sum(directions * logits, axis=(1, 2)))
        at_layers = [features, *later]
        of_answers = [zip(at_layers, tape.gradient(answer, at_layers), strict=True) for answer in answers]
        return tf.stack([fuse_maps([self._method(*pair) for pair in of_layers]) for of_layers in of_answers])
