"""The half of a network that sees: from images to the features that maps are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import keras
import numpy as np
import structlog
import tensorflow as tf

from shared.engines.compile import compile_for_openvino
from shared.engines.openvino import OpenVinoEngine
from shared.engines.port import Images

Look = Callable[[Images], Any]
"""(images, height, width, channels) of a batch; a tensor or an array."""
TOLERANCE: Final = 1e-4
"""Of the largest feature: so far a compiled half may be off."""

_log = structlog.stdlib.get_logger("features")


def by_tensorflow(half: keras.Model) -> Look:
    """The features as Keras computes them."""
    signature = [tf.TensorSpec((None, *half.input_shape[1:]), tf.float32)]
    look: Look = tf.function(lambda images: half(images, training=False), input_signature=signature)
    return look


def by_openvino(half: keras.Model, threads: int = 0) -> Look:
    """The same, on the engine that judges on the line: it needs less time, above all for deep networks.

    A half that it can't compile, or that comes out as another one, is left to TensorFlow.

    Args:
        half: from images to features.
        threads: at most so many; 0 for one on each physical core.
    """
    reference = by_tensorflow(half)
    try:
        variant = compile_for_openvino(half, "features")
        look = OpenVinoEngine(variant.xml, variant.weights, threads).answer
        # what is wrong with a compiled half; nothing where it sees the same in noise
        noise = np.random.default_rng(0).normal(size=(2, *half.input_shape[1:])).astype(np.float32)
        expected, found = np.asarray(reference(noise)), look(noise)
        off, largest = float(np.abs(found - expected).max()), float(np.abs(expected).max())
        reason = "" if off <= TOLERANCE * max(1.0, largest) else f"OpenVINO's are off by {off:.2g}, of {largest:.2g}"
    except (RuntimeError, ValueError, TypeError, OSError) as error:  # the last: no room to write the variant
        reason = next(reversed(str(error).strip().splitlines()), type(error).__name__)
    if reason:
        _log.warning("features are left to TensorFlow", reason=reason)
        return reference
    return look
