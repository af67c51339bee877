"""Reduce the labels of images to the one label of a good-only model: whether the part is not good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from shared.datasets.labelled_images import Dataset, Example, OnProblem
from shared.datasets.mask_files import mask_name
from shared.datasets.tables import DatasetError, Problem
from shared.label_names import same_label
from shared.recipe import NAMED_COLOURS, GoodBy, Label, LabelRole, Recipe, Task
from shared.verdict import possible_faults

ANOMALY: Final = "anomaly"
"""The label of a good-only model: the image is unlike the good images."""


def good_only_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe of a good-only model, whose images have the labels of the given recipe."""
    if recipe.good_by is not None:
        return recipe
    label = Label(name=ANOMALY, key="a", colour=NAMED_COLOURS["red"], role=LabelRole.DEFECT)
    good_by = GoodBy(task=recipe.task, labels=recipe.labels)
    return recipe.model_copy(update={"task": Task.MULTI_LABEL, "labels": (label,), "good_by": good_by})


def recipe_with_anomaly(recipe: Recipe) -> Recipe:
    """Return a recipe with the label of the role anomaly after its others; its threshold is where its logit is 0."""
    name = ANOMALY if same_label(ANOMALY, recipe.label_names) is None else f"{ANOMALY} beside the labels"
    taken = {label.colour for label in recipe.labels}
    greys = ((grey, grey, grey) for grey in range(1, 256))
    colours = (NAMED_COLOURS["magenta"], NAMED_COLOURS["purple"], *NAMED_COLOURS.values(), *greys)
    colour = next(each for each in colours if each not in taken)
    label = Label(name=name, colour=colour, role=LabelRole.ANOMALY)
    return recipe.model_copy(update={"labels": (*recipe.labels, label)})


def good_values(recipe: Recipe) -> dict[str, bool]:
    """Return the values that a good part has in the labels that decide, by a recipe with ``good_by``."""
    annotated = recipe.annotated
    return {
        label.name: annotated.task is Task.MULTI_LABEL and label.is_fault_if_absent
        for label, can_be_fault in zip(annotated.labels, possible_faults(annotated), strict=True)
        if can_be_fault
    }


def good_only(dataset: Dataset, recipe: Recipe, on_problem: OnProblem = "stop") -> Dataset:
    """Return labelled images with the one label of a recipe that has ``good_by``.

    An image of a part that seems good, but has a label that the recipe does not know, is a problem: the label may be
    that of a defect.

    Raises:
        DatasetError: as `not_good`, or there is such an image and ``on_problem`` is ``stop``, or no other is left.
    """
    labels = not_good(dataset.label_names, [example.labels for example in dataset.examples], recipe)
    known = {*recipe.label_names, *recipe.annotated.label_names}
    columns = [column for column, name in enumerate(dataset.label_names) if same_label(name, known) is None]
    examples, problems = [], []
    for example, value in zip(dataset.examples, labels, strict=True):
        unknown = [*example.unknown, *(dataset.label_names[column] for column in columns if example.labels[column])]
        if unknown and not value:
            text = (
                f"{example.name} has the label {', '.join(unknown)}, and the recipe does not say whether a good part "
                "may have it: add it to the labels of the recipe, as a defect or an attribute"
            )
            problems.append(Problem(example.place, text, "unknown label"))
            continue
        masks = _of_all_defects(example)
        examples.append(replace(example, labels=(value,), masks=masks, given_labels=example.labels))
    if problems and (on_problem == "stop" or not examples):
        raise DatasetError(problems)
    return replace(
        dataset,
        label_names=recipe.label_names,
        examples=tuple(examples),
        task=Task.MULTI_LABEL,
        problems=(*dataset.problems, *problems),
        given_names=dataset.label_names,
    )


def not_good(label_names: Sequence[str], labels: Iterable[Sequence[bool]], recipe: Recipe) -> list[bool]:
    """Return for each image whether it shows a part that is not good.

    These are images that have the label of the recipe itself, and images that are NG by the labels of ``good_by``.

    Args:
        label_names: the labels of the images.
        labels: their values, by image.
        recipe: a recipe with ``good_by``.

    Raises:
        DatasetError: the images have none of these labels.
    """
    (own,) = recipe.label_names
    wanted = {**good_values(recipe), own: False}
    found = ((same_label(name, label_names), value) for name, value in wanted.items())
    columns = {label_names.index(name): value for name, value in found if name is not None}
    if not columns:
        raise DatasetError(
            [
                f"the images have none of the labels {', '.join(wanted)}, which say whether a part is good; "
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
