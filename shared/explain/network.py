"""Read a network and cut it in two halves: from images to features, and from features to logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    """Load the Keras network of a bundle without running its code.

    Raises:
        BundleError: it is missing or changed, or is not a network of Keras.
    """
    try:
        return load_network(bundle.file(KERAS))
    except EngineError as error:
        raise BundleError(f"model {bundle.version} can't be used: {error}") from error


def target_layer_of(network: keras.Model, recipe: Recipe) -> str:
    """Return the layer for heatmaps: the one of the recipe, or the last one with features.

    Raises:
        BundleError: the network has no such layer or no convolution at all, or can't be cut there.
    """
    if recipe.explanation.layer:
        cut(network, recipe.explanation.layer)
        return recipe.explanation.layer
    candidates = list(layers_with_maps(network))
    if not candidates:
        raise BundleError(f"network {network.name} has no convolution: no heatmap can be computed")
    for layer in reversed(candidates):
        with suppress(BundleError):
            cut(network, layer.name)
            return str(layer.name)
    raise BundleError(
        f"network {network.name} can't be cut behind any of its features: name a layer in the recipe's explanation"
    )


def layers_with_maps(network: keras.Model) -> Iterator[keras.Layer]:
    """Yield the layers with maps from the first convolution on, without pooling layers, whose maps are coarser."""
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
    """Return the output shape of a layer with one output; an empty shape for others."""
    try:
        return tuple(layer.output.shape)
    except (AttributeError, ValueError):
        return ()


def cut(network: keras.Model, layer: str) -> tuple[keras.Model, keras.Model]:
    """Cut a network behind a layer, wherever it is nested.

    Args:
        network: from images to logits.
        layer: the name of a layer with maps; no other path may lead around it.

    Returns:
        The network from images to features, (images, height, width, channels), and the head from features to
        logits. They share the layers of ``network``.

    Raises:
        BundleError: there is no such layer, it has no maps, or another path leads around it.
    """
    within = next((one for one in network.layers if one.name == layer or _holds(one, layer)), None)
    if within is None:
        raise BundleError(
            f"network {network.name} has no layer {layer}: name another in the recipe's explanation, or none"
        )
    if _leads_around(network, within):
        raise BundleError(f"network {network.name} can't be cut at layer {layer}: another path leads around it")
    try:
        before, after = _around(network, within)
        first, second = (within, keras.layers.Identity()) if within.name == layer else cut(within, layer)
        features = keras.Model(before.input, first(before.output))
        seen = keras.Input(features.output_shape[1:])
        head = keras.Model(seen, after(second(seen)))
    except BundleError:
        raise
    except ValueError as error:
        raise BundleError(
            f"network {network.name} can't be cut at layer {layer}: another path leads around it"
        ) from error
    if len(features.output_shape) != 4:
        raise BundleError(f"layer {layer} gives {features.output_shape}: a heatmap needs features of a convolution")
    return features, head


def cut_at(network: keras.Model, layers: Sequence[str]) -> tuple[keras.Model, Callable[[Any], list[Any]]]:
    """Cut a network behind the first of several layers.

    Args:
        network: from images to logits.
        layers: names of layers with maps, the earliest first; several must not be nested.

    Returns:
        The network from images to the features of the first layer, and the rest, which makes of these the features of
        the other layers, and the logits. They share the layers of ``network``.

    Raises:
        BundleError: as `cut`.
    """
    first, *others = layers
    half, head = cut(network, first)
    if not others:
        return half, lambda features: [head(features, training=False)]
    try:
        outputs = [network.get_layer(layer).output for layer in others]
        rest = keras.Model(network.get_layer(first).output, [*outputs, network.output])
    except ValueError as error:
        raise BundleError(
            f"network {network.name} can't be cut at layers {', '.join(layers)}: one of them is missing, is nested, or "
            "comes before the first"
        ) from error
    return half, lambda features: list(rest(features, training=False))


def shuffled(network: keras.Model, seed: int = 0) -> keras.Model:
    """Return the same network with shuffled weights, so that nothing of its training is left."""
    rng = np.random.default_rng(seed)
    other = keras.models.clone_model(network)
    other.set_weights([rng.permutation(weight.ravel()).reshape(weight.shape) for weight in network.get_weights()])
    return other


def _holds(layer: keras.Layer, name: str) -> bool:
    return isinstance(layer, keras.Model) and any(one.name == name or _holds(one, name) for one in layer.layers)


def _leads_around(network: keras.Model, within: keras.Layer) -> bool:
    """Return whether a path from the images to the logits is seen to pass beside a layer.

    This takes a moment, where cutting a network takes a second. Of layers that are used several times nothing is seen.
    """
    try:
        sources = {id(tensor): each for each in network.operations for tensor in keras.tree.flatten(each.output)}
        waiting, passed = keras.tree.flatten(network.output), {within}
        while waiting:
            operation = sources[id(waiting.pop())]
            if isinstance(operation, keras.layers.InputLayer):
                return True
            if operation not in passed:
                passed.add(operation)
                waiting += keras.tree.flatten(operation.input)
    except (KeyError, AttributeError, ValueError):
        pass
    return False


def _around(network: keras.Model, within: keras.Layer) -> tuple[keras.Model, keras.Model]:
    """Return the parts of a network before and after one of its layers."""
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
    # Keras refuses models without layers
    nothing = keras.layers.Identity
    return keras.Model(images, nothing()(ends[0])), keras.Model(ends[1], nothing()(logits))


Look = Callable[[Images], Any]
"""Return the features of a batch: (images, height, width, channels), as a tensor or an array."""
TOLERANCE: Final = 1e-4
"""Largest accepted error of the compiled half, as a share of the largest feature."""

_log = structlog.stdlib.get_logger("features")


def by_tensorflow(half: keras.Model) -> Look:
    """Return a function that computes features with TensorFlow."""
    signature = [tf.TensorSpec((None, *half.input_shape[1:]), tf.float32)]
    look: Look = tf.function(lambda images: half(images, training=False), input_signature=signature)
    return look


def by_openvino(half: keras.Model, threads: int = 0) -> Look:
    """Return a function that computes features with OpenVINO, which is faster, above all for deep networks.

    If the half can't be compiled, or gives other features, TensorFlow is used.

    Args:
        half: from images to features.
        threads: at most; 0 for one on each physical core.
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
    except (RuntimeError, ValueError, TypeError, OSError) as error:  # OSError: the disk is full
        reason = next(reversed(str(error).strip().splitlines()), type(error).__name__)
    if reason:
        _log.warning("computing features with TensorFlow", reason=reason)
        return reference
    return look
