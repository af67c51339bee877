"""How features and their gradients become a map: Grad-CAM, Grad-CAM++ and LayerCAM.

All three start from the gradient of a logit, not of a score: behind a sigmoid or a softmax it vanishes where a
network is sure. They take (questions, height, width, channels) of features and of the gradients of the questions'
answers by these, and give (questions, height, width), 0 or more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import tensorflow as tf

from shared.recipe import ExplanationMethod

Method = Callable[[Any, Any], Any]
"""(features, gradients) to maps; tensors."""


def grad_cam(features: Any, gradients: Any) -> Any:
    """Each channel counts as much as it moves the logit on average.

    Selvaraju et al. 2017, doi 10.1109/ICCV.2017.74, equations 1 and 2.
    """
    weights = tf.reduce_mean(gradients, axis=(1, 2))
    return tf.nn.relu(tf.einsum("qhwc,qc->qhw", features, weights))


def grad_cam_plus_plus(features: Any, gradients: Any) -> Any:
    """Each place of a channel that speaks for the logit counts alike: a small thing as much as a large one.

    Chattopadhay et al. 2018, doi 10.1109/WACV.2018.00097: their weights for the exponential of the logit, whose
    derivatives are powers g, g², g³ of the logit's own, times the exponential. With g² taken out of the fraction
    their alpha is 1 / (2 + sum(A) g). The exponential scales a map as a whole, would overflow, and is left out. A
    channel whose features sum to less than 0, which the paper's never do, counts as one without any.
    """
    summed = tf.nn.relu(tf.reduce_sum(features, axis=(1, 2), keepdims=True))
    positive = tf.nn.relu(gradients)
    weights = tf.reduce_sum(positive / (2 + summed * positive), axis=(1, 2))
    return tf.nn.relu(tf.einsum("qhwc,qc->qhw", features, weights))


def layer_cam(features: Any, gradients: Any) -> Any:
    """Each place counts by its own gradient, so that early layers, which are finer, give maps too.

    Jiang et al. 2021, doi 10.1109/TIP.2021.3089943, equations 6 and 7.
    """
    return tf.nn.relu(tf.reduce_sum(features * tf.nn.relu(gradients), axis=-1))


METHODS: Final[dict[ExplanationMethod, Method]] = {
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_plus_plus,
    "layer-cam": layer_cam,
}
