"""Compile a network, or its first half, for OpenVINO. Importing this module imports Keras."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from shared.engines.openvino import openvino

IMAGES: Final = "images"
"""The name of the input."""


@dataclass(frozen=True)
class CompiledVariant:
    """A network in OpenVINO's intermediate representation, for any batch size."""

    xml: bytes
    weights: bytes


def compile_for_openvino(network: keras.Model, answer: str = "logits") -> CompiledVariant:
    """Compile a network.

    OpenVINO reads a graph of constants, which is made four times as fast as a SavedModel. Its own conversion tool would
    report its use over the internet.

    Args:
        network: from images to one tensor.
        answer: the name of this tensor.
    """
    images = tf.TensorSpec(network.input_shape, "float32", name=IMAGES)
    graph = tf.function(partial(network, training=False), input_signature=[images], autograph=False)
    constants = convert_variables_to_constants_v2(graph.get_concrete_function()).graph
    with tempfile.TemporaryDirectory() as folder:
        written, compiled = Path(folder, "graph.pb"), Path(folder, "compiled.xml")
        written.write_bytes(constants.as_graph_def().SerializeToString())
        variant = openvino.Core().read_model(written)
        variant.inputs[0].get_tensor().set_names({IMAGES})
        variant.outputs[0].get_tensor().set_names({answer})
        openvino.serialize(variant, compiled)
        return CompiledVariant(compiled.read_bytes(), compiled.with_suffix(".bin").read_bytes())
