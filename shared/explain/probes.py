"""Compute the maps of a network as the manifest of its model says: by gradients, or as its own distances."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from shared.contracts.bundle import DISTANCE, HeatmapSpec
from shared.explain.cam import GradientProbe
from shared.explain.distance import DistanceProbe
from shared.explain.metrics import Subject
from shared.explain.network import Look, by_tensorflow, shuffled
from shared.explain.targets import Probe
from shared.imaging.references import References
from shared.recipe import Recipe


def probe_of(network: keras.Model, spec: HeatmapSpec, see: Callable[[keras.Model], Look] = by_tensorflow) -> Probe:
    """Return what computes the maps of a network as ``spec`` says; ``see`` compiles its first part.

    Raises:
        BundleError: the network can't be cut at these layers.
    """
    if spec.method == DISTANCE:
        return DistanceProbe(network, spec.layers, see)
    return GradientProbe(network, spec.layers, spec.method, see)


def subject_of(
    network: keras.Model, recipe: Recipe, spec: HeatmapSpec, references: References | None = None
) -> Subject:
    """Return a network as the subject of `score_heatmaps`, with heatmaps that are made as ``spec`` says.

    Raises:
        BundleError: the network can't be cut at these layers.
    """
    signature = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
    run = tf.function(lambda images: network(images, training=False), input_signature=[signature])
    return Subject(
        recipe=recipe,
        spec=spec,
        probe=probe_of(network, spec),
        shuffled=probe_of(shuffled(network), spec),
        logits=lambda images: np.asarray(run(images), np.float32),
        references=references,
    )
