"""Choose by the data how large the network's images are, and how they are normalised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.trainer.datasets.pixels import PixelStore
from services.trainer.training.heads import is_better
from services.trainer.training.listener import TrainingListener
from services.trainer.training.out_of_fold import OutOfFold
from services.trainer.training.time_limit import TimeLimit
from services.trainer.training.trained import Trained
from services.trainer.training.tried import Tried, image_in_words
from shared.recipe import ImageSpec, Task

SIDES: Final = (448, 320, 224)
"""Shorter sides of images that are tried, in pixels, by the gain that is expected: small defects need large images."""
ENLARGED: Final = 2.0
"""The largest side that is tried, relative to that of the images themselves."""
LARGEST_SIDE: Final = 1024
"""Of an image in a recipe, in pixels."""
SAME_SIDE: Final = 1.2
"""Sides that differ by less than this factor are not tried one after the other."""


@dataclass(frozen=True)
class Attempt:
    """A network for one size and normalisation of images."""

    image: ImageSpec
    store: PixelStore
    trained: Trained
    out_of_fold: OutOfFold
    """That of ``trained``."""

    @classmethod
    def of(cls, image: ImageSpec, store: PixelStore, trained: Trained) -> Attempt | None:
        """Return a network for an image; None if it has no scores out of fold, because all its layers were trained."""
        return cls(image, store, trained, trained.out_of_fold) if trained.out_of_fold else None

    @property
    def seconds(self) -> float:
        """Return the time that it took."""
        return sum(each.seconds or 0.0 for each in self.trained.tried)


def choose_image(
    first: Attempt,
    attempt: Callable[[ImageSpec], Attempt | None],
    *,
    original_side: int,
    groups: Sequence[str],
    task: Task,
    limit: TimeLimit,
    listener: TrainingListener,
) -> Attempt:
    """Try other images than those of the recipe while there is time; return the best network with all that was tried.

    Another image is taken only where it is better than the one before by more than the standard error of the
    difference.

    Args:
        first: the network for the image of the recipe.
        attempt: fits a network for another image; None if the images can't be made so.
        original_side: the shorter side of the images themselves, in pixels.
        groups: the group of each image that was scored out of fold.
        task: the task of the recipe.
        limit: the time that is given.
        listener: receives the progress.
    """
    best, tried = first, list(first.trained.tried)
    truth = first.store.labels[first.out_of_fold.rows]
    sizes = other_sizes(first.image, original_side)
    for number in range(len(sizes) + 1):
        option = sizes[number] if number < len(sizes) else other_normalisation(best.image)
        seconds = first.seconds * option.height * option.width / (first.image.height * first.image.width)
        name, minutes = image_in_words(option), max(1, round(seconds / 60))
        if not limit.after(seconds).allows(seconds):
            tried.append(Tried(image=name, remark=f"not tried: it needs about {minutes} min, and the time is over"))
            continue
        listener.on_stage(
            f"trying images of {option.height} x {option.width} pixels, normalised by {option.normalisation}, for "
            f"about {minutes} min"
        )
        found = attempt(option)
        if found is None:
            continue
        tried += found.trained.tried
        if is_better(found.out_of_fold.logits, best.out_of_fold.logits, truth, groups, task):
            best = found
    chosen = next(each for each in best.trained.tried if each.chosen)
    rows = tuple(replace(each, chosen=(each.image, each.head) == (chosen.image, chosen.head)) for each in tried)
    return replace(best, trained=replace(best.trained, tried=rows))


def other_sizes(image: ImageSpec, original_side: int) -> list[ImageSpec]:
    """Return an image in other sizes, those first of which the most gain is expected.

    Args:
        image: of the recipe.
        original_side: the shorter side of the images themselves, in pixels.
    """
    shorter, found = min(image.height, image.width), []
    for side in SIDES:
        factor = side / shorter
        size = {"height": round(image.height * factor), "width": round(image.width * factor)}
        is_other = not 1 / SAME_SIDE < factor < SAME_SIDE
        if is_other and side <= ENLARGED * original_side and max(size.values()) <= LARGEST_SIDE:
            found.append(image.model_copy(update=size))
    return found


def other_normalisation(image: ImageSpec) -> ImageSpec:
    """Return an image that keeps light and colour of the whole where they were removed, or the other way round."""
    return image.model_copy(update={"normalisation": "imagenet" if image.normalisation == "image" else "image"})
