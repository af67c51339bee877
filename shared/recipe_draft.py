"""Draft a recipe from the labels of a product, to be corrected by hand."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterator, Sequence
from itertools import chain, count
from statistics import median
from typing import Final

from pydantic import ValidationError

from shared.label_names import MOST_LABELS
from shared.recipe import (
    NAMED_COLOURS,
    RESERVED_KEYS,
    Augmentation,
    Colour,
    ImageSpec,
    Label,
    LabelRole,
    Recipe,
    RecipeError,
    Task,
)
from shared.validation import first_problem

QUALITY_NAMES: Final = ("good", "ok", "okay", "normal", "intact", "gut", "in ordnung", "i.o.", "io")
"""Names of a label that makes a part ok, in lower case."""
SHARE_OF_GOOD: Final = 0.02
"""Share of the good images from which on a label counts as an attribute, not as a defect."""
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
    *("links", "rechts", "oben", "unten", "vorn", "vorne", "hinten", "gedreht", "gespiegelt", "verdreht"),
)
"""Words in the name of a label that may no longer be true of a flipped image."""
COLOURS: Final = {
    LabelRole.QUALITY: ("white", "cyan"),
    LabelRole.DEFECT: ("red", "orange", "magenta", "yellow", "purple", "blue"),
    LabelRole.ATTRIBUTE: ("blue", "cyan", "grey", "purple"),
}
"""Names of the colours that labels of a role get first."""
COLOURS_OF_CLASSES: Final = ("green", "blue", "red", "orange", "magenta", "cyan", "yellow", "purple")
"""Names of the colours that classes of a product without good and bad get first, such as kinds of fruit."""
GOLDEN_RATIO: Final = 0.618
"""Hues that differ by this share of the colour circle are far from each other, however many there are."""
KEYS: Final = [key for key in "abcdefghijklmnopqrstuvwxyz0123456789" if key not in RESERVED_KEYS]


def draft_recipe(
    name: str,
    label_names: Sequence[str],
    rows: Sequence[Sequence[bool]],
    task: Task,
    *,
    side: int,
    description: str = "",
) -> Recipe:
    """Draft a recipe for the labels of a product.

    A label called good (or ok, normal, intact) is the quality. A label that good images sometimes have is an attribute.
    Any other is a defect. If no label is the quality, exclusive labels are attributes, others defects. Images are
    flipped in training unless the name of a label is about a direction.

    Args:
        name: name of the product; characters that a recipe's name can't have are replaced.
        label_names: the names of the labels.
        rows: the labels of each image, in the same order; none if there are no images yet.
        task: whether the labels exclude each other.
        side: height and width of the network's images, in pixels.
        description: of the recipe.

    Raises:
        RecipeError: there are too few or too many labels for the task, or one can't have its name.
    """
    if len(label_names) > MOST_LABELS:
        raise RecipeError(
            f"no recipe can be drafted from {len(label_names)} labels: a recipe has at most {MOST_LABELS}, so leave "
            "some out"
        )
    roles = _roles(label_names, rows, task)
    flips = not any(word in DIRECTIONS for label in label_names for word in re.split(r"[^a-z]+", label.lower()))
    try:
        return Recipe(
            name=re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[:64] or "product",
            task=task,
            description=description,
            labels=_labels(label_names, roles),
            image=ImageSpec(height=side, width=side),
            augmentation=Augmentation(
                brightness=True, shift=0.03, noise=True, flip_horizontal=flips, flip_vertical=flips
            ),
        )
    except ValidationError as error:
        why = first_problem(error)
        raise RecipeError(f"no recipe can be drafted from these labels: {why}") from error


def side_for(shorter_sides: Sequence[int]) -> int:
    """Return the side of the network's images: the median of the shorter sides of some images, within `SIDES`.

    Smaller images are enlarged to the size with which pretrained weights were trained, but at most to twice their own
    size.
    """
    middle = median(shorter_sides or [min(SIDES)])
    return int(min(max(middle, min(ENLARGED_SIDE, 2 * middle), min(SIDES)), max(SIDES)))


def _labels(names: Sequence[str], roles: Sequence[LabelRole]) -> tuple[Label, ...]:
    # for each label a letter of its name if one is free, else any; the labels after those have no key
    taken: list[str | None] = []
    for name in names:
        free = (key for key in [*name.lower(), *KEYS] if key in KEYS and key not in taken)
        taken.append(next(free, None))
    columns = zip(names, taken, _colours(roles), roles, strict=True)
    return tuple(Label(name=label, key=key, colour=colour, role=role) for label, key, colour, role in columns)


def _roles(label_names: Sequence[str], rows: Sequence[Sequence[bool]], task: Task) -> list[LabelRole]:
    quality = next((index for index, name in enumerate(label_names) if name.lower() in QUALITY_NAMES), None)
    if quality is None:
        return [LabelRole.ATTRIBUTE if task is Task.EXCLUSIVE else LabelRole.DEFECT] * len(label_names)
    good = [row for row in rows if row[quality]]
    shared = [bool(good) and sum(column) / len(good) >= SHARE_OF_GOOD for column in zip(*good, strict=True)]
    return [
        LabelRole.QUALITY if index == quality else LabelRole.ATTRIBUTE if good and shared[index] else LabelRole.DEFECT
        for index in range(len(label_names))
    ]


def _colours(roles: Sequence[LabelRole]) -> list[Colour]:
    """Return a colour for each label: white for what is good, warm colours for defects, their own for classes."""
    are_classes = set(roles) == {LabelRole.ATTRIBUTE}
    taken: list[Colour] = []
    for role in roles:
        first = COLOURS_OF_CLASSES if are_classes else COLOURS[role]
        usual = [NAMED_COLOURS[name] for name in (*first, *NAMED_COLOURS)]
        taken.append(next(colour for colour in chain(usual, _further_colours()) if colour not in taken))
    return taken


def _further_colours() -> Iterator[Colour]:
    """Yield colours of the colour circle; they repeat after some 500."""
    for step in count():
        red, green, blue = colorsys.hsv_to_rgb(step * GOLDEN_RATIO % 1, 0.75, 0.85)
        yield round(255 * red), round(255 * green), round(255 * blue)
