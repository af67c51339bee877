"""The scores of images that the scoring network did not learn from."""

from __future__ import annotations

from dataclasses import dataclass

from services.trainer.datasets.pixels import Rows
from services.trainer.evaluation.figures import LearningCurve
from services.trainer.heatmaps.held_out_layers import HeldOutRows
from shared.engines.port import Logits


@dataclass(frozen=True)
class OutOfFold:
    """Images with the logits that they get from a network that did not learn from their fold."""

    rows: Rows
    logits: Logits
    learning_curve: LearningCurve | None
    halves: tuple[HeldOutRows, HeldOutRows] | None = None
    """The images in two halves of whole groups, each with a last layer that was fitted to the other."""
