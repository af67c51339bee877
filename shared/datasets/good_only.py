"""Reduce the labels of images to the one label of a good-only model: whether the part is not good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from shared.datasets.labelled_images import Dataset, Example
from shared.datasets.mask_files import mask_name
from shared.datasets.tables import DatasetError
from shared.label_names import same_label
from shared.recipe import NAMED_COLOURS, Explanation, Label, LabelRole, Recipe, Task
from shared.verdict import possible_faults

ANOMALY: Final = "anomaly"
"""The label of a good-only model: the image is unlike the good images."""


def good_only_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe of a good-only model, whose images have the labels of the given recipe."""
    if recipe.good_by is not None:
        return recipe
    good_by = {
        label.name: recipe.task is Task.MULTI_LABEL and label.is_fault_if_absent
        for label, can_be_fault in zip(recipe.labels, possible_faults(recipe), strict=True)
        if can_be_fault
    }
    label = Label(name=ANOMALY, key="a", colour=NAMED_COLOURS["red"], role=LabelRole.DEFECT)
    return recipe.model_copy(
        update={"task": Task.MULTI_LABEL, "labels": (label,), "good_by": good_by, "explanation": Explanation()}
    )


def good_only(dataset: Dataset, recipe: Recipe) -> Dataset:
    """Return labelled images with the one label of a recipe that has ``good_by``.

    Raises:
        DatasetError: as `not_good` raises it.
    """
    labels = not_good(dataset.label_names, [example.labels for example in dataset.examples], recipe)
    examples = tuple(
        replace(example, labels=(value,), masks=_of_all_defects(example))
        for example, value in zip(dataset.examples, labels, strict=True)
    )
    return replace(dataset, label_names=recipe.label_names, examples=examples, task=Task.MULTI_LABEL)


def not_good(label_names: Sequence[str], labels: Iterable[Sequence[bool]], recipe: Recipe) -> list[bool]:
    """Return for each image whether it shows a part that is not good.

    Such an image has the recipe's own label, or its value of a label in ``good_by`` is not the value there, which good
    parts have.

    Args:
        label_names: the labels of the images.
        labels: their values, by image.
        recipe: a recipe with ``good_by``.

    Raises:
        DatasetError: the images have none of these labels.
    """
    (own,) = recipe.label_names
    good_values = {**(recipe.good_by or {}), own: False}
    given_names = ((same_label(name, label_names), value) for name, value in good_values.items())
    columns = {label_names.index(name): value for name, value in given_names if name is not None}
    if not columns:
        raise DatasetError(
            [
                f"the images have none of the labels {', '.join(good_values)}, which say whether a part is good; "
                f"their labels are {', '.join(label_names)}: add a label {own} that is true for images of NG parts"
            ]
        )
    return [any(row[column] != value for column, value in columns.items()) for row in labels]


def _of_all_defects(example: Example) -> tuple[tuple[str, Path], ...]:
    """Return the mask of all defects of an image; if the only mask shows one label, it is the mask of all defects."""
    together = mask_name(example.name)
    if any(name == together for name, _ in example.masks):
        return example.masks
    return tuple((together, file) for _, file in example.masks) if len(example.masks) == 1 else ()
