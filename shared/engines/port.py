"""What runs a network: the port, so that no one who asks for logits knows the library that computes them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
"""(images, height, width, channels), each as `shared.imaging.preprocessing.prepare` gives it."""

Logits = NDArray[np.float32]
"""(images, labels), in the recipe's order; `shared.verdict.scores_of` makes probabilities of them."""


class EngineError(ValueError):
    """A network that can't be loaded, or does not take these images."""


class Engine(Protocol):
    """One network, loaded. Asked by one thread at a time."""

    @property
    def name(self) -> str:
        """The library and its version, for people."""
        ...

    def logits(self, images: Images) -> Logits:
        """Run the network on a batch of any size from 1.

        Raises:
            EngineError: the network does not take images of this shape, or failed on them.
        """
        ...

    def close(self) -> None:
        """Give its memory back; it is not asked again."""
        ...
