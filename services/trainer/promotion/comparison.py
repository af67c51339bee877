"""Stored comparisons of two models on the same images: ``models/<recipe>/comparisons/<baseline>.<candidate>.json``.

`services.trainer.measuring.compare` makes a comparison. Models and test splits never change, so it is made once.
"""

from __future__ import annotations

import json

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.trainer.evaluation.figures import Evaluation
from shared.contracts.bundle import comparison_key
from shared.intervals import Interval
from shared.messages import ComparisonRequested
from shared.storage.port import ObjectNotFound, ObjectStore


class Side(BaseModel):
    """One of the two models."""

    model_config = ConfigDict(frozen=True)

    version: str
    learned_from: int | None = Field(
        description="images among these that it was trained or validated on, which flatter its figures; null: not known"
    )
    evaluation: Evaluation


class Comparison(BaseModel):
    """Two models, measured on the same images by the same recipe."""

    model_config = ConfigDict(frozen=True)

    recipe: str
    dataset: str = Field(description="the dataset version of the images")
    images: int
    groups: int
    known_groups: int = Field(description="groups among these with other images that the candidate was trained on")
    ng: int = Field(description="images among these that show an NG part")
    baseline: Side
    candidate: Side = Field(description="the images are its test split, and the roles and costs those of its recipe")
    deciding: tuple[str, ...] = Field(description="the labels that make a part ok or NG")
    differences: tuple[str, ...] = Field(
        description="differences of the recipes in what makes a part NG and in the costs"
    )
    extra_cost: float = Field(description="cost per image of the candidate minus that of the baseline")
    extra_cost_interval: Interval | None = Field(description="95 % interval of this difference on the same images")
    compared_at: AwareDatetime


def find_comparison(store: ObjectStore, recipe: str, baseline: str, candidate: str) -> Comparison | None:
    """Return the stored comparison; None if there is none, if it was refused, or if it can't be read."""
    try:
        return Comparison.model_validate_json(store.get(comparison_key(recipe, baseline, candidate)))
    except (ObjectNotFound, ValueError):
        return None


def store_comparison(store: ObjectStore, comparison: Comparison) -> None:
    """Store a comparison."""
    key = comparison_key(comparison.recipe, comparison.baseline.version, comparison.candidate.version)
    store.put(key, comparison.model_dump_json().encode(), "application/json")


def store_refusal(store: ObjectStore, request: ComparisonRequested, reason: str) -> None:
    """Store the reason why two models can't be compared, under the key of their comparison."""
    refusal = {"reason": reason, "at": request.at.isoformat()}
    key = comparison_key(request.recipe, request.baseline, request.candidate)
    store.put(key, json.dumps(refusal).encode(), "application/json")
