"""Models that are made in a moment, for tests: they look at the colour of an image, and so their verdicts are known.

A blue image shows `error`, a green one `break`, a red one `length`; `good` is true where neither blue nor green is.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.contracts.bundle import (
    KERAS,
    OPENVINO,
    OPENVINO_WEIGHTS,
    RECIPE,
    Bundle,
    HeatmapSpec,
    Manifest,
    digest_of,
    write_bundle,
)
from shared.contracts.promotion import Promotion, production_history, store_promotion
from shared.imaging.codec import Image, encode
from shared.messages import FrameCaptured, FrameIdentity, ModelPromoted, frame_id
from shared.recipe import Recipe, parse_recipe
from shared.storage.port import ObjectStore

PAINT: Final = """
name: paint
task: multi-label
image: {height: 32, width: 32, normalisation: unit}
labels:
  good: {key: g, colour: white, role: quality}
  error: {key: e, colour: blue, role: defect}
  break: {key: b, colour: green, role: defect}
  length: {key: l, colour: red, role: attribute}
"""
WEIGHTS: Final = np.array([[0, 0, 0, 40], [-40, 0, 40, 0], [-40, 40, 0, 0]], np.float32)
"""(red green blue, labels): by the mean of each colour, 0 to 1."""
BIAS: Final = np.array([2, -2, -2, -2], np.float32)
SESSION: Final = "01JD0000000000000000000000"

COLOURS: Final = {"black": (0, 0, 0), "blue": (255, 0, 0), "green": (0, 255, 0), "red": (0, 0, 255)}
"""Blue green red."""


def paint_recipe(extra: str = "", name: str = "paint") -> Recipe:
    """The recipe of these models, with further lines of YAML."""
    return parse_recipe(PAINT.replace("name: paint", f"name: {name}") + extra)


def paint_bundle(
    version: str,
    *,
    recipe: Recipe | None = None,
    bias: NDArray[np.float32] = BIAS,
    weights: NDArray[np.float32] = WEIGHTS,
    keras: bool = False,
    by_the_batch: bool = False,
) -> Bundle:
    """A model for OpenVINO, with ``keras`` for TensorFlow too, and else with as much of it as a promotion looks at.

    With ``by_the_batch`` it looks at the neighbours.
    """
    recipe = recipe or paint_recipe()
    weights = weights if recipe.image.colour == "rgb" else weights.mean(axis=0, keepdims=True)
    files = {**_compiled(recipe, weights, bias, by_the_batch=by_the_batch), RECIPE: recipe.to_yaml().encode()}
    files[KERAS] = keras_file(_network(recipe, weights, bias)) if keras else described(FEATURES)
    return pack(files, recipe, version, target_layer="features")


def layer(kind: str, name: str, *within: dict[str, Any]) -> dict[str, Any]:
    """A layer as a ``.keras`` file describes it."""
    module = "keras" if kind == "Functional" else "keras.layers"
    config = {"name": name, **({"layers": list(within)} if within else {})}
    return {"module": module, "class_name": kind, "config": config}


FEATURES: Final = layer("Conv2D", "features")


def described(*layers: dict[str, Any]) -> bytes:
    """The description in a ``.keras`` file, without weights: of a network of these layers."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", json.dumps(layer("Functional", "network", *layers)))
    return file.getvalue()


def pack(files: dict[str, bytes], recipe: Recipe, version: str, target_layer: str) -> Bundle:
    """A bundle of these files."""
    manifest = Manifest(
        recipe=recipe.name,
        version=version,
        architecture="paint",
        heatmaps=HeatmapSpec(method="grad-cam", layers=(target_layer,)),
        created_at=datetime.now(UTC),
        dataset="none",
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    return Bundle(manifest, files)


def keras_file(network: Any) -> bytes:
    """A network as a ``.keras`` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, KERAS)
        network.save(path)
        return path.read_bytes()


def promote(store: ObjectStore, bundle: Bundle) -> None:
    """Keep a bundle, and make it the one in production."""
    write_bundle(store, bundle.manifest, bundle.files)
    history = production_history(store, bundle.recipe.name)
    pointer = Promotion(
        sequence=len(history) + 1,
        recipe=bundle.recipe.name,
        version=bundle.version,
        digest=digest_of(store, bundle.recipe.name, bundle.version),
        previous=history[-1].version if history else None,
        reason="test",
        by="test",
        at=datetime.now(UTC),
    )
    store_promotion(store, pointer)


def promoted(recipe: str, version: str) -> ModelPromoted:
    """What the trainer says when it has moved the pointer."""
    return ModelPromoted(
        promotion_id="promotion-1",
        recipe=recipe,
        model_version=version,
        previous_version=None,
        reason="test",
        by="test",
        at=datetime.now(UTC),
    )


def painted(colour: str, height: int = 48, width: int = 64) -> Image:
    """An image of one colour."""
    return np.full((height, width, 3), COLOURS[colour], np.uint8)


def captured(
    sequence: int,
    image: Image | bytes,
    *,
    line: str = "line-1",
    stored_as: str | None = None,
    recipe: str | None = None,
    part: str | None = None,
) -> FrameCaptured:
    """A frame as a camera sends it, as PNG; ``stored_as``: a file in its folder of object storage instead."""
    frame = FrameIdentity(
        frame_id=frame_id(SESSION, sequence),
        line=line,
        camera="camera-1",
        part=part,
        recipe=recipe,
        captured_at=datetime.now(UTC),
    )
    return FrameCaptured(
        frame=frame,
        encoding="png",
        width=64,
        height=48,
        image=b"" if stored_as else image if isinstance(image, bytes) else encode(image, "png"),
        image_key=f"{frame.storage_key}/{stored_as}" if stored_as else None,
    )


def _compiled(
    recipe: Recipe, weights: NDArray[np.float32], bias: NDArray[np.float32], *, by_the_batch: bool
) -> dict[str, bytes]:
    from shared.engines.openvino import openvino

    ops, spec = openvino.opset13, recipe.image
    images = ops.parameter([-1, spec.height, spec.width, len(weights)], np.float32, name="images")
    means = ops.reduce_mean(images, np.array([1, 2]), keep_dims=False)
    if by_the_batch:
        neighbours = ops.reduce_mean(means, np.array([0]), keep_dims=True)
        means = ops.multiply(ops.subtract(means, neighbours), ops.constant(np.float32(100)))
    logits = ops.add(ops.matmul(means, ops.constant(weights), False, False), ops.constant(bias))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, OPENVINO)
        openvino.serialize(openvino.Model([logits], [images]), path)
        return {OPENVINO: path.read_bytes(), OPENVINO_WEIGHTS: path.with_suffix(".bin").read_bytes()}


def _network(recipe: Recipe, weights: NDArray[np.float32], bias: NDArray[np.float32]) -> Any:
    import keras

    spec, channels = recipe.image, len(weights)
    images = keras.Input((spec.height, spec.width, channels))
    features = keras.layers.Conv2D(channels, 1, use_bias=False, activation="relu", name="features")
    head = keras.layers.Dense(len(bias), name="logits")
    network = keras.Model(images, head(keras.layers.GlobalAveragePooling2D()(features(images))))
    features.set_weights([np.eye(channels, dtype=np.float32)[np.newaxis, np.newaxis]])
    head.set_weights([weights, bias])
    return network
