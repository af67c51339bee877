"""How good a model is, on pictures that it never learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from services.trainer.intervals import Interval, Weights, draws, f1, proportion, ranking, spread
from shared.messages import Verdict
from shared.recipe import Recipe
from shared.verdict import judge

Truth = NDArray[np.float32]
"""(pictures, labels), 0 or 1."""
Scores = NDArray[np.float32]
"""(pictures, labels), 0 to 1."""


class Confusion(BaseModel):
    """Pictures by what is true of a label and what was said."""

    model_config = ConfigDict(frozen=True)

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


class LabelEvaluation(BaseModel):
    """One label. A number is None where it is not defined: no precision where nothing was found."""

    model_config = ConfigDict(frozen=True)

    n: int = Field(description="pictures")
    positives: int = Field(description="of them, those that have the label")
    threshold: float
    accuracy: float
    precision: float | None
    recall: float | None
    f1: float | None
    roc_auc: float | None
    average_precision: float | None
    brier: float = Field(description="mean squared error of the score; 0 is best")
    confusion: Confusion
    intervals: dict[str, Interval] = Field(description="95 %, by the name of the number")


class Evaluation(BaseModel):
    """A model on one set of pictures."""

    model_config = ConfigDict(frozen=True)

    pictures: int
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
        truth: what is in each picture.
        scores: what the model says of each.
        groups: of each picture; pictures of one group are resampled together.
    """
    judged = [judge(recipe, score) for score in scores]
    present = np.array([[finding.present for finding in each.findings.values()] for each in judged])
    said_ng = np.array([each.verdict is Verdict.NG for each in judged])
    samples = draws(groups)
    labels = {
        label.name: _Label(truth[:, column] > 0, present[:, column], scores[:, column]).evaluation(
            label.threshold, samples
        )
        for column, label in enumerate(recipe.labels)
    }
    return _whole(recipe, labels, is_ng(recipe, truth), said_ng, groups)


def is_ng(recipe: Recipe, truth: Truth) -> NDArray[np.bool_]:
    """Which pictures show an NG part: (pictures,)."""
    return np.array([judge(recipe, true).verdict is Verdict.NG for true in truth], np.bool_)


def line_weights(recipe: Recipe, ng: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What each labelled picture counts, so that NG ones have the share that they have on the line.

    People label defects by the hundred and good parts by the dozen. A threshold that costs least among such pictures
    calls far too much NG on a line where one part in fifty is (Elkan 2001, "The Foundations of Cost-Sensitive
    Learning").

    Args:
        recipe: ``defect_rate`` is the share of NG parts; without one, each picture counts 1.
        ng: (pictures,), which of them show an NG part.

    Returns:
        (pictures,), with a mean of 1.
    """
    if recipe.defect_rate is None or ng.all() or not ng.any():
        return np.ones(len(ng))
    return np.asarray(
        np.where(ng, recipe.defect_rate / ng.mean(), (1 - recipe.defect_rate) / (1 - ng.mean())), np.float64
    )


@dataclass(frozen=True)
class _Label:
    """One label of all pictures: whether it is there, whether it was found, and its score."""

    true: NDArray[np.bool_]
    found: NDArray[np.bool_]
    scores: Scores

    def evaluation(self, threshold: float, samples: Weights) -> LabelEvaluation:
        hits, alarms = int((self.true & self.found).sum()), int((~self.true & self.found).sum())
        misses, rest = int((self.true & ~self.found).sum()), int((~self.true & ~self.found).sum())
        both = self.true.any() and not self.true.all()
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
            confusion=Confusion(true_positive=hits, false_positive=alarms, false_negative=misses, true_negative=rest),
            intervals={
                name: found
                for name, found in {
                    "accuracy": proportion(hits + rest, len(self.true)),
                    "precision": proportion(hits, hits + alarms),
                    "recall": proportion(hits, hits + misses),
                    **self._spreads(samples),
                }.items()
                if found
            },
        )

    def _spreads(self, samples: Weights) -> dict[str, Interval | None]:
        area, average_precision = ranking(self.true, self.scores, samples)
        return {
            "f1": spread(f1(self.true, self.found, samples)),
            "roc_auc": spread(area),
            "average_precision": spread(average_precision),
        }


def _whole(
    recipe: Recipe,
    labels: dict[str, LabelEvaluation],
    ng: NDArray[np.bool_],
    said_ng: NDArray[np.bool_],
    groups: Sequence[str],
) -> Evaluation:
    right, escapes, overkills = (int(which.sum()) for which in (ng == said_ng, ng & ~said_ng, ~ng & said_ng))
    bad, fine = int(ng.sum()), int((~ng).sum())
    precisions = [found for label in labels.values() if (found := label.average_precision) is not None]
    intervals = {
        "verdict_accuracy": proportion(right, len(ng)),
        "escape_rate": proportion(escapes, bad),
        "overkill_rate": proportion(overkills, fine),
    }
    return Evaluation(
        pictures=len(ng),
        groups=len(set(groups)),
        labels=labels,
        verdict_accuracy=right / len(ng),
        escape_rate=_share(escapes, bad),
        overkill_rate=_share(overkills, fine),
        macro_average_precision=float(np.mean(precisions)) if precisions else 0.0,
        cost=_cost(recipe, ng, said_ng),
        intervals={name: found for name, found in intervals.items() if found},
    )


def _cost(recipe: Recipe, ng: NDArray[np.bool_], said_ng: NDArray[np.bool_]) -> float:
    """Of a part on the line, on average."""
    costs = np.where(ng, recipe.costs.escape, recipe.costs.overkill) * line_weights(recipe, ng)
    return float(costs[ng != said_ng].sum() / len(ng))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def table_of(evaluation: Evaluation) -> str:
    """The share of right answers per label, in percent, in one row."""
    width = max(9, *(len(name) + 2 for name in evaluation.labels))
    names = "".join(f"{name:>{width}}" for name in evaluation.labels)
    shares = "".join(f"{100 * label.accuracy:>{width - 2}.1f} %" for label in evaluation.labels.values())
    return f"{'label':<9}{names}\n{'correct':<9}{shares}"
