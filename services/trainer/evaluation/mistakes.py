"""The images that a model got wrong, those that cost most first: what people look at before they trust it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from services.trainer.datasets.labelled_images import Example
from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.evaluation.evaluate import Scores, Truth
from services.trainer.evaluation.thresholds import costs_of
from shared.imaging.codec import Image, encode
from shared.messages import Verdict
from shared.recipe import Recipe
from shared.verdict import judge

SIDE: Final = 256
"""Of a kept image, in pixels, at most."""
QUALITY: Final = 80
"""Of its JPEG."""


class Mistake(BaseModel):
    """An image of which something was said that is not so."""

    model_config = ConfigDict(frozen=True)

    name: str
    group: str
    kind: Literal["escape", "overkill", "label"] = Field(description="label: the verdict is right, a label is not")
    cost: float = Field(description="of the verdict, by the recipe")
    wrong: tuple[str, ...] = Field(description="labels")
    truth: tuple[str, ...] = Field(description="the labels that the image has")
    scores: dict[str, float]
    image: str | None = Field(None, description="the bundle's file that shows it")
    place: int = Field(exclude=True, description="among the images that were measured")


def worst_mistakes(
    recipe: Recipe, examples: Sequence[Example], truth: Truth, scores: Scores, most: int
) -> tuple[Mistake, ...]:
    """At most ``most`` images: by what the verdict costs, then by what its wrong labels cost.

    Args:
        recipe: with the thresholds that judge, and the costs.
        examples: the images.
        truth: what is in each.
        scores: what the model says of each.
        most: how many.
    """
    costs = np.array([costs_of(label, recipe.costs) for label in recipe.labels])
    found = []
    for place, (example, true, score) in enumerate(zip(examples, truth, scores, strict=True)):
        mistake = _mistake(recipe, example, true, score, place)
        if mistake:
            wrong = np.isin(recipe.label_names, mistake.wrong)
            label_cost = float((np.where(true > 0, costs[:, 0], costs[:, 1]) * np.abs(score - true) * wrong).sum())
            found.append((-mistake.cost, -label_cost, place, mistake))
    return tuple(mistake for *_, mistake in sorted(found, key=lambda each: each[:3])[:most])


def _mistake(recipe: Recipe, example: Example, true: Truth, score: Scores, place: int) -> Mistake | None:
    said, right = judge(recipe, score), judge(recipe, true)
    names = recipe.label_names
    wrong = tuple(name for name in names if said.findings[name].present != right.findings[name].present)
    if not wrong:
        return None
    escaped, overkilled = right.verdict is Verdict.NG, said.verdict is Verdict.NG
    if escaped == overkilled:
        kind: Literal["escape", "overkill", "label"] = "label"
    else:
        kind = "escape" if escaped else "overkill"
    return Mistake(
        name=example.name,
        group=example.group,
        kind=kind,
        cost={"escape": recipe.costs.escape, "overkill": recipe.costs.overkill, "label": 0.0}[kind],
        wrong=wrong,
        truth=tuple(name for name, value in zip(names, true, strict=True) if value),
        scores={name: round(float(value), 4) for name, value in zip(names, score, strict=True)},
        place=place,
    )


def keep_images(
    mistakes: Sequence[Mistake], store: PixelStore, rows: Rows
) -> tuple[tuple[Mistake, ...], dict[str, bytes]]:
    """The mistakes with the names of their images, and the images, as the network saw them, as small JPEGs.

    Args:
        mistakes: of the images in ``rows``.
        store: all images.
        rows: those that were measured.
    """
    names = [f"mistake_{number:02d}.jpg" for number in range(1, len(mistakes) + 1)]
    named = tuple(mistake.model_copy(update={"image": name}) for mistake, name in zip(mistakes, names, strict=True))
    shots = [_shot(np.asarray(store.pixels[rows[mistake.place]])) for mistake in mistakes]
    return named, dict(zip(names, shots, strict=True))


def _shot(pixels: Image) -> bytes:
    image = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.shape[2] == 3 else pixels
    scale = SIDE / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return encode(np.asarray(image, np.uint8), "jpeg", QUALITY)
