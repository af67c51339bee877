"""Whether a model can be explained at all, without running or even loading its network."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final

from shared.vision.bundle import KERAS, Bundle, BundleError

DESCRIPTION: Final = "config.json"
"""In a ``.keras`` file, which is an archive: the layers, without their weights."""


def refuse_unexplainable(bundle: Bundle) -> None:
    """Refuse a model that no heatmap could ever be made of, before it comes to a line.

    Raises:
        BundleError: its network has no convolution, or lacks the layer that its heatmaps are made of.
    """
    layers = list(_layers(_description(bundle)))
    name, target = bundle.version, bundle.manifest.target_layer
    if not any("Conv" in kind for kind, _ in layers):
        raise BundleError(f"model {name} has no convolution: no heatmap can be made of what it sees")
    if target not in {layer for _, layer in layers}:
        raise BundleError(f"model {name} has no layer {target!r}, which its heatmaps would be made of: train it again")


def _description(bundle: Bundle) -> Any:
    try:
        with zipfile.ZipFile(BytesIO(bundle.file(KERAS))) as archive:
            return json.loads(archive.read(DESCRIPTION))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise BundleError(f"model {bundle.version}: {KERAS} is no network of Keras's: {error}") from error


def _layers(described: Any) -> Iterator[tuple[str, str]]:
    """Kind and name of each layer, nested ones included."""
    config = described.get("config") if isinstance(described, dict) else None
    if not isinstance(config, dict):
        return
    yield str(described.get("class_name")), str(config.get("name"))
    for layer in config.get("layers", ()):
        yield from _layers(layer)
