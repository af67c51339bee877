"""Load a model that computes heatmaps from a bundle. This module imports TensorFlow, which takes seconds."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import numpy as np
import structlog
import tensorflow as tf

from services.explainer.models import Model
from shared.contracts.bundle import Bundle, BundleError
from shared.engines.bundled_references import references_of
from shared.explain.network import by_openvino, read_network
from shared.explain.probes import probe_of

_log = structlog.stdlib.get_logger("model")


def use_threads(threads: int) -> None:
    """Limit the threads of TensorFlow; 0 for its default. Only the first network of a process decides."""
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def load_model(bundle: Bundle, threads: int = 0) -> Model:
    """Load a bundle, and compute one heatmap with it.

    Args:
        bundle: the model.
        threads: most threads for its features; 0 for one for each physical core.

    Raises:
        BundleError: the network can't be loaded, does not match the recipe, or has no target layer.
    """
    network = read_network(bundle)
    expected, labels = bundle.recipe.image.shape, len(bundle.recipe.labels)
    if network.input_shape[1:] != expected or network.output_shape[1:] != (labels,):
        raise BundleError(
            f"model {bundle.version} makes {network.output_shape[1:]} of {network.input_shape[1:]}, "
            f"and its recipe asks for {(labels,)} of {expected}"
        )
    spec = bundle.manifest.heatmaps
    probe = probe_of(network, bundle.recipe, spec, partial(by_openvino, threads=threads))
    probe.maps(np.zeros((1, *expected), np.float32), [(0, 0, True)])
    _log.info("explaining with model", version=bundle.version, heatmaps=spec.in_words)
    return Model(bundle.version, bundle.recipe, spec, probe, references_of(bundle))
