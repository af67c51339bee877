"""Load networks in the format of Keras. Importing this module imports Keras."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras

from shared.contracts.bundle import KERAS
from shared.engines.network_file import ForeignNetwork, description_of
from shared.engines.port import EngineError


def load_network(content: bytes) -> keras.Model:
    """Load a network that consists of known layers; no code of the file is run.

    Args:
        content: the ``.keras`` file.

    Raises:
        EngineError: the file is not a network, or would run its own code when it is loaded.
    """
    try:
        description_of(content)
    except ForeignNetwork as error:
        raise EngineError(f"{KERAS} {error}") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, KERAS)
        path.write_bytes(content)
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises errors of many types, and only the file can cause them
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise EngineError(f"Keras can't load {KERAS}: {reason[:300]}") from error
