"""What a training gives."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from services.trainer.architectures.pretraining import WeightsOrigin
from services.trainer.training.memory import FittedMemory
from services.trainer.training.out_of_fold import OutOfFold
from services.trainer.training.tried import Tried


@dataclass(frozen=True)
class Trained:
    """The result of a training."""

    network: keras.Model
    """The network with the weights of the best epoch."""
    origin: WeightsOrigin | None
    """The origin of the initial weights; None for random ones."""
    best_epoch: int
    """From 1; 0 if no epoch of fine-tuning was better than fitting the last layer alone."""
    history: list[dict[str, float]]
    runs: list[dict[str, int | str]]
    """The precision and the hardware, with the epoch from which on: several if the training continued elsewhere."""
    out_of_fold: OutOfFold | None = None
    """The logits by fold, if the last layer alone was fitted to the training and the validation split."""
    memory: FittedMemory | None = None
    """What good images look like, if the network measures the distance to them."""
    tried: tuple[Tried, ...] = ()
    """The networks that were compared, if the last layer alone was fitted."""
