"""Read a network and cut it in two halves: from images to features, and from features to logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import keras
import numpy as np
import structlog
import tensorflow as tf

from shared.contracts.bundle import KERAS, Bundle, BundleError
from shared.engines.compile import compile_for_openvino
from shared.engines.keras import load_network
from shared.engines.openvino import OpenVinoEngine
from shared.engines.port import EngineError, Images
from shared.recipe import Recipe

CONVOLUTIONS: Final = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)


def read_network(bundle: Bundle) -> keras.Model:
    """The Keras network of a bundle. Nothing in it is run while it is loaded.

    Raises:
        BundleError: it is missing or changed, or no network of Keras's.
    """
    try:
        return load_network(bundle.file(KERAS))
    except EngineError as error:
        raise BundleError(f"model {bundle.version}: {error}") from error


def target_layer_of(network: keras.Model, recipe: Recipe) -> str:
    """The layer whose features heatmaps are made of: the one that the recipe names, or the network's last features.

    Raises:
        BundleError: the network has no such layer or no convolution at all, or can't be cut there.
    """
    if recipe.explanation.layer:
        cut(network, recipe.explanation.layer)
        return recipe.explanation.layer
    candidates = list(_features(network))
    if not candidates:
        raise BundleError(f"network {network.name} has no convolution: no heatmap can be made of what it sees")
    for layer in reversed(candidates):
        with suppress(BundleError):
            cut(network, layer.name)
            return str(layer.name)
    raise BundleError(
        f"network {network.name} can't be cut behind any of its features: name a layer in the recipe's explanation"
    )


def _features(network: keras.Model) -> Iterator[keras.Layer]:
    """The layers that give maps, from the first convolution on, in their order; a pooled map is a coarser one."""
    seen = False
    for layer in _leaves(network):
        seen = seen or isinstance(layer, CONVOLUTIONS)
        if seen and "Pooling" not in type(layer).__name__ and len(_output_shape(layer)) == 4:
            yield layer


def _leaves(network: keras.Model) -> Iterator[keras.Layer]:
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer


def _output_shape(layer: keras.Layer) -> tuple[int | None, ...]:
    """Of a layer that gives one tensor in one place; nothing otherwise."""
    try:
        return tuple(layer.output.shape)
    except (AttributeError, ValueError):
        return ()


def cut(network: keras.Model, layer: str) -> tuple[keras.Model, keras.Model]:
    """Cut a network behind a layer, wherever it is nested.

    Args:
        network: from images to logits.
        layer: the name of a layer that gives maps, and that everything passes through.

    Returns:
        The network from images to features, (images, height, width, channels), and the head from features to
        logits. They share the layers of ``network``.

    Raises:
        BundleError: there is no such layer, it gives no maps, or something passes by it.
    """
    within = next((one for one in network.layers if one.name == layer or _holds(one, layer)), None)
    if within is None:
        raise BundleError(
            f"network {network.name} has no layer {layer}: name another in the recipe's explanation, or none"
        )
    try:
        before, after = _around(network, within)
        first, second = (within, keras.layers.Identity()) if within.name == layer else cut(within, layer)
        features = keras.Model(before.input, first(before.output))
        seen = keras.Input(features.output_shape[1:])
        head = keras.Model(seen, after(second(seen)))
    except BundleError:
        raise
    except ValueError as error:
        raise BundleError(f"network {network.name} can't be cut at layer {layer}: something passes by it") from error
    if len(features.output_shape) != 4:
        raise BundleError(f"layer {layer} gives {features.output_shape}: a heatmap needs features of a convolution")
    return features, head


def shuffled(network: keras.Model, seed: int = 0) -> keras.Model:
    """The same network, the numbers of each of its weights in another order: it has learned nothing any more."""
    rng = np.random.default_rng(seed)
    other = keras.models.clone_model(network)
    other.set_weights([rng.permutation(weight.ravel()).reshape(weight.shape) for weight in network.get_weights()])
    return other


def _holds(layer: keras.Layer, name: str) -> bool:
    return isinstance(layer, keras.Model) and any(one.name == name or _holds(one, name) for one in layer.layers)


def _around(network: keras.Model, within: keras.Layer) -> tuple[keras.Model, keras.Model]:
    """What comes before one of the layers of a network, and what comes after it."""
    ends: list[Any] = []

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        outputs = layer(*args, **kwargs)
        if layer is within:
            ends.extend([args[0], outputs])
        return outputs

    images = keras.Input(network.input_shape[1:])
    if isinstance(network, keras.Sequential):
        logits = images
        for layer in network.layers:
            logits = call(layer, logits)
    else:
        logits = keras.models.clone_model(
            network, input_tensors=images, clone_function=lambda layer: layer, call_function=call
        ).output
    # a model of nothing at all is refused by Keras
    nothing = keras.layers.Identity
    return keras.Model(images, nothing()(ends[0])), keras.Model(ends[1], nothing()(logits))


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
