"""Pack a trained network and its files into a bundle."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile

import keras
from pydantic import JsonValue

from shared.contracts.bundle import EVALUATION, KERAS, OPENVINO, OPENVINO_WEIGHTS, RECIPE, Bundle, HeatmapSpec, Manifest
from shared.engines.compile import CompiledVariant
from shared.recipe import Recipe

LIBRARIES: Final = ("keras", "tensorflow-cpu", "tensorflow", "openvino", "nncf", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class Provenance:
    """What a model was made from."""

    version: str
    architecture: str
    dataset: str
    """A dataset version, or the digest of its table."""
    created_at: datetime
    options: dict[str, JsonValue] = field(default_factory=dict)
    """The options of the training, including the seed."""


def pack(
    network: keras.Model,
    *,
    compiled: CompiledVariant,
    recipe: Recipe,
    evaluation: bytes,
    provenance: Provenance,
    heatmaps: HeatmapSpec,
    extra: dict[str, bytes] | None = None,
) -> Bundle:
    """Return a bundle with its manifest.

    Args:
        network: the trained network.
        compiled: the network, compiled for inference.
        recipe: the recipe, with the thresholds that were chosen for the network.
        evaluation: the content of ``evaluation.json``.
        provenance: what the model was made from.
        heatmaps: how heatmaps are computed and scaled.
        extra: further files, by name.
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
        heatmaps=heatmaps,
        created_at=provenance.created_at,
        dataset=provenance.dataset,
        options=provenance.options,
        libraries=library_versions(),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    return Bundle(manifest, files)


def keras_file(network: keras.Model) -> bytes:
    """Return a network in Keras's own format, without the state of its optimizer.

    Keras does not compress its archive, a third of which is padding for a small network; so the archive is compressed.
    """
    compressed = BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, KERAS)
        network.save(path, include_optimizer=False)
        with ZipFile(path) as stored, ZipFile(compressed, "w", ZIP_DEFLATED, compresslevel=9) as archive:
            for entry in stored.infolist():
                archive.writestr(entry.filename, stored.read(entry), ZIP_DEFLATED)
    return compressed.getvalue()


def library_versions() -> dict[str, str]:
    """Return the versions of the installed libraries of `LIBRARIES`, by name."""
    versions = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
