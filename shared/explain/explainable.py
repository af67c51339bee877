"""Check whether heatmaps can be computed for a model, without loading its network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from shared.contracts.bundle import KERAS, Bundle, BundleError
from shared.engines.network_file import ForeignNetwork, description_of

MAPS: Final = ("images", "height", "width", "channels")
FLAT: Final = frozenset({"Dense", "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D"})
"""Layers without maps; needed where a description has no shapes."""
TENSOR: Final = "__keras_tensor__"


def refuse_unexplainable(bundle: Bundle) -> None:
    """Refuse a model for which no heatmap can be computed.

    Raises:
        BundleError: its network is missing, or has no convolution, or lacks the layer for heatmaps, or this layer has
            no maps.
    """
    try:
        description = description_of(bundle.file(KERAS))
        layers, tensors = {layer: kind for kind, layer in _layers(description)}, list(_tensors(description))
    except (ForeignNetwork, LookupError, TypeError) as error:
        raise BundleError(f"model {bundle.version} can't be used: {KERAS} {error}") from error
    name = bundle.version
    if not any("Conv" in kind for kind in layers.values()):
        raise BundleError(f"model {name} has no convolution: no heatmap can be computed")
    for target in bundle.manifest.heatmaps.layers:
        if target not in layers:
            raise BundleError(f"model {name} has no layer {target!r}, which its heatmaps need: train it again")
        shapes = [shape for layer, shape in tensors if layer == target]
        if layers[target] in FLAT or any(len(shape) != len(MAPS) for shape in shapes):
            raise BundleError(
                f"model {name}: layer {target!r}, a {layers[target]}, has no maps for heatmaps: name one before "
                "it in the recipe's explanation, or none, and train it again"
            )


def _layers(description_of: Any) -> Iterator[tuple[str, str]]:
    """Yield class and name of each layer, including nested ones."""
    config = description_of.get("config") if isinstance(description_of, dict) else None
    if not isinstance(config, dict):
        return
    yield str(description_of.get("class_name")), str(config.get("name"))
    for layer in config.get("layers", ()):
        yield from _layers(layer)


def _tensors(description_of: Any) -> Iterator[tuple[str, list[int | None]]]:
    """Yield the source layer and the shape of each tensor in a description."""
    if isinstance(description_of, list):
        for entry in description_of:
            yield from _tensors(entry)
    elif isinstance(description_of, dict):
        config = description_of.get("config")
        if description_of.get("class_name") == TENSOR and isinstance(config, dict):
            yield str(config["keras_history"][0]), config["shape"]
        else:
            yield from _tensors(list(description_of.values()))
