"""Find the reference images of a recipe among its labelled images."""

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


def divided(dataset: Dataset, image: ImageSpec) -> tuple[Dataset, tuple[Example, ...]]:
    """Return a dataset without its reference images, and these: compared with itself, an image is always perfect.

    Raises:
        DatasetError: all images are reference images.
    """
    reference = image.reference
    if reference is None:
        return dataset, ()
    found = tuple(example for example in dataset.examples if matches(example.name, reference))
    others = tuple(example for example in dataset.examples if not matches(example.name, reference))
    if not others:
        raise DatasetError(["all labelled images are reference images: there is none left to learn from"])
    return replace(dataset, examples=others), found


def read_references(examples: Sequence[Example], image: ImageSpec) -> References:
    """Read the reference images of a recipe.

    Args:
        examples: the labelled images that are references.
        image: of the recipe.

    Raises:
        DatasetError: one can't be read, or can't be a reference.
    """
    pixels = {}
    for example in examples:
        try:
            pixels[example.name] = resize(decode(as_jpeg_or_png(example.image.read_bytes())), image)
        except (OSError, UnreadableImage) as error:
            raise DatasetError([Problem(example.place, f"{example.name}: {error}", str(error))]) from error
    try:
        return References.of(pixels, image)
    except ReferencesError as error:
        raise DatasetError([str(error)]) from error


def refuse_faulty_references(dataset: Dataset, recipe: Recipe) -> None:
    """Refuse a recipe whose reference images are missing or are labelled NG.

    Raises:
        DatasetError: the error names the images.
    """
    if recipe.image.reference is None:
        return
    _, found = divided(dataset, recipe.image)
    names = {example.name for example in found}
    missing = [
        name
        for name, pattern in zip(recipe.image.reference.images, recipe.image.reference.patterns, strict=True)
        if not any(map(pattern.fullmatch, names))
    ]
    if missing:
        raise DatasetError(
            [
                f"the recipe's reference image {missing[0]} is none of the labelled images: add it to them, labelled "
                "as a good part, or correct image.reference.images"
            ]
        )
    problems = [
        Problem(example.place, f"{example.name} is a reference image, and is labelled NG: take one of a good part")
        for example in found
        if judge(recipe, [*map(float, example.labels)]).verdict is Verdict.NG
    ]
    if problems:
        raise DatasetError(problems)
