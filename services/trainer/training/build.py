"""Build a model: from labelled images to a bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import structlog
from pydantic import JsonValue

from services.trainer.architectures import lite0_patches
from services.trainer.architectures.lite0_patches import beside_labels, has_patches, patches_of
from services.trainer.architectures.registry import architecture_of
from services.trainer.datasets.image_side import original_side
from services.trainer.datasets.pixels import PixelStore, Rows, decode_images
from services.trainer.datasets.references import refuse_faulty_references
from services.trainer.datasets.split import Split, folds, split, tables
from services.trainer.datasets.versions import with_labels
from services.trainer.evaluation.costs import Scores, is_ng
from services.trainer.evaluation.doubtful_labels import DoubtfulLabel, doubtful_labels
from services.trainer.evaluation.evaluation_run import EvaluationRun, MeasuredOn
from services.trainer.evaluation.figures import Evaluation
from services.trainer.evaluation.logits import logits_of
from services.trainer.evaluation.mistakes import Mistake, with_images
from services.trainer.evaluation.report.page import ReportContent, facts_of, report_files
from services.trainer.evaluation.threshold_choice import choose_thresholds
from services.trainer.heatmaps.evaluation import HeatmapEvaluation, make_heatmaps
from services.trainer.heatmaps.held_out_layers import HeldOutRows
from services.trainer.training.checkpoint import CheckpointStore, TrainingListener
from services.trainer.training.fit import ONE_WORKER, Folds, OutOfFold, Trained, fit
from services.trainer.training.good_only import (
    FEWEST_GOOD,
    fit_good_only,
    power_beside_labels,
    power_of,
    why_good_only,
)
from services.trainer.training.image_choice import Attempt, choose_image
from services.trainer.training.learning_curve import LearningCurve
from services.trainer.training.memory import PATCHES_BESIDE_LABELS, fit_memory
from services.trainer.training.options import WrongOption
from services.trainer.training.packing import Provenance, pack
from services.trainer.training.time_limit import TimeLimit
from services.trainer.training.tried import Tried
from services.trainer.training.workers import Workers
from services.trainer.variants.proving import Reference, Variants, calibration_rows, make_variants
from shared.contracts.bundle import HISTORY, REFERENCES, SCORES, Bundle, Variant
from shared.contracts.operating_points import OperatingPoint, OperatingPointName, OperatingPoints
from shared.contracts.scores import Part, ScoredImages, ScoredSplit, as_table
from shared.contracts.training import TrainingOptions
from shared.datasets.coverage import coverage_warnings, unlearnable_warnings
from shared.datasets.good_only import ANOMALY, good_only, good_only_recipe, recipe_with_anomaly
from shared.datasets.labelled_images import Dataset, Example, OnProblem
from shared.datasets.tables import Problem, problem_lines
from shared.engines.compile import compile_for_openvino
from shared.label_names import MOST_LABELS
from shared.language import gettext
from shared.recipe import ImageSpec, Recipe
from shared.verdict import has_verdicts, scores_by, with_anomaly

DOUBTS: Final = 20
"""The number of labels that are listed as most likely wrong."""

_log = structlog.stdlib.get_logger("training")


@dataclass(frozen=True)
class ModelSpec:
    """What to build."""

    version: str
    images: Dataset
    """The labelled images, with the labels of the recipe in its order; for a recipe with ``good_by``, with those that
    people gave them, until `settled` decides what the model learns."""
    recipe: Recipe
    architecture: str
    options: TrainingOptions
    requested_at: datetime
    weights: Path | None = None
    """A file of initial weights; by default, the ones that are installed for the architecture."""
    dataset: str | None = None
    """The dataset version of the images; None if they are of a folder."""
    notes: tuple[str, ...] = ()
    """What was noticed about the images before."""

    @property
    def is_good_only(self) -> bool:
        """Return whether the model learns from images of good parts alone."""
        return self.recipe.good_by is not None

    def settled(self) -> ModelSpec:
        """Return what is built: a model of good images alone, if that is requested, or if few images are NG.

        Raises:
            WrongOption: no label says whether a part is good, or another option contradicts.
            DatasetError: images lack the labels to learn, or a good image has a label that the recipe does not know.
        """
        if self.is_good_only and self.options.good_only and self.architecture == lite0_patches.NAME:
            return self
        on_problem: OnProblem = "skip" if self.options.skip_problems else "stop"
        why = why_good_only(self.images, self.recipe, self.architecture, self.options, self.weights)
        if why is None and not self.is_good_only:
            return self
        if why is None:
            recipe = self.recipe.annotated
            note = (
                f"the model learned the labels {', '.join(recipe.label_names)}; the recipe is that of a model that "
                "learned from good images alone, as a training does while few images show an NG part"
            )
            return replace(
                self,
                images=with_labels(self.images, recipe, on_problem),
                recipe=recipe,
                notes=(*self.notes, note),
            )
        recipe = good_only_recipe(self.recipe)
        return replace(
            self,
            images=good_only(self.images, recipe, on_problem),
            recipe=recipe,
            architecture=lite0_patches.NAME,
            options=self.options.model_copy(update={"good_only": True, "variants": (Variant.FP32,)}),
            notes=(*self.notes, why),
        )


@dataclass(frozen=True)
class Built:
    """A model, and what was noticed while it was built."""

    bundle: Bundle
    evaluation: Evaluation
    measured_on: MeasuredOn
    points: OperatingPoints | None
    """The operating points of the model; None if no label can make a part NG."""
    more_images: str
    """What more images would bring, in words; empty if it is not known."""
    warnings: tuple[str, ...]
    tried: tuple[Tried, ...] = ()
    """What was tried before the network was chosen."""


@dataclass(frozen=True)
class SplitImages:
    """The images of a training, decoded and divided into splits."""

    label_names: tuple[str, ...]
    examples: tuple[Example, ...]
    """The labelled images, by row of the store."""
    store: PixelStore
    split: Split
    rows: dict[str, Rows]
    """The rows of each split: ``train``, ``valid``, ``test``."""
    problems: tuple[Problem, ...]
    """Images that were left out."""

    def run(self, recipe: Recipe, rows: Rows, scores: Scores, point: OperatingPoint | None = None) -> EvaluationRun:
        """Return the evaluation of some rows of the store."""
        examples = [self.examples[row] for row in rows]
        names, groups = [example.name for example in examples], [example.group for example in examples]
        return EvaluationRun(recipe, names, groups, with_anomaly(recipe, self.store.labels[rows]), scores, point)

    def warnings(self, trained: Trained) -> list[str]:
        """Return what may make the figures wrong: out of fold all images count, and not the size of the splits."""
        if trained.out_of_fold is None:
            return list(self.split.warnings)
        labels = [example.labels for example in self.examples]
        groups = [each.group for each in self.examples]
        return [*self.split.lasting, *coverage_warnings(self.label_names, labels, groups)]


def build(
    spec: ModelSpec,
    scratch: Path,
    listener: TrainingListener,
    checkpoints: CheckpointStore | None = None,
    workers: Workers = ONE_WORKER,
) -> Built:
    """Read and split the images, train, choose thresholds, compile, evaluate and pack.

    Args:
        spec: what to build.
        scratch: a local folder for the decoded images.
        listener: receives the progress.
        checkpoints: where a checkpoint is saved after each epoch; None to save none.
        workers: the processes that train together; this process is their chief, and the others call `assist`.

    Raises:
        DatasetError: the images can't be learned from.
        UnfitArchitecture: there is no such network, or it can't take such images.
        WeightsError: the file of weights can't be read or does not fit.
        CheckpointError: the checkpoint is of another training.
        UnequalVariant: the compiled network does not judge like the trained one.
        WrongOption: an option does not fit the recipe or the network.
    """
    limit = TimeLimit.of(spec.options.minutes) if spec.options.minutes else None
    spec = spec.settled()
    spec, images, trained = _train(spec, scratch, listener, checkpoints, workers, limit=limit)
    return _evaluate_and_pack(spec, images, trained, listener)


def assist(spec: ModelSpec, scratch: Path, listener: TrainingListener, workers: Workers) -> None:
    """Take part in a training from which the chief builds a model.

    The arguments and errors are those of `build`; the listener receives only batches.
    """
    spec = spec.settled()
    if not spec.is_good_only:  # the chief alone has something to compute
        _train(spec, scratch, listener, None, workers)


def _train(
    spec: ModelSpec,
    scratch: Path,
    listener: TrainingListener,
    checkpoints: CheckpointStore | None,
    workers: Workers,
    *,
    limit: TimeLimit | None = None,
) -> tuple[ModelSpec, SplitImages, Trained]:
    """Return what was trained, with the images that were chosen for it: in the recipe, and decoded."""
    architecture = None if spec.is_good_only else architecture_of(spec.architecture)
    if spec.options.operating_point is OperatingPointName.LEAST_COST and spec.recipe.defect_rate is None:
        raise WrongOption("option operating_point: least-cost needs a defect_rate in the recipe: give one")
    if spec.options.operating_point is OperatingPointName.ALLOWED_OVERKILL and not spec.is_good_only:
        raise WrongOption("option operating_point: allowed-overkill belongs to models of good images alone (good_only)")
    listener.on_stage("reading the images")
    images = read_images(spec, scratch)
    learned = [*images.split.train, *images.split.valid]
    divided = Folds(
        np.concatenate([images.rows["train"], images.rows["valid"]]),
        folds(learned, spec.options.seed),
        [example.group for example in learned],
    )
    if architecture is None:
        fitted = fit_good_only(
            spec.recipe.image,
            images.store,
            divided.rows,
            divided.fold_of,
            spec.options,
            listener=listener,
            weights=spec.weights,
        )
        halves = (
            HeldOutRows(divided.rows[:0]),
            HeldOutRows(divided.rows),
        )  # nothing is chosen, and all NG images measure
        logits = fitted.memory.out_of_fold[:, np.newaxis]
        out_of_fold = OutOfFold(divided.rows, logits, learning_curve=None, halves=halves)
        return spec, images, Trained(fitted.network, fitted.origin, 0, [], fitted.runs, out_of_fold, fitted.memory)

    fit_to = partial(
        fit,
        architecture,
        train=images.rows["train"],
        valid=images.rows["valid"],
        folds=divided,
        options=spec.options,
        listener=listener,
        checkpoints=checkpoints,
        weights=spec.weights,
        workers=workers,
        limit=limit,
    )
    trained = fit_to(spec.recipe, images.store)
    if limit and workers.rank.size == 1:
        spec, images, trained = with_best_image(
            spec, images, divided, trained, fit_to, scratch=scratch, limit=limit, listener=listener
        )
    return spec, images, with_memory_of_good(spec, images, divided, trained, listener)


def with_best_image(
    spec: ModelSpec,
    images: SplitImages,
    divided: Folds,
    trained: Trained,
    fit_to: Callable[[Recipe, PixelStore], Trained],
    *,
    scratch: Path,
    limit: TimeLimit,
    listener: TrainingListener,
) -> tuple[ModelSpec, SplitImages, Trained]:
    """Try images of other sizes and normalisations, and return the best of them in the recipe, decoded, and learned.

    They are not tried if the recipe's image is fixed or compared with a reference, or if epochs are requested.
    """
    recipe, first = spec.recipe, Attempt.of(spec.recipe.image, images.store, trained)
    if first is None or recipe.image.fixed or recipe.image.reference or spec.options.epochs:
        return spec, images, trained

    def attempt(image: ImageSpec) -> Attempt | None:
        folder = scratch / f"{image.height}x{image.width}-{image.normalisation}"
        folder.mkdir()
        decoded, store = decode_images(spec.images, image, folder, "skip" if spec.options.skip_problems else "stop")
        if [each.name for each in decoded.examples] != [each.name for each in images.examples]:
            return None  # a file has changed since
        return Attempt.of(image, store, fit_to(recipe.model_copy(update={"image": image}), store))

    best = choose_image(
        first,
        attempt,
        original_side=original_side(spec.images),
        groups=divided.groups,
        task=recipe.task,
        limit=limit,
        listener=listener,
    )
    chosen = replace(spec, recipe=recipe.model_copy(update={"image": best.image}))
    return chosen, replace(images, store=best.store), best.trained


def with_memory_of_good(
    spec: ModelSpec, images: SplitImages, divided: Folds, trained: Trained, listener: TrainingListener
) -> Trained:
    """Return what was trained with a memory of the good images, if the recipe wants and the network allows one.

    The network must have the pretrained features that a memory is made of; so its last layer alone is trained, and no
    reference is beside its images.
    """
    recipe, out_of_fold = spec.recipe, trained.out_of_fold
    good = ~is_ng(recipe, images.store.labels[divided.rows]) if has_verdicts(recipe) else np.zeros(0, np.bool_)
    is_possible = (
        recipe.unlike_good != "off"
        and out_of_fold is not None
        and has_patches(trained.network)
        and recipe.image.reference is None
        and len(recipe.labels) < MOST_LABELS
        and good.sum() >= FEWEST_GOOD
        and len(np.unique(divided.fold_of[good])) > 1
    )
    if not is_possible:
        return trained
    memory = fit_memory(
        patches_of(trained.network),
        images.store,
        divided.rows,
        good,
        divided.fold_of,
        options=spec.options,
        listener=listener,
        most=PATCHES_BESIDE_LABELS,
    )
    return replace(trained, memory=memory)


def read_images(spec: ModelSpec, scratch: Path) -> SplitImages:
    """Read, decode and split the images of a training."""
    recipe, options = spec.recipe, spec.options
    on_problem: OnProblem = "skip" if options.skip_problems else "stop"
    refuse_faulty_references(spec.images, recipe)
    dataset, store = decode_images(spec.images, recipe.image, scratch, on_problem)
    for line in problem_lines(dataset.problems[len(spec.images.problems) :]):
        _log.warning(f"left out: {line}")
    found = split(dataset, options.shares, options.seed)
    if spec.is_good_only:  # its label need not be in any image, and no split has to measure it
        labels = [example.labels for example in dataset.examples]
        found = replace(found, scarcity=(*found.scarcity, *unlearnable_warnings(dataset.label_names, labels)))
    for warning in found.warnings:
        if options.epochs or warning not in found.scarcity:
            _log.warning(warning)  # now, and not after hours of training
    row_of = {example.name: row for row, example in enumerate(dataset.examples)}
    rows = {
        name: np.array([row_of[example.name] for example in examples], np.int64)
        for name, examples in found.parts.items()
    }
    return SplitImages(dataset.label_names, dataset.examples, store, found, rows, dataset.problems)


def _evaluate_and_pack(spec: ModelSpec, images: SplitImages, trained: Trained, listener: TrainingListener) -> Built:
    """Choose thresholds, prove the variants on the validation split, evaluate, and pack."""
    store, rows, out_of_fold = images.store, images.rows, trained.out_of_fold
    listener.on_stage("measuring the images, and choosing thresholds")
    network, memory = trained.network, None if spec.is_good_only else trained.memory
    if memory:
        network = beside_labels(network, memory.memory, memory.usual)
    logits = {name: logits_of(network, store, rows[name]) for name in ("valid", "test")}
    chosen_on = out_of_fold or OutOfFold(rows["valid"], logits["valid"], learning_curve=None)
    recipe, points = choose_thresholds(
        spec.recipe,
        store.labels[chosen_on.rows],
        scores_by(spec.recipe, chosen_on.logits),
        [images.examples[row].group for row in chosen_on.rows],
        spec.options.operating_point,
        overkill=spec.options.overkill,
        unlike=memory.out_of_fold >= 0 if memory and spec.recipe.unlike_good == "ng" else None,
    )
    chosen_logits = chosen_on.logits
    if memory:
        recipe = recipe_with_anomaly(recipe)
        chosen_logits = np.column_stack([chosen_logits, memory.out_of_fold])
    scores = scores_by(recipe, chosen_logits)
    valid = images.run(recipe, chosen_on.rows, scores, points.of_model if points else None)
    test = images.run(recipe, rows["test"], scores_by(recipe, logits["test"]))
    proved = images.run(recipe, rows["valid"], scores_by(recipe, logits["valid"]))
    on_test = out_of_fold is None or test.is_telling
    listener.on_stage(f"making and proving the variants for inference: {', '.join(spec.options.variants)}")
    reference = Reference(recipe, store, rows["valid"], logits["valid"], proved.evaluation)
    calibration = calibration_rows(rows, spec.options.seed)
    variants = make_variants(compile_for_openvino(network), reference, spec.options.variants, calibration)
    listener.on_stage("choosing and measuring heatmaps")
    choosing, measuring = HeldOutRows(rows["train"]), HeldOutRows(np.concatenate([rows["valid"], rows["test"]]))
    if out_of_fold and out_of_fold.halves:
        choosing, measuring = out_of_fold.halves
    heatmaps = make_heatmaps(
        trained.network,
        store,
        images.examples,
        selection_images=choosing,
        evaluation_images=measuring,
        runs=[valid, test],
    )
    listener.on_stage("writing the evaluation")
    measured, measured_rows = (test, rows["test"]) if on_test else (valid, chosen_on.rows)
    mistakes, mistake_images = with_images(measured.worst_mistakes(spec.options.mistakes), store, measured_rows)
    options = {
        **spec.options.model_dump(mode="json"),
        "weights": asdict(trained.origin) if trained.origin else None,
        "computed_in": [*trained.runs],
    }
    provenance = Provenance(spec.version, spec.architecture, spec.dataset or store.digest, spec.requested_at, options)
    if spec.is_good_only and trained.memory:
        noted = [*images.split.lasting, power_of(valid.evaluation.labels[ANOMALY], trained.memory, valid.groups)]
    else:
        note = architecture_of(spec.architecture).note_on(trained.origin)
        noted = [*images.warnings(trained), *([note] if note else [])]
        if memory and recipe.anomaly:
            noted.append(power_beside_labels(valid, memory))
    noticed = [*spec.notes, *problem_lines(images.problems), *noted]
    warnings = tuple(dict.fromkeys(noticed))  # an import has noticed some of them before
    findings = Findings(
        provenance=provenance,
        measured_on=MeasuredOn.TEST if on_test else MeasuredOn.OUT_OF_FOLD,
        valid=valid,
        test=test,
        proved=proved if out_of_fold else None,
        points=points,
        variants=variants,
        heatmaps=heatmaps,
        trained=trained,
        mistakes=mistakes,
        warnings=warnings,
    )
    bundle = pack(
        network,
        compiled=variants.offered[Variant.FP32],
        recipe=recipe,
        evaluation=json.dumps(findings.document(), separators=(",", ":")).encode(),
        provenance=provenance,
        heatmaps=heatmaps.spec,
        extra={
            **variants.files,
            SCORES: findings.scored_images().model_dump_json().encode(),
            HISTORY: json.dumps(trained.history, indent=1).encode(),
            **tables(images.split, spec.recipe.label_names),
            **mistake_images,
            **({REFERENCES: store.references.as_file()} if store.references else {}),
            **(report_files(lambda: findings.report_content(mistake_images)) if spec.options.report else {}),
        },
    )
    curve = findings.learning_curve
    more = curve.in_words() if curve else ""
    return Built(bundle, measured.evaluation, findings.measured_on, points, more, warnings, trained.tried)


@dataclass(frozen=True)
class Findings:
    """Everything that was measured of a model."""

    provenance: Provenance
    measured_on: MeasuredOn
    valid: EvaluationRun
    """The images by which the thresholds were chosen."""
    test: EvaluationRun
    proved: EvaluationRun | None
    """The network on the validation split; None if that is `valid`."""
    points: OperatingPoints | None
    variants: Variants
    heatmaps: HeatmapEvaluation
    trained: Trained
    mistakes: tuple[Mistake, ...]
    """The worst ones of the measured images."""
    warnings: tuple[str, ...]

    @property
    def doubts(self) -> tuple[DoubtfulLabel, ...]:
        """Return the labels of `valid` that are most likely wrong."""
        run = self.valid.of_labels
        return doubtful_labels(run.recipe, run.names, run.truth, run.scores, DOUBTS)

    @property
    def learning_curve(self) -> LearningCurve | None:
        return self.trained.out_of_fold.learning_curve if self.trained.out_of_fold else None

    @property
    def chosen_on(self) -> str:
        """Return by which images the thresholds were chosen, in words."""
        return gettext("the validation split") if self.trained.out_of_fold is None else MeasuredOn.OUT_OF_FOLD.in_words

    @property
    def measured(self) -> EvaluationRun:
        return self.test if self.measured_on is MeasuredOn.TEST else self.valid

    def document(self) -> dict[str, JsonValue]:
        """Return the content of `evaluation.json`."""
        proofs, left_out = self.variants.proofs, self.variants.left_out
        curves = self.valid.threshold_curves
        return {
            "split": self.measured_on.value,
            "dataset": self.provenance.dataset,
            **self.measured.evaluation.model_dump(mode="json"),
            "operating_points": self.points.model_dump(mode="json") if self.points else None,
            "valid": self.valid.evaluation.model_dump(mode="json"),
            # a promotion refuses a model with a proof in `compiled` that does not hold
            "compiled": {f"openvino_{name}": proof.model_dump(mode="json") for name, proof in proofs.items()},
            "not_offered": {f"openvino_{name}": each.model_dump(mode="json") for name, each in left_out.items()},
            "heatmaps": self.heatmaps.document(),
            "threshold_curves": {name: each.model_dump(mode="json") for name, each in curves.items()},
            "mistakes": [mistake.model_dump(mode="json") for mistake in self.mistakes],
            "doubtful_labels": [doubt.model_dump(mode="json") for doubt in self.doubts],
            "tried": [asdict(each) for each in self.trained.tried],
            "learning_curve": self.learning_curve.model_dump(mode="json") if self.learning_curve else None,
            "best_epoch": self.trained.best_epoch,
            "warnings": list(self.warnings),
        }

    def scored_images(self) -> ScoredImages:
        """Return the scores from which other thresholds can be judged later."""
        splits: dict[Part, ScoredSplit] = {}
        runs: tuple[tuple[Part, EvaluationRun], ...] = (("valid", self.valid), ("test", self.test))
        for name, run in runs:
            truth, scores = as_table(run.truth), as_table(run.scores)
            splits[name] = ScoredSplit(names=tuple(run.names), groups=tuple(run.groups), truth=truth, scores=scores)
        variants = {name: as_table(scores) for name, scores in self.variants.scores.items()}
        return ScoredImages(
            labels=self.test.recipe.label_names,
            splits=splits,
            network=as_table(self.proved.scores) if self.proved else None,
            variants=variants,
        )

    def report_content(self, images: Mapping[str, bytes]) -> ReportContent:
        """Return what the report shows, in the present language, with the images of the mistakes by file name."""
        origin = self.provenance
        return ReportContent(
            version=origin.version,
            facts=facts_of(origin.architecture, origin.dataset, origin.created_at, origin.options),
            measured_on=self.measured_on.in_words,
            run=self.measured,
            chosen_on=self.chosen_on,
            curves=self.valid.threshold_curves,
            mistakes=self.mistakes,
            images=images,
            history=self.trained.history,
            document=self.document(),
        )
