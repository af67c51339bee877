"""Separate the reference images of a recipe from a dataset, and check them.

A reference image shows a good part; other images are compared with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shared.datasets.labelled_images import Dataset, Example
from shared.datasets.tables import DatasetError, Problem
from shared.imaging.codec import UnreadableImage, as_jpeg_or_png, decode
from shared.imaging.preprocessing import resize
from shared.imaging.references import References, ReferencesError, matches
from shared.messages import Verdict
from shared.recipe import ImageSpec, Recipe
from shared.verdict import judge


def split_references(dataset: Dataset, image: ImageSpec) -> tuple[Dataset, tuple[Example, ...]]:
    """Split a dataset into the images to learn from and the reference images.

    Reference images are not learned from: compared with itself, an image has no fault.

    Raises:
        DatasetError: all images are reference images.
    """
    reference = image.reference
    if reference is None:
        return dataset, ()
    references = tuple(example for example in dataset.examples if matches(example.name, reference))
    others = tuple(example for example in dataset.examples if not matches(example.name, reference))
    if not others:
        raise DatasetError(["all labelled images are reference images: there is none left to learn from"])
    return replace(dataset, examples=others), references


def read_references(examples: Sequence[Example], image: ImageSpec) -> References:
    """Read the reference images of a recipe.

    Args:
        examples: the labelled images that are references.
        image: the recipe's section ``image``.

    Raises:
        DatasetError: an image can't be read; or there are no reference images, too many, or one of one brightness.
    """
    pixels = {}
    for example in examples:
        try:
            pixels[example.name] = resize(decode(as_jpeg_or_png(example.image.read_bytes())), image)
        except (OSError, UnreadableImage) as error:
            raise DatasetError(
                [Problem(example.place, f"{example.name} can't be used: {error}", str(error))]
            ) from error
    try:
        return References.of(pixels, image)
    except ReferencesError as error:
        raise DatasetError([str(error)]) from error


def refuse_faulty_references(dataset: Dataset, recipe: Recipe) -> None:
    """Check that the reference images of a recipe are in the dataset and are not labelled NG.

    Raises:
        DatasetError: a reference image is missing (the error names the first one) or is labelled NG (the error names
            each), or all images are reference images.
    """
    if recipe.image.reference is None:
        return
    _, references = split_references(dataset, recipe.image)
    names = {example.name for example in references}
    missing = [
        name
        for name, pattern in zip(recipe.image.reference.images, recipe.image.reference.patterns, strict=True)
        if not any(map(pattern.fullmatch, names))
    ]
    if missing:
        raise DatasetError(
            [
                f"no labelled image matches {missing[0]}, which image.reference.images of the recipe names: add such "
                "an image, labelled as a good part, or correct the recipe"
            ]
        )
    problems = [
        Problem(
            example.place, f"{example.name} is a reference image, and is labelled NG: choose an image of a good part"
        )
        for example in references
        if judge(recipe, [*map(float, example.labels)]).verdict is Verdict.NG
    ]
    if problems:
        raise DatasetError(problems)
