"""Put a network into the state in which it has not learned from some of its images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import keras
import numpy as np
from numpy.typing import NDArray

from services.trainer.datasets.pixels import Rows

LAST_LAYER: Final = "logits"


@dataclass(frozen=True)
class HeldOut:
    """Images, and a last layer that was not fitted to them."""

    rows: Rows
    last_layer: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    """Kernel and bias; None for those of the network."""

    @contextmanager
    def applied_to(self, network: keras.Model) -> Iterator[None]:
        """Give a network this last layer for a while."""
        if self.last_layer is None:
            yield
            return
        layer = network.get_layer(LAST_LAYER)
        own = layer.get_weights()
        layer.set_weights(self.last_layer)
        try:
            yield
        finally:
            layer.set_weights(own)
