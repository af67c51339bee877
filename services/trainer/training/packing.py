"""From a trained network to a bundle: every file that the model is and comes from, with its digest."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile

import keras
from pydantic import JsonValue

from shared.contracts.bundle import EVALUATION, KERAS, OPENVINO, OPENVINO_WEIGHTS, RECIPE, Bundle, Manifest
from shared.engines.compile import CompiledVariant
from shared.explain.network import target_layer_of
from shared.recipe import Recipe

LIBRARIES: Final = ("keras", "tensorflow-cpu", "tensorflow", "openvino", "nncf", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from."""

    version: str
    """What the model will be called: see `services.trainer.training.naming`."""
    architecture: str
    dataset: str
    """A dataset version, or the digest of its table."""
    created_at: datetime
    options: dict[str, JsonValue] = field(default_factory=dict)
    """Of the training, with the seed."""


def pack(
    network: keras.Model,
    *,
    compiled: CompiledVariant,
    recipe: Recipe,
    evaluation: bytes,
    provenance: Provenance,
    extra: dict[str, bytes] | None = None,
) -> Bundle:
    """Make a bundle.

    Args:
        network: the trained network.
        compiled: its variant for inference.
        recipe: with the thresholds that were chosen for it.
        evaluation: JSON.
        provenance: where it comes from.
        extra: further files, by name.

    Raises:
        BundleError: no heatmap can be made of the network's features.
    """
    files = {
        KERAS: keras_file(network),
        OPENVINO: compiled.xml,
        OPENVINO_WEIGHTS: compiled.weights,
        RECIPE: recipe.to_yaml().encode(),
        EVALUATION: evaluation,
        **(extra or {}),
    }
    manifest = Manifest(
        recipe=recipe.name,
        version=provenance.version,
        architecture=provenance.architecture,
        target_layer=target_layer_of(network, recipe),
        created_at=provenance.created_at,
        dataset=provenance.dataset,
        options=provenance.options,
        libraries=library_versions(),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    return Bundle(manifest, files)


def keras_file(network: keras.Model) -> bytes:
    """A network in Keras's own format, without the state of its optimizer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, KERAS)
        network.save(path, include_optimizer=False)
        return _deflated(path)


def _deflated(path: Path) -> bytes:
    """The same archive, compressed: Keras only stores, and of a small network a third is padding."""
    compressed = BytesIO()
    with ZipFile(path) as stored, ZipFile(compressed, "w", ZIP_DEFLATED, compresslevel=9) as archive:
        for entry in stored.infolist():
            archive.writestr(entry.filename, stored.read(entry), ZIP_DEFLATED)
    return compressed.getvalue()


def library_versions() -> dict[str, str]:
    """What made the model, by name."""
    return {name: found for name in LIBRARIES if (found := _installed(name))}


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
