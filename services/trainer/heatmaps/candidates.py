"""Name the ways in which the heatmaps of a network can be computed, and compute all of them at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from shared.contracts.bundle import BundleError
from shared.engines.port import Images, Logits
from shared.explain.cam import METHODS, fuse_maps
from shared.explain.network import by_tensorflow, cut, cut_at, layers_with_maps, target_layer_of
from shared.explain.targets import Maps
from shared.recipe import ExplanationMethod, Recipe

RESOLUTIONS: Final = 4
"""Of how many resolutions layers are tried, from the coarsest on."""


class Candidate(NamedTuple):
    """One way to compute heatmaps."""

    method: ExplanationMethod
    layers: tuple[str, ...]
    """The earliest first; the maps of several layers are added."""


def candidates_of(network: keras.Model, recipe: Recipe) -> list[Candidate]:
    """Return the ways that the recipe leaves open; the first one is the way to take where nothing decides.

    LayerCAM, which suits early layers too, is tried at the last layer and at the last sum of each resolution, and at
    all of these together but those of the coarsest resolution. All methods are tried at the last layer with features.
    """
    explanation, last = recipe.explanation, target_layer_of(network, recipe)
    at_last = [Candidate(method, (last,)) for method in ([explanation.method] if explanation.method else METHODS)]
    if all(layer.name != last for layer in network.layers):
        return at_last[:1]  # nested: only the layers of the whole network can be compared in one run
    if explanation.layer:
        return at_last
    early = early_layers(network)
    cuttable = [layer for layer in early if _can_be_cut(network, layer)]
    coarsest = min(network.get_layer(layer).output.shape[1] for layer in early)
    finer = [layer for layer in early if network.get_layer(layer).output.shape[1] > coarsest]
    while finer and finer[0] not in cuttable:
        finer.pop(0)  # the others may have paths around them: their maps then show what passes through them
    method = explanation.method or "layer-cam"
    alone = [Candidate(method, (layer,)) for layer in cuttable if layer != last]
    together = [Candidate(method, tuple(finer))] if len(finer) > 1 else []
    return [*together, *at_last, *alone]


def early_layers(network: keras.Model) -> list[str]:
    """Return the last layer and the last sum of each of the coarsest resolutions, the earliest first."""
    by_resolution: dict[tuple[int, ...], list[keras.Layer]] = defaultdict(list)
    for layer in layers_with_maps(network):
        if layer in network.layers:
            by_resolution[tuple(layer.output.shape[1:3])].append(layer)
    found: set[str] = set()
    for _, layers in sorted(by_resolution.items())[:RESOLUTIONS]:
        sums = [layer for layer in layers if isinstance(layer, keras.layers.Add)]
        found |= {among[-1].name for among in (layers, sums) if among}
    return [layer.name for layer in network.layers if layer.name in found]


def _can_be_cut(network: keras.Model, layer: str) -> bool:
    with suppress(BundleError):
        cut(network, layer)
        return True
    return False


class AllMaps:
    """Compute the maps of all candidates from one run of a network, and one gradient."""

    def __init__(self, network: keras.Model, candidates: Sequence[Candidate]) -> None:
        wanted = {layer for candidate in candidates for layer in candidate.layers}
        layers = [layer.name for layer in network.layers if layer.name in wanted]
        half, self._rest = cut_at(network, layers)
        self._candidates = [
            (METHODS[each.method], [layers.index(layer) for layer in each.layers]) for each in candidates
        ]
        self._look = by_tensorflow(half)
        self._labels = int(network.output_shape[-1])
        features = tf.TensorSpec((None, *half.output_shape[1:]), tf.float32)
        self._run = tf.function(self._maps, input_signature=[features, tf.TensorSpec((None, self._labels), tf.float32)])
        self._logits = tf.function(lambda seen: self._rest(seen)[-1], input_signature=[features])

    def logits(self, images: Images) -> Logits:
        """Return the logits of a batch."""
        return np.asarray(self._logits(self._look(images)), np.float32)

    def maps(self, images: Images, asked: Sequence[tuple[int, bool]]) -> list[Maps]:
        """Return for each candidate the maps of a batch.

        Args:
            images: the batch.
            asked: for each image the position of a label among the outputs, and whether to look for evidence for it.
        """
        directions = np.zeros((len(images), self._labels), np.float32)
        for row, (output, for_label) in enumerate(asked):
            directions[row, output] = 1 if for_label else -1
        return [np.asarray(maps, np.float32) for maps in self._run(self._look(images), directions)]

    def _maps(self, features: Any, directions: Any) -> list[Any]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(features)
            *later, logits = self._rest(features)
            answers = tf.reduce_sum(directions * logits)
        at_layers = [features, *later]
        gradients = tape.gradient(answers, at_layers)
        return [
            fuse_maps([method(at_layers[place], gradients[place]) for place in places])
            for method, places in self._candidates
        ]
