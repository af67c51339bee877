"""Draft a recipe from the labels of a dataset, to be corrected by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import numpy as np
from pydantic import ValidationError

from shared.datasets.labelled_images import Dataset
from shared.imaging.codec import UnreadableImage, as_jpeg_or_png, size_of
from shared.recipe import (
    NAMED_COLOURS,
    RESERVED_KEYS,
    Augmentation,
    ImageSpec,
    Label,
    LabelRole,
    Recipe,
    RecipeError,
    Task,
)
from shared.validation import first_problem

QUALITY_NAMES: Final = ("good", "ok", "normal", "intact")
"""Names of a label that makes a part ok."""
SHARE_OF_GOOD: Final = 0.02
"""Share of the good images from which on a label counts as an attribute, not as a defect."""
SAMPLE_SIZE: Final = 20
"""Number of images whose size is read."""
SIDES: Final = (32, 320)
"""Smallest and largest side of the network's images, in pixels."""
ENLARGED_SIDE: Final = 224
"""The side in pixels to which smaller images are enlarged."""
DIRECTIONS: Final = (
    *(
        "left",
        "right",
        "top",
        "bottom",
        "upper",
        "lower",
        "upside",
        "up",
        "down",
        "front",
        "back",
        "mirror",
        "mirrored",
    ),
    *("flip", "flipped", "rotated", "rotation", "orientation", "angle", "horizontal", "vertical", "clockwise"),
)
"""Words in the name of a label that may no longer be true of a flipped image."""
COLOURS: Final = {
    LabelRole.QUALITY: ("green", "cyan"),
    LabelRole.DEFECT: ("red", "orange", "magenta", "yellow", "purple", "blue"),
    LabelRole.ATTRIBUTE: ("blue", "cyan", "grey", "purple"),
}
"""Names of the colours that labels of a role get first."""
KEYS: Final = [key for key in "abcdefghijklmnopqrstuvwxyz0123456789" if key not in RESERVED_KEYS]


def draft_recipe(name: str, dataset: Dataset, task: Task, side: int) -> Recipe:
    """Draft a recipe for the labels of a dataset.

    A label called good (or ok, normal, intact) is the quality. A label that good images sometimes have is an attribute.
    Any other is a defect. If no label is the quality, exclusive labels are attributes, others defects. Images are
    flipped in training unless the name of a label is about a direction.

    Args:
        name: name of the product; characters that a recipe's name can't have are replaced.
        dataset: the labelled images.
        task: whether the labels exclude each other.
        side: height and width of the network's images, in pixels.

    Raises:
        RecipeError: there are too few labels for the task.
    """
    roles = _roles(dataset, task)
    recipe_name = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[:64] or "product"
    flips = not any(word in DIRECTIONS for label in dataset.label_names for word in re.split(r"[^a-z]+", label.lower()))
    try:
        return Recipe(
            name=recipe_name,
            task=task,
            description="Drafted from a table of labels: check the roles, keys and colours.",
            labels=_labels(dataset.label_names, roles),
            image=ImageSpec(height=side, width=side),
            augmentation=Augmentation(
                brightness=True, shift=0.03, noise=True, flip_horizontal=flips, flip_vertical=flips
            ),
        )
    except ValidationError as error:
        why = first_problem(error)
        raise RecipeError(f"no recipe can be drafted from the table: {why}, or ask for another task") from error


def _labels(names: Sequence[str], roles: Sequence[LabelRole]) -> tuple[Label, ...]:
    # for each label a letter of its name if one is free, else any; the labels after those have no key
    taken: list[str | None] = []
    for name in names:
        free = (key for key in [*name.lower(), *KEYS] if key in KEYS and key not in taken)
        taken.append(next(free, None))
    columns = zip(names, taken, _colours(roles), roles, strict=True)
    return tuple(Label(name=label, key=key, colour=colour, role=role) for label, key, colour, role in columns)


def _roles(dataset: Dataset, task: Task) -> list[LabelRole]:
    truth = np.array([example.labels for example in dataset.examples])
    quality = next((index for index, name in enumerate(dataset.label_names) if name.lower() in QUALITY_NAMES), None)
    if quality is None:
        return [LabelRole.ATTRIBUTE if task is Task.EXCLUSIVE else LabelRole.DEFECT] * len(dataset.label_names)
    good = truth[truth[:, quality]]
    shared = good.mean(axis=0) >= SHARE_OF_GOOD if len(good) else np.zeros(truth.shape[1], bool)
    return [
        LabelRole.QUALITY if index == quality else LabelRole.ATTRIBUTE if shared[index] else LabelRole.DEFECT
        for index in range(len(dataset.label_names))
    ]


def _colours(roles: Sequence[LabelRole]) -> list[tuple[int, int, int]]:
    """Return a colour for each label: green for what is good, warm colours for defects."""
    more = (tuple(int(part) for part in row) for row in np.random.default_rng(0).integers(0, 256, (len(roles), 3)))
    others = [*NAMED_COLOURS.values(), *((red, green, blue) for red, green, blue in more)]
    taken: list[tuple[int, int, int]] = []
    for role in roles:
        wanted = [*(NAMED_COLOURS[name] for name in COLOURS[role]), *others]
        taken.append(next(colour for colour in wanted if colour not in taken))
    return taken


def side_of(dataset: Dataset) -> int:
    """Return the side of the network's images: the median of the shorter sides of some images, within `SIDES`.

    Smaller images are enlarged to the size with which pretrained weights were trained, but at most to twice their own
    size. Images that can't be read are left out here; they are reported when all images are decoded.
    """
    sides: list[int] = []
    for example in dataset.examples:
        if len(sides) == SAMPLE_SIZE:
            break
        with suppress(OSError, UnreadableImage):
            sides.append(min(size_of(as_jpeg_or_png(example.image.read_bytes()))))
    median_side = float(np.median(sides or [min(SIDES)]))
    return int(np.clip(max(median_side, min(ENLARGED_SIDE, 2 * median_side)), *SIDES))
