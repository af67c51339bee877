"""The stored figures of an evaluation."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from services.trainer.evaluation.calibration import Bin
from shared.datasets.coverage import FEW
from shared.intervals import Interval


class Confusion(BaseModel):
    """Numbers of images by whether they have a label and whether it was found."""

    model_config = ConfigDict(frozen=True)

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


class LabelEvaluation(BaseModel):
    """The figures of one label. A figure that is not defined is None: no precision if nothing was found."""

    model_config = ConfigDict(frozen=True)

    n: int = Field(description="number of images")
    positives: int = Field(description="number of images that have the label")
    threshold: float
    accuracy: float | None = Field(description="None if all images have the label, or no image has it")
    precision: float | None
    recall: float | None
    f1: float | None
    roc_auc: float | None
    average_precision: float | None
    brier: float = Field(description="mean squared error of the score; 0 is best")
    expected_calibration_error: float = Field(
        description="mean distance between the score and the share of images with the label; 0 is best"
    )
    reliability: tuple[Bin, ...]
    confusion: Confusion
    intervals: dict[str, Interval] = Field(description="95 % intervals, by the name of the figure")

    @property
    def is_measured(self) -> bool:
        """Return whether some images have the label and others lack it."""
        return 0 < self.positives < self.n

    @property
    def is_telling(self) -> bool:
        """Return whether enough images have the label, and lack it, for its figures to be written."""
        return min(self.positives, self.n - self.positives) >= FEW


class Evaluation(BaseModel):
    """The figures of a model on one set of images."""

    model_config = ConfigDict(frozen=True)

    images: int
    groups: int
    ng: int = Field(description="of the images, those that show an NG part")
    labels: dict[str, LabelEvaluation]
    anomaly: str | None = Field(
        None,
        description="which of `labels` says that an image is unlike anything good; as positives it has the NG images",
    )
    verdict_accuracy: float = Field(
        description="share of right verdicts; where no label can make a part NG, of images whose labels are all right"
    )
    escape_rate: float | None = Field(description="share of the NG parts that were called ok")
    overkill_rate: float | None = Field(
        description="share of the ok parts that were called NG; None without a label that makes NG"
    )
    macro_average_precision: float | None = Field(description="None if no label can be measured")
    macro_labels: tuple[str, ...] = Field(
        (), description="the labels of `macro_average_precision`: those that some images have and others lack"
    )
    cost: float = Field(description="cost of escapes and overkills per part, at the recipe's costs and defect rate")
    intervals: dict[str, Interval]

    @property
    def rates(self) -> dict[str, tuple[float | None, int]]:
        """Return the shares of verdicts, by the name of the figure, each with the number of images that it is of."""
        return {
            "verdict_accuracy": (self.verdict_accuracy, self.images),
            "escape_rate": (self.escape_rate, self.ng),
            "overkill_rate": (self.overkill_rate, self.images - self.ng),
        }

    @property
    def mean_is_telling(self) -> bool:
        """Return whether enough images have each label of the mean average precision, and lack it."""
        return all(self.labels[name].is_telling for name in self.macro_labels)


class LabelCurve(BaseModel):
    """The average precision of one label, out of fold, by the number of images that were learned from."""

    model_config = ConfigDict(frozen=True)

    average_precision: tuple[float, ...] = Field(description="average precision, by number of images")
    at_twice: float = Field(description="expected with twice as many images")


class LearningCurve(BaseModel):
    """The learning curves of all labels, and the average precision that is expected with twice as many images."""

    model_config = ConfigDict(frozen=True)

    images: tuple[int, ...] = Field(description="numbers of images that were learned from, as means over the folds")
    labels: dict[str, LabelCurve] = Field(description="curves of the labels with enough images")

    @property
    def now(self) -> float:
        """The mean average precision of these labels with all images."""
        return float(np.mean([curve.average_precision[-1] for curve in self.labels.values()]))

    @property
    def at_twice(self) -> float:
        """The mean average precision that is expected with twice as many images."""
        return float(np.mean([curve.at_twice for curve in self.labels.values()]))

    def in_words(self) -> str:
        """Return a sentence on the effect of twice as many images, and on the label that would gain most."""
        gains = {name: curve.at_twice - curve.average_precision[-1] for name, curve in self.labels.items()}
        most = max(gains, key=lambda name: gains[name])
        return (
            f"with twice as many images, the mean average precision would be about {self.at_twice:.3f} instead of "
            f"{self.now:.3f}; {most} would gain most ({gains[most]:+.3f})"
        )
