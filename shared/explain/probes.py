"""Compute the maps of a network as the manifest of its model says: by gradients, or as its own distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import keras
import numpy as np
import tensorflow as tf

from shared.contracts.bundle import DISTANCE, DISTANCES, HeatmapSpec
from shared.engines.port import Images
from shared.explain.cam import GradientProbe
from shared.explain.distance import DistanceProbe
from shared.explain.metrics import Subject
from shared.explain.network import Look, by_tensorflow, shuffled
from shared.explain.targets import Maps, Probe
from shared.imaging.references import References
from shared.recipe import Recipe

LABELS: Final = "logits"
"""Name of the layer with the logits of the labels, in a network that measures an anomaly beside them."""


def probe_of(
    network: keras.Model, recipe: Recipe, spec: HeatmapSpec, see: Callable[[keras.Model], Look] = by_tensorflow
) -> Probe:
    """Return what computes the maps of a network as ``spec`` says; ``see`` compiles its first part.

    Raises:
        BundleError: the network can't be cut at these layers.
    """
    if spec.method == DISTANCE:
        return DistanceProbe(network, spec.layers, see)
    if recipe.anomaly is None:
        return GradientProbe(network, spec.layers, spec.method, see)
    of_labels = keras.Model(network.input, network.get_layer(LABELS).output)
    return ProbeWithAnomaly(
        GradientProbe(of_labels, spec.layers, spec.method, see),
        DistanceProbe(network, (DISTANCES,), see),
        anomaly=len(recipe.labels) - 1,
    )


@dataclass(frozen=True)
class ProbeWithAnomaly:
    """Answer questions about labels by gradients, and about an anomaly by distances; see `Probe`."""

    labels: Probe
    distances: Probe
    anomaly: int
    """The position of the anomaly among the network's outputs."""

    def maps(self, images: Images, asked: Sequence[tuple[int, int, bool]]) -> Maps:
        """See `shared.explain.targets.Probe`. All maps have the size of the finer ones."""
        of_anomaly = [output == self.anomaly for _, output, _ in asked]
        parts = [
            probe.maps(images, [each for each, chosen in zip(asked, of_anomaly, strict=True) if chosen is wanted])
            for probe, wanted in ((self.labels, False), (self.distances, True))
        ]
        if not all(map(len, parts)):
            return parts[0] if len(parts[0]) else parts[1]
        height, width = (max(part.shape[axis] for part in parts) for axis in (1, 2))
        labels, anomalies = (iter([cv2.resize(map_, (width, height)) for map_ in part]) for part in parts)
        return np.stack([next(anomalies if chosen else labels) for chosen in of_anomaly])


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
        probe=probe_of(network, recipe, spec),
        shuffled=probe_of(shuffled(network), recipe, spec),
        logits=lambda images: np.asarray(run(images), np.float32),
        references=references,
    )
