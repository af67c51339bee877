"""What was measured of a model, as the files of its bundle that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from pydantic import JsonValue

from services.trainer.evaluation.doubtful_labels import doubtful_labels
from services.trainer.evaluation.evaluation_run import EvaluationRun, MeasuredOn
from services.trainer.evaluation.figures import LearningCurve
from services.trainer.evaluation.mistakes import Mistake
from services.trainer.evaluation.report.page import ReportContent, facts_of
from services.trainer.training.measured_images import MeasuredImages
from services.trainer.training.out_of_fold import OutOfFold
from services.trainer.training.packing import Provenance
from services.trainer.training.tried import Tried
from services.trainer.variants.proving import Variants
from shared.contracts.scores import Part, ScoredImages, ScoredSplit, as_table
from shared.language import gettext

DOUBTS: Final = 20
"""The number of labels that are listed as most likely wrong."""


@dataclass(frozen=True)
class Findings:
    """Everything that was measured of a model."""

    provenance: Provenance
    images: MeasuredImages
    variants: Variants
    heatmaps: Mapping[str, JsonValue]
    """How heatmaps are made, and how far they can be trusted."""
    out_of_fold: OutOfFold | None
    tried: tuple[Tried, ...]
    """What was compared before the network was chosen."""
    best_epoch: int
    history: list[dict[str, float]]
    """The metrics of each epoch."""
    mistakes: tuple[Mistake, ...]
    """The worst ones of the measured images."""
    warnings: tuple[str, ...]

    @property
    def learning_curve(self) -> LearningCurve | None:
        return self.out_of_fold.learning_curve if self.out_of_fold else None

    def document(self) -> dict[str, JsonValue]:
        """Return the content of `evaluation.json`."""
        proofs, left_out = self.variants.proofs, self.variants.left_out
        images, labelled = self.images, self.images.chosen_on.of_labels
        doubts = doubtful_labels(labelled.recipe, labelled.names, labelled.truth, labelled.scores, DOUBTS)
        return {
            "split": images.measured_on.value,
            "dataset": self.provenance.dataset,
            **images.measured.evaluation.model_dump(mode="json"),
            "operating_points": images.points.model_dump(mode="json") if images.points else None,
            "valid": images.chosen_on.evaluation.model_dump(mode="json"),
            # a promotion refuses a model with a proof in `compiled` that does not hold
            "compiled": {f"openvino_{name}": proof.model_dump(mode="json") for name, proof in proofs.items()},
            "not_offered": {f"openvino_{name}": each.model_dump(mode="json") for name, each in left_out.items()},
            "heatmaps": dict(self.heatmaps),
            "threshold_curves": {
                name: each.model_dump(mode="json") for name, each in images.chosen_on.threshold_curves.items()
            },
            "mistakes": [mistake.model_dump(mode="json") for mistake in self.mistakes],
            "doubtful_labels": [doubt.model_dump(mode="json") for doubt in doubts],
            "tried": [asdict(each) for each in self.tried],
            "learning_curve": self.learning_curve.model_dump(mode="json") if self.learning_curve else None,
            "best_epoch": self.best_epoch,
            "warnings": list(self.warnings),
        }

    def scored_images(self) -> ScoredImages:
        """Return the scores from which other thresholds can be judged later."""
        splits: dict[Part, ScoredSplit] = {}
        runs: tuple[tuple[Part, EvaluationRun], ...] = (("valid", self.images.chosen_on), ("test", self.images.test))
        for name, run in runs:
            truth, scores = as_table(run.truth), as_table(run.scores)
            splits[name] = ScoredSplit(names=tuple(run.names), groups=tuple(run.groups), truth=truth, scores=scores)
        variants = {name: as_table(scores) for name, scores in self.variants.scores.items()}
        return ScoredImages(
            labels=self.images.recipe.label_names,
            splits=splits,
            network=as_table(self.images.valid.scores) if self.out_of_fold else None,
            variants=variants,
        )

    def report_content(self, images: Mapping[str, bytes]) -> ReportContent:
        """Return what the report shows, in the present language, with the images of the mistakes by file name."""
        origin = self.provenance
        return ReportContent(
            version=origin.version,
            facts=facts_of(origin.architecture, origin.dataset, origin.created_at, origin.options),
            measured_on=self.images.measured_on.in_words,
            run=self.images.measured,
            chosen_on=MeasuredOn.OUT_OF_FOLD.in_words if self.out_of_fold else gettext("the validation split"),
            curves=self.images.chosen_on.threshold_curves,
            mistakes=self.mistakes,
            images=images,
            history=self.history,
            document=self.document(),
        )
