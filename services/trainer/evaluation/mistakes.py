"""Find the mistakes of a model that cost most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from services.trainer.datasets.pixels import PixelStore, Rows
from services.trainer.evaluation.costs import Scores, Truth, label_costs
from shared.imaging.codec import encode
from shared.messages import Verdict
from shared.recipe import Recipe
from shared.verdict import judge

LONGEST_SIDE: Final = 256
"""Longest side of a stored image, in pixels."""
JPEG_QUALITY: Final = 80
"""Quality of a stored image, 0 to 100."""

Kind = Literal["escape", "overkill", "label"]


class Mistake(BaseModel):
    """An image with a label or a verdict that is wrong."""

    model_config = ConfigDict(frozen=True)

    name: str
    group: str
    kind: Kind = Field(description="label: the verdict is right, a label is not")
    cost: float = Field(description="cost of the verdict, by the recipe")
    wrong: tuple[str, ...] = Field(description="the labels that are wrong")
    truth: tuple[str, ...] = Field(description="the labels that the image has")
    scores: dict[str, float]
    image: str | None = Field(None, description="the file of the bundle that shows the image")
    index: int = Field(exclude=True, description="index of the image among the measured images")


def worst_mistakes(
    recipe: Recipe, names: Sequence[str], groups: Sequence[str], truth: Truth, scores: Scores, *, limit: int
) -> tuple[Mistake, ...]:
    """Return the costliest mistakes, ordered by the cost of the verdict and then by the cost of the wrong labels.

    Args:
        recipe: the recipe, with its thresholds and costs.
        names: the names of the images.
        groups: the groups of the images.
        truth: the labels of each image.
        scores: the model's scores of each image.
        limit: the largest number of mistakes to return.
    """
    costs = np.array([label_costs(label, recipe.costs) for label in recipe.labels])
    kind_costs: dict[Kind, float] = {"escape": recipe.costs.escape, "overkill": recipe.costs.overkill, "label": 0.0}
    mistakes, given = [], recipe.without_anomaly.label_names
    for index, (name, group, true, score) in enumerate(zip(names, groups, truth, scores, strict=True)):
        judged, right = judge(recipe, score), judge(recipe, true)
        is_wrong = [
            judged.findings[label.name].present != right.findings[label.name].present
            and (label is not recipe.anomaly or judged.findings[label.name].fault)
            for label in recipe.labels
        ]
        if not any(is_wrong):
            continue
        kind: Kind = "escape" if right.verdict is Verdict.NG else "overkill"
        mistake = Mistake(
            name=name,
            group=group,
            kind=kind if right.verdict is not judged.verdict else "label",
            cost=kind_costs[kind if right.verdict is not judged.verdict else "label"],
            wrong=tuple(each for each, wrong in zip(recipe.label_names, is_wrong, strict=True) if wrong),
            truth=tuple(each for each, value in zip(given, true, strict=False) if value),
            scores={each: round(float(value), 4) for each, value in zip(recipe.label_names, score, strict=True)},
            index=index,
        )
        label_cost = float((np.where(true > 0, costs[:, 0], costs[:, 1]) * np.abs(score - true) * is_wrong).sum())
        mistakes.append((-mistake.cost, -label_cost, index, mistake))
    return tuple(mistake for *_, mistake in sorted(mistakes, key=lambda entry: entry[:3])[:limit])


def with_images(
    mistakes: Sequence[Mistake], store: PixelStore, rows: Rows
) -> tuple[tuple[Mistake, ...], dict[str, bytes]]:
    """Return the mistakes with the names of their image files, and these files: the network's input as small JPEGs.

    Args:
        mistakes: mistakes on the images in ``rows``.
        store: the images.
        rows: the rows of the images that were measured.
    """
    named, images = [], {}
    for number, mistake in enumerate(mistakes, start=1):
        name = f"mistake_{number:02d}.jpg"
        named.append(mistake.model_copy(update={"image": name}))
        pixels = np.asarray(store.pixels[rows[mistake.index]][..., : store.image.channels])
        image = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.shape[2] == 3 else pixels
        scale = LONGEST_SIDE / max(image.shape[:2])
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        images[name] = encode(np.asarray(image, np.uint8), "jpeg", JPEG_QUALITY)
    return tuple(named), images
