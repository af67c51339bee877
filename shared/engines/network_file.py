"""Read and check the description in a ``.keras`` file, without Keras and without running its code."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final

from pydantic_core import from_json

DESCRIPTION: Final = "config.json"
"""The member of the archive with the layers, without their weights."""
MEMBERS: Final = {"metadata.json": 1024**2, DESCRIPTION: 16 * 1024**2, "model.weights.h5": 2 * 1024**3}
"""The permitted members of the archive, with their unpacked size in bytes; only foreign layers have assets."""

LAYERS: Final = frozenset(
    [
        "Activation",
        "Add",
        "Average",
        "AveragePooling2D",
        "BatchNormalization",
        "CenterCrop",
        "Concatenate",
        "Conv2D",
        "Conv2DTranspose",
        "Cropping2D",
        "Dense",
        "DepthwiseConv2D",
        "Dropout",
        "ELU",
        "Flatten",
        "GaussianNoise",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling2D",
        "GroupNormalization",
        "Identity",
        "InputLayer",
        "LayerNormalization",
        "LeakyReLU",
        "MaxPooling2D",
        "Maximum",
        "Minimum",
        "Multiply",
        "Normalization",
        "PReLU",
        "Permute",
        "ReLU",
        "Reshape",
        "Rescaling",
        "Resizing",
        "SeparableConv2D",
        "Softmax",
        "SpatialDropout2D",
        "Subtract",
        "UnitNormalization",
        "UpSampling2D",
        "ZeroPadding2D",
    ]
)
INITIALIZERS: Final = frozenset(
    [
        "Constant",
        "GlorotNormal",
        "GlorotUniform",
        "HeNormal",
        "HeUniform",
        "Identity",
        "LecunNormal",
        "LecunUniform",
        "Ones",
        "Orthogonal",
        "RandomNormal",
        "RandomUniform",
        "TruncatedNormal",
        "VarianceScaling",
        "Zeros",
    ]
)
OPERATIONS: Final = frozenset(
    [
        "Absolute",
        "Add",
        "Clip",
        "Divide",
        "Flip",
        "Maximum",
        "Mean",
        "Min",
        "Minimum",
        "Multiply",
        "Negative",
        "Split",
        "Sqrt",
        "Subtract",
    ]
)
KNOWN: Final = {
    "keras": frozenset({"DTypePolicy", "Functional", "Model", "Sequential"}),
    "keras.models": frozenset({"Functional", "Model", "Sequential"}),
    "keras.src.models.functional": frozenset({"Functional"}),
    "keras.src.models.sequential": frozenset({"Sequential"}),
    "keras.src.applications.convnext": frozenset({"LayerScale", "StochasticDepth"}),
    "keras.src.applications.inception_resnet_v2": frozenset({"CustomScaleLayer"}),
    "keras.layers": LAYERS,
    "keras.initializers": INITIALIZERS,
    "keras.regularizers": frozenset({"L1", "L1L2", "L2", "OrthogonalRegularizer"}),
    "keras.constraints": frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"}),
    "keras.dtype_policies": frozenset({"DTypePolicy", "DTypePolicyMap"}),
    "keras.ops": OPERATIONS,
    "keras.src.ops.numpy": OPERATIONS,
    None: frozenset({"__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__", "__tuple__"}),
}
"""The permitted classes by module: none of them runs code, reads files or contacts a server."""

NO_ARCHIVE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""Errors that a broken archive raises."""


class ForeignNetwork(ValueError):
    """A file that is not a network of Keras, or contains something else than known layers."""


def description_of(content: bytes) -> Any:
    """Return the description in a ``.keras`` file, after checking that it names known classes only.

    Raises:
        ForeignNetwork: the file is not a network, or names another class.
    """
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            _check_members(archive)
            description = from_json(archive.read(DESCRIPTION))
    except ForeignNetwork:
        raise
    except NO_ARCHIVE as error:
        raise ForeignNetwork(f"is no network of Keras's: {str(error)[:200]}") from error
    if not isinstance(description, dict):
        raise ForeignNetwork("is no network of Keras's: its description is no object")
    # Keras ignores the compile configuration of the network when it loads it without compiling
    for module, name in _named({**description, "compile_config": None}):
        if module not in KNOWN or name not in KNOWN[module]:
            raise ForeignNetwork(
                f"names {str(name)[:80]!r} of {str(module)[:80]!r}, which is no layer of a network for images: "
                "it may run code of its own"
            )
    return description


def _check_members(archive: zipfile.ZipFile) -> None:
    for member in archive.infolist():
        if member.file_size > MEMBERS.get(member.filename, -1):
            raise ForeignNetwork(f"holds {member.filename[:80]!r} of {member.file_size:,} bytes, as no network does")


def _named(description_of: Any) -> Iterator[tuple[str | None, str]]:
    """Yield module and name of each object that Keras would create."""
    if isinstance(description_of, list):
        for entry in description_of:
            yield from _named(entry)
    elif isinstance(description_of, dict):
        if "class_name" in description_of:
            module = description_of.get("module")
            yield (module if isinstance(module, str | None) else str(module)), str(description_of["class_name"])
        for value in description_of.values():
            yield from _named(value)
