"""A network that can be trained, with the settings that it is best trained with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from services.trainer.architectures.pretraining import Origin, WeightsError
from services.trainer.errors import TrainerError
from shared.recipe import ImageSpec


class UnfitArchitecture(TrainerError):
    """No network has that name, or it can't take such images; the message says what to do."""


@dataclass(frozen=True)
class Architecture:
    """A network, and how it is best trained where nobody says otherwise."""

    name: str
    summary: str
    builder: Callable[[ImageSpec, int], keras.Model]
    smallest: int
    """The least height and width, in pixels."""
    learning_rate: float
    """Of all layers that learn from the start."""
    weight_decay: float
    tuning_rate: float | None = None
    """The learning rate where all layers but the last start from weights, and the last one is fitted first."""
    loader: Callable[[keras.Model, Path | None], Origin | None] | None = None
    """Fills a network with weights of a file; without one, with those that are installed."""
    fast_in_bfloat16: bool = False
    """Measured to learn faster so on a processor with AVX512_BF16; depthwise convolutions and max pooling are not."""

    def build(self, image: ImageSpec, labels: int) -> keras.Model:
        """The network, not yet trained.

        Its input is (frames, height, width, channels) float32 as `shared.imaging.preprocessing.normalise` gives it, its
        output (frames, labels) float32 logits.

        Raises:
            UnfitArchitecture: the images are too small for it.
        """
        if min(image.height, image.width) < self.smallest:
            raise UnfitArchitecture(
                f"{self.name} takes images from {self.smallest} x {self.smallest} on, and the recipe's are "
                f"{image.height} x {image.width}: make them larger in the recipe, or take another architecture"
            )
        return self.builder(image, labels)

    def load_weights(self, network: keras.Model, file: Path | None = None) -> Origin | None:
        """Start a network from weights that were trained on many images; its last layer stays as it is.

        Args:
            network: as `build` made it.
            file: by default, what is installed.

        Returns:
            Where the weights come from; None when the network starts from nothing.

        Raises:
            WeightsError: the file is not what this network takes.
        """
        if self.loader is not None:
            return self.loader(network, file)
        if file is not None:
            raise WeightsError(f"{self.name} is trained from nothing: give no weights, or take another architecture")
        return None

    def note_on(self, origin: Origin | None) -> str | None:
        """What people should know about a training with this origin; None where all is as expected."""
        if self.loader is None or origin is not None:
            return None
        return (
            f"{self.name} starts from nothing: give a file of weights (--weights, or in TRAINER_WEIGHTS_FOLDER), "
            "or install those of the group 'pretrained'"
        )
