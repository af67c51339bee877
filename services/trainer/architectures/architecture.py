"""Describe a network that can be trained, with the settings that suit it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from services.trainer.architectures.pretraining import WeightsError, WeightsOrigin
from services.trainer.errors import TrainerError
from shared.recipe import ImageSpec


class UnfitArchitecture(TrainerError):
    """An architecture that does not exist, or that can't take such images; the message says what to do."""


@dataclass(frozen=True)
class Architecture:
    """A network, and the settings of its training unless the options have others."""

    name: str
    summary: str
    builder: Callable[[ImageSpec, int], keras.Model]
    smallest: int
    """The smallest height and width, in pixels."""
    learning_rate: float
    """Highest learning rate if all layers start from random weights."""
    weight_decay: float
    tuning_rate: float | None = None
    """Highest learning rate of fine-tuning, after the last layer was fitted."""
    loader: Callable[[keras.Model, Path | None], WeightsOrigin | None] | None = None
    """Loads the weights of a file into a network, or without a file the ones that are installed."""
    fast_in_bfloat16: bool = False
    """Whether it was measured to train faster in bfloat16 on a processor with AVX512_BF16. Depthwise convolutions and
    max pooling are slower."""

    takes_reference: bool = False
    """Whether it compares an image with the reference image behind its channels."""

    def build(self, image: ImageSpec, labels: int) -> keras.Model:
        """Return the network, not yet trained.

        Its input is (images, height, width, channels) float32 from `shared.imaging.preprocessing.normalise`, its output
        (images, labels) float32 logits.

        Raises:
            UnfitArchitecture: the images are too small, or are compared with a reference, and the network can't.
        """
        if image.reference and not self.takes_reference:
            raise UnfitArchitecture(
                f"{self.name} can't compare images with a reference image: use lite0-depths, or remove "
                "image.reference from the recipe"
            )
        if min(image.height, image.width) < self.smallest:
            raise UnfitArchitecture(
                f"{self.name} needs images of at least {self.smallest} x {self.smallest}, and the recipe's are "
                f"{image.height} x {image.width}: make them larger in the recipe, or use another architecture"
            )
        return self.builder(image, labels)

    def load_weights(self, network: keras.Model, file: Path | None = None) -> WeightsOrigin | None:
        """Load pretrained weights into all layers of a network but the last.

        Args:
            network: made by `build`.
            file: a file of weights; by default, the installed ones.

        Returns:
            Where the weights come from; None if the network has no pretrained weights.

        Raises:
            WeightsError: the file can't be read or does not fit this network, or the file of a package is not the
                released one.
        """
        if self.loader is not None:
            return self.loader(network, file)
        if file is not None:
            raise WeightsError(
                f"{self.name} starts from random weights: give no file of weights, or use another architecture"
            )
        return None

    def note_on(self, origin: WeightsOrigin | None) -> str | None:
        """Return a warning if pretrained weights are missing; None if they are there, or none were expected."""
        if self.loader is None or origin is not None:
            return None
        return (
            f"{self.name} starts from random weights: give a file of weights (--weights, or in "
            "TRAINER_WEIGHTS_FOLDER), or install the dependency group 'pretrained'"
        )
