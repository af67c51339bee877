"""Give a network a last layer that did not learn from some of the images."""

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
class HeldOutRows:
    """Images, and a last layer that was not fitted to these images."""

    rows: Rows
    last_layer: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    """Kernel and bias; None: the network's own last layer did not learn from the images."""

    @contextmanager
    def last_layer_in(self, network: keras.Model) -> Iterator[None]:
        """Put this last layer into a network until the end of the block."""
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
