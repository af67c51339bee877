"""How good a model is, on images that it never learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from services.trainer.evaluation.calibration import Bin, expected_error, reliability
from services.trainer.evaluation.intervals import f1, proportion, ranking
from shared.intervals import Interval, Weights, draws, mean, spread
from shared.messages import Verdict
from shared.recipe import Recipe
from shared.verdict import judge

Truth = NDArray[np.float32]
"""(images, labels), 0 or 1."""
Scores = NDArray[np.float32]
"""(images, labels), 0 to 1."""


class Confusion(BaseModel):
    """Images by what is true of a label and what was said."""

    model_config = ConfigDict(frozen=True)

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


class LabelEvaluation(BaseModel):
    """One label. A number is None where it is not defined: no precision where nothing was found."""

    model_config = ConfigDict(frozen=True)

    n: int = Field(description="images")
    positives: int = Field(description="of them, those that have the label")
    threshold: float
    accuracy: float
    precision: float | None
    recall: float | None
    f1: float | None
    roc_auc: float | None
    average_precision: float | None
    brier: float = Field(description="mean squared error of the score; 0 is best")
    expected_calibration_error: float = Field(description="between the score and the share of true images; 0 is best")
    reliability: tuple[Bin, ...]
    confusion: Confusion
    intervals: dict[str, Interval] = Field(description="95 %, by the name of the number")


class Evaluation(BaseModel):
    """A model on one set of images."""

    model_config = ConfigDict(frozen=True)

    images: int
    groups: int
    labels: dict[str, LabelEvaluation]
    verdict_accuracy: float
    escape_rate: float | None = Field(description="of the NG parts, those judged ok")
    overkill_rate: float | None = Field(description="of the ok parts, those judged NG")
    macro_average_precision: float
    cost: float = Field(description="of escapes and overkills, per part, at the recipe's costs and defect rate")
    intervals: dict[str, Interval]


def evaluate(recipe: Recipe, truth: Truth, scores: Scores, groups: Sequence[str]) -> Evaluation:
    """Measure a model label by label, and by its verdicts.

    Args:
        recipe: with the thresholds that judge.
        truth: what is in each image.
        scores: what the model says of each.
        groups: of each image; images of one group are resampled together.
    """
    judged = [judge(recipe, score) for score in scores]
    present = np.array([[finding.present for finding in each.findings.values()] for each in judged])
    said_ng = np.array([each.verdict is Verdict.NG for each in judged])
    samples = draws(groups)
    labels = {
        label.name: _Label(truth[:, column] > 0, present[:, column], scores[:, column], samples)
        for column, label in enumerate(recipe.labels)
    }
    found = {label.name: labels[label.name].evaluation(label.threshold) for label in recipe.labels}
    precisions = np.array([label.average_precisions for label in labels.values()])
    verdicts = _Verdicts(recipe, is_ng(recipe, truth), said_ng, samples)
    return verdicts.evaluation(found, len(set(groups)), _macro(precisions))


def is_ng(recipe: Recipe, truth: Truth) -> NDArray[np.bool_]:
    """Which images show an NG part: (images,)."""
    return np.array([judge(recipe, true).verdict is Verdict.NG for true in truth], np.bool_)


def line_weights(recipe: Recipe, ng: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What each labelled image counts, so that NG ones have the share that they have on the line.

    People label defects by the hundred and good parts by the dozen. A threshold that costs least among such images
    calls far too much NG on a line where one part in fifty is (Elkan 2001, "The Foundations of Cost-Sensitive
    Learning").

    Args:
        recipe: ``defect_rate`` is the share of NG parts; without one, each image counts 1.
        ng: (images,), which of them show an NG part.

    Returns:
        (images,), with a mean of 1.
    """
    if recipe.defect_rate is None or ng.all() or not ng.any():
        return np.ones(len(ng))
    return np.asarray(
        np.where(ng, recipe.defect_rate / ng.mean(), (1 - recipe.defect_rate) / (1 - ng.mean())), np.float64
    )


