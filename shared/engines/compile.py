"""Compile a network, or its first half, for OpenVINO. Importing this module imports Keras."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras

from shared.engines.openvino import openvino


@dataclass(frozen=True)
class CompiledVariant:
    """A network in OpenVINO's intermediate representation, for any batch size."""

    xml: bytes
    weights: bytes


def compile_for_openvino(network: keras.Model, answer: str = "logits") -> CompiledVariant:
    """Compile a network.

    OpenVINO itself reads the SavedModel, because its conversion tool reports its use over the internet.

    Args:
        network: from images to one tensor.
        answer: the name of this tensor.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved, compiled = Path(folder, "saved"), Path(folder, "compiled.xml")
        signature = [keras.InputSpec(shape=network.input_shape, dtype="float32", name="images")]
        network.export(saved, format="tf_saved_model", verbose=False, input_signature=signature)
        variant = openvino.Core().read_model(saved)
        variant.outputs[0].get_tensor().set_names({answer})
        openvino.serialize(variant, compiled)
        return CompiledVariant(compiled.read_bytes(), compiled.with_suffix(".bin").read_bytes())
