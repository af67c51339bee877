"""What a training tried before it chose its network: a row of the table in report and evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from shared.recipe import ImageSpec


@dataclass(frozen=True)
class Tried:
    """One way to make a network, with its figures out of fold."""

    head: str = ""
    """What the last layer sees."""
    image: str = ""
    """The size of the images, and how they are normalised."""
    log_loss: float | None = None
    """In nats; smaller is better. None if it was not tried."""
    average_precision: float | None = None
    """The mean over the labels; None if it was not tried, or no label can be measured."""
    seconds: float | None = None
    """Of the features, in the first row of an image, and of the fits; None if it was not tried."""
    chosen: bool = False
    remark: str = ""
    """Why it was not tried; empty if it was."""


def image_in_words(image: ImageSpec) -> str:
    """Return the size and the normalisation of an image."""
    return f"{image.height} x {image.width} pixels, normalisation {image.normalisation}"