@dataclass(frozen=True)
class _Label:
    """One label of all images: whether it is there, whether it was found, and its score."""

    true: NDArray[np.bool_]
    found: NDArray[np.bool_]
    scores: Scores
    samples: Weights

    @cached_property
    def _rankings(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return ranking(self.true, self.scores, self.samples)

    @property
    def average_precisions(self) -> NDArray[np.float64]:
        """Of each sample; nan where no image of it has the label."""
        return self._rankings[1]

    def evaluation(self, threshold: float) -> LabelEvaluation:
        hits, alarms = int((self.true & self.found).sum()), int((~self.true & self.found).sum())
        misses, rest = int((self.true & ~self.found).sum()), int((~self.true & ~self.found).sum())
        both = self.true.any() and not self.true.all()
        bins = reliability(self.true, self.scores)
        intervals = {
            "accuracy": proportion(hits + rest, len(self.true)),
            "precision": proportion(hits, hits + alarms),
            "recall": proportion(hits, hits + misses),
            **self._spreads(),
        }
        return LabelEvaluation(
            n=len(self.true),
            positives=hits + misses,
            threshold=threshold,
            accuracy=(hits + rest) / len(self.true),
            precision=_share(hits, hits + alarms),
            recall=_share(hits, hits + misses),
            f1=_share(2 * hits, 2 * hits + alarms + misses),
            roc_auc=float(roc_auc_score(self.true, self.scores)) if both else None,
            average_precision=float(average_precision_score(self.true, self.scores)) if self.true.any() else None,
            brier=float(brier_score_loss(self.true, np.clip(self.scores, 0, 1), labels=[False, True])),
            expected_calibration_error=expected_error(bins),
            reliability=bins,
            confusion=Confusion(true_positive=hits, false_positive=alarms, false_negative=misses, true_negative=rest),
            intervals=_known(intervals),
        )

    def _spreads(self) -> dict[str, Interval | None]:
        area, average_precision = self._rankings
        return {
            "f1": spread(f1(self.true, self.found, self.samples)),
            "roc_auc": spread(area),
            "average_precision": spread(average_precision),
            "brier": spread(mean((self.scores - self.true) ** 2, self.samples)),
        }


@dataclass(frozen=True)
class _Verdicts:
    """Whether each image is NG, and whether it was judged so."""

    recipe: Recipe
    ng: NDArray[np.bool_]
    said_ng: NDArray[np.bool_]
    samples: Weights

    def evaluation(
        self, labels: dict[str, LabelEvaluation], groups: int, macro_interval: Interval | None
    ) -> Evaluation:
        escapes, overkills = int((self.ng & ~self.said_ng).sum()), int((~self.ng & self.said_ng).sum())
        images, bad = len(self.ng), int(self.ng.sum())
        right = images - escapes - overkills
        precisions = [found for label in labels.values() if (found := label.average_precision) is not None]
        weights = line_weights(self.recipe, self.ng)
        intervals = {
            "verdict_accuracy": proportion(right, images),
            "escape_rate": proportion(escapes, bad),
            "overkill_rate": proportion(overkills, images - bad),
            "macro_average_precision": macro_interval,
            "cost": spread(mean(self._costs, self.samples * weights)),
        }
        return Evaluation(
            images=images,
            groups=groups,
            labels=labels,
            verdict_accuracy=right / images,
            escape_rate=_share(escapes, bad),
            overkill_rate=_share(overkills, images - bad),
            macro_average_precision=float(np.mean(precisions)) if precisions else 0.0,
            cost=float((self._costs * weights).mean()),
            intervals=_known(intervals),
        )

    @property
    def _costs(self) -> NDArray[np.float64]:
        """Of each image."""
        costs = self.recipe.costs
        return np.asarray(np.where(self.ng, costs.escape, costs.overkill) * (self.ng != self.said_ng), np.float64)


def _macro(average_precisions: NDArray[np.float64]) -> Interval | None:
    """Of (labels, samples), over the labels that occur; a sample that lacks one of them is left out."""
    occur = average_precisions[~np.isnan(average_precisions).all(axis=1)]
    return spread(occur.mean(axis=0)) if len(occur) else None


def _known(intervals: dict[str, Interval | None]) -> dict[str, Interval]:
    return {name: found for name, found in intervals.items() if found}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def table_of(evaluation: Evaluation) -> str:
    """The share of right answers per label, in percent, in one row."""
    width = max(9, *(len(name) + 2 for name in evaluation.labels))
    names = "".join(f"{name:>{width}}" for name in evaluation.labels)
    shares = "".join(f"{100 * label.accuracy:>{width - 2}.1f} %" for label in evaluation.labels.values())
    return f"{'label':<9}{names}\n{'correct':<9}{shares}"
