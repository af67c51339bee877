"""Start a training from pretrained weights, or from a model that was trained before."""

from __future__ import annotations

from pathlib import Path

import keras

from services.trainer.architectures.architecture import Architecture
from services.trainer.architectures.pretraining import WeightsError, WeightsOrigin, sha256_of
from services.trainer.training.last_layer import LOGITS
from shared.contracts.bundle import KERAS, BundleError, read_bundle_folder
from shared.engines.keras import load_network
from shared.engines.port import EngineError


def load_initial_weights(architecture: Architecture, network: keras.Model, path: Path | None) -> WeightsOrigin | None:
    """Load the weights from which a training starts.

    Args:
        architecture: the one of the network.
        network: to be trained.
        path: a file of weights, or the folder of a model; by default, the installed weights.

    Returns:
        Where the weights come from; None if they are random.

    Raises:
        WeightsError: the file or the model can't be read, or does not fit.
    """
    if path is None or not path.is_dir():
        return architecture.load_weights(network, path)
    architecture.load_weights(network)  # it also freezes statistics
    return _load_model(network, path)


def _load_model(network: keras.Model, folder: Path) -> WeightsOrigin:
    """Load the weights of a trained model into the layers of a network of the same architecture.

    The last layer is left as it is if the model has another number of labels.

    Args:
        network: to be trained.
        folder: a bundle.

    Raises:
        WeightsError: the folder has no model, or one of another architecture.
    """
    try:
        bundle = read_bundle_folder(folder)
        whole = load_network(bundle.file(KERAS))
    except (BundleError, EngineError) as error:
        raise WeightsError(f"{error}: give the folder of a model, or a file of weights") from error
    trained = keras.Model(whole.input, whole.get_layer(LOGITS).output)  # without the anomaly beside the labels
    *pairs, (last, of_last) = zip(network.layers, trained.layers, strict=False)
    is_alike = len(network.layers) == len(trained.layers) and all(
        _shapes(layer) == _shapes(other) for layer, other in pairs
    )
    if not is_alike:
        raise WeightsError(
            f"{folder} is a model of {bundle.manifest.architecture}, and its layers are not those of {network.name} "
            "for this recipe: choose its architecture and its kind of image, or another model"
        )
    for layer, other in pairs:
        layer.set_weights(other.get_weights())
    if _shapes(last) == _shapes(of_last):
        last.set_weights(of_last.get_weights())
    return WeightsOrigin(f"model {bundle.manifest.version}", sha256_of(folder / KERAS))


def _shapes(layer: keras.Layer) -> list[tuple[int, ...]]:
    return [tuple(weights.shape) for weights in layer.weights]
