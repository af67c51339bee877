"""What answers questions about images: the port, so that no one who asks knows the library that computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.engines.port import Images

Maps = NDArray[np.float32]
"""(questions, height, width) of the features, 0 or more; the larger, the more a place speaks for the answer."""


class Probe(Protocol):
    """A network prepared for questions."""

    def maps(self, images: Images, asked: Sequence[tuple[int, int, bool]]) -> Maps:
        """Answer questions about a batch.

        Args:
            images: the batch.
            asked: per question the place of the image in the batch, the place of the label among the network's
                outputs, and whether to look for what speaks for the label (True) or against it.
        """
        ...
