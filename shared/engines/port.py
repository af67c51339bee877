"""The port of the engines that run networks; its users do not depend on the library of an engine."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
"""(images, height, width, channels), each as `shared.imaging.preprocessing.prepare` returns it."""

Logits = NDArray[np.float32]
"""(images, labels), in the recipe's order; `shared.verdict.scores_of` turns them into probabilities."""


class EngineError(ValueError):
    """A network that can't be loaded, or does not take these images."""


class Engine(Protocol):
    """A loaded network. One thread at a time may use it."""

    @property
    def name(self) -> str:
        """Return the library and its version."""
        ...

    def logits(self, images: Images) -> Logits:
        """Run the network on a batch of any size from 1.

        Raises:
            EngineError: the network does not take images of this shape, or failed on them.
        """
        ...

    def close(self) -> None:
        """Free the memory of the network; the engine is not used any more."""
        ...
