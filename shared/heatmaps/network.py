"""A network in two halves: what it sees, and what it makes of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import keras

from shared.vision.bundle import KERAS, Bundle, BundleError


def read_network(bundle: Bundle) -> keras.Model:
    """The Keras network of a bundle. Nothing in it is run while it is loaded.

    Raises:
        BundleError: it is missing or changed, or no network of Keras's.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, KERAS)
        path.write_bytes(bundle.file(KERAS))
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except (ValueError, TypeError, KeyError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise BundleError(f"model {bundle.version}: Keras can't load {KERAS}: {reason}") from error


def cut(network: keras.Model, layer: str) -> tuple[keras.Model, keras.Model]:
    """Cut a network behind a layer, wherever it is nested.

    Args:
        network: from pictures to logits.
        layer: the name of a layer that gives maps, and that everything passes through.

    Returns:
        The network from pictures to features, (pictures, height, width, channels), and the head from features to
        logits. They share the layers of ``network``.

    Raises:
        BundleError: there is no such layer, it gives no maps, or something passes by it.
    """
    within = next((one for one in network.layers if one.name == layer or _holds(one, layer)), None)
    if within is None:
        raise BundleError(f"network {network.name} has no layer {layer}: the manifest names its target layer wrongly")
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

    pictures = keras.Input(network.input_shape[1:])
    if isinstance(network, keras.Sequential):
        logits = pictures
        for layer in network.layers:
            logits = call(layer, logits)
    else:
        logits = keras.models.clone_model(
            network, input_tensors=pictures, clone_function=lambda layer: layer, call_function=call
        ).output
    # a model of nothing at all is refused by Keras
    nothing = keras.layers.Identity
    return keras.Model(pictures, nothing()(ends[0])), keras.Model(ends[1], nothing()(logits))
