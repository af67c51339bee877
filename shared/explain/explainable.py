"""Whether a model can be explained at all, without running or even loading its network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from shared.contracts.bundle import KERAS, Bundle, BundleError
from shared.engines.network_file import ForeignNetwork, described

MAPS: Final = ("images", "height", "width", "channels")
FLAT: Final = frozenset({"Dense", "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D"})
"""Layers that keep no places apart. In a sequence of layers no shapes are written down."""
TENSOR: Final = "__keras_tensor__"


def refuse_unexplainable(bundle: Bundle) -> None:
    """Refuse a model that no heatmap could ever be made of, before it comes to a line.

    Raises:
        BundleError: it has no network to look into, or one without a convolution, or without the layer that its
            heatmaps are made of, or one where that layer gives no maps.
    """
    try:
        description = described(bundle.file(KERAS))
        layers, tensors = {layer: kind for kind, layer in _layers(description)}, list(_tensors(description))
    except (ForeignNetwork, LookupError, TypeError) as error:
        raise BundleError(f"model {bundle.version}: {KERAS} {error}") from error
    name, target = bundle.version, bundle.manifest.target_layer
    if not any("Conv" in kind for kind in layers.values()):
        raise BundleError(f"model {name} has no convolution: no heatmap can be made of what it sees")
    if target not in layers:
        raise BundleError(f"model {name} has no layer {target!r}, which its heatmaps would be made of: train it again")
    shapes = [shape for layer, shape in tensors if layer == target]
    if layers[target] in FLAT or any(len(shape) != len(MAPS) for shape in shapes):
        raise BundleError(
            f"model {name}: layer {target!r}, a {layers[target]}, gives no maps to make heatmaps of: name one before "
            "it in the recipe's explanation, or none, and train it again"
        )


def _layers(described: Any) -> Iterator[tuple[str, str]]:
    """Kind and name of each layer, nested ones included."""
    config = described.get("config") if isinstance(described, dict) else None
    if not isinstance(config, dict):
        return
    yield str(described.get("class_name")), str(config.get("name"))
    for layer in config.get("layers", ()):
        yield from _layers(layer)


def _tensors(described: Any) -> Iterator[tuple[str, list[int | None]]]:
    """From which layer what goes into another one comes, and its shape; wherever it is written in a description."""
    if isinstance(described, list):
        for entry in described:
            yield from _tensors(entry)
    elif isinstance(described, dict):
        config = described.get("config")
        if described.get("class_name") == TENSOR and isinstance(config, dict):
            yield str(config["keras_history"][0]), config["shape"]
        else:
            yield from _tensors(list(described.values()))
