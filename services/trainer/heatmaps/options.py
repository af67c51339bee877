"""List the methods and layers by which heatmaps of a network can be computed, and compute all maps in one run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from itertools import dropwhile
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
"""Number of resolutions whose layers are tried, the coarsest first."""


class HeatmapOption(NamedTuple):
    """A method and the layers by which heatmaps can be computed."""

    method: ExplanationMethod
    layers: tuple[str, ...]
    """The earliest first; the maps of several layers are added."""


def heatmap_options(network: keras.Model, recipe: Recipe) -> list[HeatmapOption]:
    """Return the options that the recipe allows. The first one is the default where no defects are known.

    All methods are tried at the last layer with features. LayerCAM, which suits early layers too, is also tried at each
    layer of `last_layers_by_resolution`, and at all of these with a higher than the coarsest resolution together.
    """
    explanation, last = recipe.explanation, target_layer_of(network, recipe)
    methods = [explanation.method] if explanation.method else [*METHODS]
    last_layer_options = [HeatmapOption(method, (last,)) for method in methods]
    if all(layer.name != last for layer in network.layers):
        # the last layer is inside a nested model, and only layers of the outer model can be computed in one run
        return last_layer_options[:1]
    if explanation.layer:
        return last_layer_options

    def height(layer: str) -> int:
        return int(network.get_layer(layer).output.shape[1])

    layers = last_layers_by_resolution(network)
    cuttable = [layer for layer in layers if _can_be_cut(network, layer)]
    coarsest = min(height(layer) for layer in layers)
    finer = [layer for layer in layers if height(layer) > coarsest]
    # The network is cut at the first layer, so this one must be cuttable. A later layer may be bypassed: its map then
    # shows only the features that go through it.
    finer = list(dropwhile(lambda layer: layer not in cuttable, finer))
    method = explanation.method or "layer-cam"
    combined = [HeatmapOption(method, tuple(finer))] if len(finer) > 1 else []
    single_layer = [HeatmapOption(method, (layer,)) for layer in cuttable if layer != last]
    return [*combined, *last_layer_options, *single_layer]


def last_layers_by_resolution(network: keras.Model) -> list[str]:
    """Return the last layer and the last `Add` layer of each of the coarsest resolutions, the earliest first."""
    layers_by_size: dict[tuple[int, ...], list[keras.Layer]] = defaultdict(list)
    for layer in layers_with_maps(network):
        if layer in network.layers:
            layers_by_size[tuple(layer.output.shape[1:3])].append(layer)
    names: set[str] = set()
    for _, layers in sorted(layers_by_size.items())[:RESOLUTIONS]:
        names.add(layers[-1].name)
        sums = [layer for layer in layers if isinstance(layer, keras.layers.Add)]
        if sums:
            names.add(sums[-1].name)
    return [layer.name for layer in network.layers if layer.name in names]


def _can_be_cut(network: keras.Model, layer: str) -> bool:
    with suppress(BundleError):
        cut(network, layer)
        return True
    return False


class MapComputer:
    """Computes the maps of all options from one run of a network and one backward pass."""

    def __init__(self, network: keras.Model, options: Sequence[HeatmapOption]) -> None:
        option_layers = {layer for option in options for layer in option.layers}
        layers = [layer.name for layer in network.layers if layer.name in option_layers]
        backbone, self._head = cut_at(network, layers)
        self._options = [
            (METHODS[option.method], [layers.index(layer) for layer in option.layers]) for option in options
        ]
        self._features_of = by_tensorflow(backbone)
        self._labels = int(network.output_shape[-1])
        feature_spec = tf.TensorSpec((None, *backbone.output_shape[1:]), tf.float32)
        sign_spec = tf.TensorSpec((None, self._labels), tf.float32)
        self._compiled_maps = tf.function(self._maps, input_signature=[feature_spec, sign_spec])
        self._compiled_logits = tf.function(lambda features: self._head(features)[-1], input_signature=[feature_spec])

    def logits(self, images: Images) -> Logits:
        """Return the logits of some images."""
        return np.asarray(self._compiled_logits(self._features_of(images)), np.float32)

    def maps(self, images: Images, targets: Sequence[tuple[int, bool]]) -> list[Maps]:
        """Return for each option the maps of some images.

        Args:
            images: the images.
            targets: for each image the position of a label among the outputs, and whether its map shows the evidence
                for the label (True) or against it.
        """
        signs = np.zeros((len(images), self._labels), np.float32)
        for row, (output, is_evidence_for) in enumerate(targets):
            signs[row, output] = 1 if is_evidence_for else -1
        return [np.asarray(maps, np.float32) for maps in self._compiled_maps(self._features_of(images), signs)]

    def _maps(self, features: Any, signs: Any) -> list[Any]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(features)
            *later_features, logits = self._head(features)
            objective = tf.reduce_sum(signs * logits)
        features_by_layer = [features, *later_features]
        gradients = tape.gradient(objective, features_by_layer)
        return [
            fuse_maps([method(features_by_layer[layer], gradients[layer]) for layer in layers])
            for method, layers in self._options
        ]
