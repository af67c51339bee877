"""The effect of thresholds: escapes and overkill of the whole recipe, counted image by image.

Labels overlap: a part with two faults escapes only if both are missed. So the effect is counted on the scores of each
image with all thresholds at once, and never added up from single labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from services.dashboard.statistics.rates import Rate, rate
from shared.contracts.scores import ScoredSplit, as_array
from shared.recipe import Recipe
from shared.validation import marked
from shared.verdict import ng_images, present_labels

BINS: Final = 50
"""Bars of a histogram of scores."""
MOST_SHOWN: Final = 8
"""Images of each kind of change."""
NO_SCORES: Final = marked(
    "this model stores no scores of single images, so the effect of its thresholds is unknown until they are saved and "
    "measured"
)


class ScoreHistogram(BaseModel):
    """How many images have a score in each of `BINS` equal parts of 0 to 1."""

    positives: list[int] = Field(description="images that have the label")
    negatives: list[int] = Field(description="images without the label")


class LabelEffect(BaseModel):
    """The effect of the threshold of one label."""

    label: str
    threshold: float
    before: float = Field(description="the present threshold of the model")
    positives: int | None = Field(None, description="images that have the label; null: unknown")
    misses: int | None = Field(None, description="images that have the label, in which it would not be found")
    negatives: int | None = None
    false_alarms: int | None = Field(None, description="images without the label, in which it would be found")
    scores: ScoreHistogram | None = Field(None, description="the scores of the label; null: unknown")


class ScoredImage(BaseModel):
    """An image of the effect."""

    place: int = Field(description="its number, from 0: `…/images/{place}` is its image")
    name: str


class ChangedImages(BaseModel):
    """Images whose verdict the thresholds change in one way."""

    count: int
    first: list[ScoredImage] = Field(description=f"the first {MOST_SHOWN} of them")


class ChangedVerdicts(BaseModel):
    """The images whose verdict is another one than with the present thresholds."""

    new_escapes: ChangedImages = Field(description="NG parts that were found NG, and would be found ok")
    new_overkill: ChangedImages = Field(description="ok parts that were found ok, and would be found NG")
    found_escapes: ChangedImages = Field(description="NG parts that were found ok, and would be found NG")
    avoided_overkill: ChangedImages = Field(description="ok parts that were found NG, and would be found ok")


class Effect(BaseModel):
    """The effect of a threshold set on images that the model did not learn from."""

    known: bool = Field(description="false: escapes and overkill are unknown; `note` says why")
    note: str = Field("", description="why the effect is unknown")
    images: int | None
    ng: int | None = Field(None, description="of the images, those that show an NG part; null: unknown")
    escapes: Rate | None = Field(description="share of the NG parts that are found ok")
    overkill: Rate | None = Field(description="share of the ok parts that are found NG")
    cost: float | None = Field(description="per part, with the costs and the defect rate of the recipe")
    labels: list[LabelEffect]
    changed: ChangedVerdicts | None = Field(None, description="images on another side than now; null: unknown")


def effect_of(recipe: Recipe, scored: ScoredSplit, thresholds: Mapping[str, float]) -> Effect:
    """Return the effect of other thresholds on scored images.

    Args:
        recipe: the recipe with the present thresholds.
        scored: the images, with a column for each label in the recipe's order.
        thresholds: the thresholds that change, by label.
    """
    truth, scores = as_array(scored.truth) > 0.5, as_array(scored.scores)
    moved = recipe.with_thresholds(thresholds)
    found = present_labels(moved, scores)
    ng, called_ng = ng_images(recipe, truth), ng_images(recipe, found)
    was_ng = ng_images(recipe, present_labels(recipe, scores))
    escapes, overkill = _share(~called_ng[ng]), _share(called_ng[~ng])
    ng_share = recipe.defect_rate if recipe.defect_rate is not None else float(ng.mean())
    cost_of_ng = escapes.value * recipe.costs.escape if escapes else 0.0
    cost_of_ok = overkill.value * recipe.costs.overkill if overkill else 0.0
    return Effect(
        known=True,
        images=len(ng),
        ng=int(ng.sum()),
        escapes=escapes,
        overkill=overkill,
        cost=ng_share * cost_of_ng + (1 - ng_share) * cost_of_ok,
        labels=[
            LabelEffect(
                label=label.name,
                threshold=moved.labels[column].threshold,
                before=label.threshold,
                positives=int(truth[:, column].sum()),
                misses=int((truth[:, column] & ~found[:, column]).sum()),
                negatives=int((~truth[:, column]).sum()),
                false_alarms=int((~truth[:, column] & found[:, column]).sum()),
                scores=ScoreHistogram(
                    positives=_histogram(scores[truth[:, column], column]),
                    negatives=_histogram(scores[~truth[:, column], column]),
                ),
            )
            for column, label in enumerate(recipe.labels)
        ],
        changed=ChangedVerdicts(
            new_escapes=_changed(scored.names, ng & was_ng & ~called_ng),
            new_overkill=_changed(scored.names, ~ng & ~was_ng & called_ng),
            found_escapes=_changed(scored.names, ng & ~was_ng & called_ng),
            avoided_overkill=_changed(scored.names, ~ng & was_ng & ~called_ng),
        ),
    )


def unknown_effect(recipe: Recipe, thresholds: Mapping[str, float]) -> Effect:
    """Return the thresholds without their effect, for a model that stores no scores."""
    return Effect(
        known=False,
        note=NO_SCORES,
        images=None,
        escapes=None,
        overkill=None,
        cost=None,
        labels=[
            LabelEffect(label=label.name, threshold=thresholds.get(label.name, label.threshold), before=label.threshold)
            for label in recipe.labels
        ],
    )


def _changed(names: Sequence[str], chosen: NDArray[np.bool_]) -> ChangedImages:
    places = [int(place) for place in np.flatnonzero(chosen)]
    return ChangedImages(
        count=len(places), first=[ScoredImage(place=place, name=names[place]) for place in places[:MOST_SHOWN]]
    )


def _histogram(scores: NDArray[np.float32]) -> list[int]:
    return [int(count) for count in np.histogram(scores, bins=BINS, range=(0, 1))[0]]


def _share(wrong: NDArray[np.bool_]) -> Rate | None:
    return rate(int(wrong.sum()), len(wrong))
