"""Networks in Keras's own format, read for whoever runs or explains them. Importing this imports Keras."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras

from shared.contracts.bundle import KERAS
from shared.engines.network_file import ForeignNetwork, described
from shared.engines.port import EngineError


def load_network(content: bytes) -> keras.Model:
    """Load a network of known layers; nothing in it is run meanwhile.

    Args:
        content: the ``.keras`` file.

    Raises:
        EngineError: this is no network of Keras's, or one that would run code of its own when loaded.
    """
    try:
        described(content)
    except ForeignNetwork as error:
        raise EngineError(f"Keras can't load {KERAS}: it {error}") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, KERAS)
        path.write_bytes(content)
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises errors of many kinds, and the file alone causes them
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise EngineError(f"Keras can't load {KERAS}: {reason[:300]}") from error
