"""Build a model: from labelled images to a bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from services.trainer.architectures.lite0_patches import beside_labels, has_patches, patches_of
from services.trainer.architectures.registry import architecture_of
from services.trainer.datasets.image_side import original_side
from services.trainer.datasets.pixels import PixelStore, decode_images
from services.trainer.datasets.split import tables
from services.trainer.evaluation.costs import is_ng
from services.trainer.evaluation.evaluation_run import EvaluationRun
from services.trainer.evaluation.figures import Evaluation
from services.trainer.evaluation.mistakes import with_images
from services.trainer.evaluation.report.page import report_files
from services.trainer.heatmaps.evaluation import make_heatmaps
from services.trainer.heatmaps.held_out_layers import HeldOutRows
from services.trainer.training.checkpoint import CheckpointStore
from services.trainer.training.findings import Findings
from services.trainer.training.fit import ONE_WORKER, fit
from services.trainer.training.good_only import FEWEST_GOOD, fit_good_only, power_beside_labels, power_of
from services.trainer.training.image_choice import Attempt, choose_image
from services.trainer.training.listener import TrainingListener
from services.trainer.training.measured_images import measure
from services.trainer.training.memory import PATCHES_BESIDE_LABELS, fit_memory
from services.trainer.training.model_spec import ModelSpec
from services.trainer.training.options import WrongOption
from services.trainer.training.out_of_fold import OutOfFold
from services.trainer.training.packing import Provenance, pack
from services.trainer.training.split_images import Folds, SplitImages, read_split_images
from services.trainer.training.time_limit import TimeLimit
from services.trainer.training.trained import Trained
from services.trainer.training.workers import Workers
from services.trainer.variants.proving import Reference, calibration_rows, make_variants
from shared.contracts.bundle import HISTORY, REFERENCES, SCORES, Bundle, Variant
from shared.contracts.operating_points import OperatingPointName
from shared.datasets.good_only import ANOMALY
from shared.datasets.tables import problem_lines
from shared.engines.compile import compile_for_openvino
from shared.label_names import MOST_LABELS
from shared.recipe import ImageSpec, Recipe
from shared.verdict import has_verdicts


@dataclass(frozen=True)
class Built:
    """A model, and what was measured of it."""

    bundle: Bundle
    findings: Findings

    @property
    def evaluation(self) -> Evaluation:
        """Return the figures of the model."""
        return self.findings.images.measured.evaluation

    @property
    def more_images(self) -> str:
        """Return what more images would bring, in words; empty if it is not known."""
        curve = self.findings.learning_curve
        return curve.in_words() if curve else ""


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
    return _measure_and_pack(spec, images, trained, listener)


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
    images = read_split_images(spec.images, spec.recipe, spec.options, scratch)
    divided = images.folds(spec.options.seed)
    if architecture is None:
        return spec, images, train_good_only(spec, images, divided, listener)
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


def train_good_only(spec: ModelSpec, images: SplitImages, divided: Folds, listener: TrainingListener) -> Trained:
    """Return a network that measures the distance to the good images, with those distances out of fold."""
    fitted = fit_good_only(
        spec.recipe.image,
        images.store,
        divided.rows,
        divided.fold_of,
        spec.options,
        listener=listener,
        weights=spec.weights,
    )
    logits = fitted.memory.out_of_fold[:, np.newaxis]
    halves = HeldOutRows(divided.rows[:0]), HeldOutRows(divided.rows)  # no heatmap is chosen; all NG images measure it
    out_of_fold = OutOfFold(divided.rows, logits, learning_curve=None, halves=halves)
    return Trained(fitted.network, fitted.origin, 0, [], fitted.runs, out_of_fold, fitted.memory)


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


def _measure_and_pack(spec: ModelSpec, images: SplitImages, trained: Trained, listener: TrainingListener) -> Built:
    """Choose thresholds, prove the variants, measure the verdicts and the heatmaps, and pack."""
    memory = None if spec.is_good_only else trained.memory
    network = beside_labels(trained.network, memory.memory, memory.usual) if memory else trained.network
    listener.on_stage("measuring the images, and choosing thresholds")
    measured = measure(
        spec.recipe,
        images,
        trained.out_of_fold,
        spec.options,
        network=network,
        anomaly=memory.out_of_fold if memory else None,
    )
    listener.on_stage(f"making and proving the variants for inference: {', '.join(spec.options.variants)}")
    reference = Reference(
        measured.recipe, images.store, images.rows["valid"], measured.valid_logits, measured.valid.evaluation
    )
    calibration = calibration_rows(images.rows, spec.options.seed)
    variants = make_variants(compile_for_openvino(network), reference, spec.options.variants, calibration)
    listener.on_stage("choosing and measuring heatmaps")
    choosing, measuring = (trained.out_of_fold and trained.out_of_fold.halves) or images.halves
    heatmaps = make_heatmaps(
        trained.network,
        images.store,
        images.examples,
        selection_images=choosing,
        evaluation_images=measuring,
        runs=[measured.chosen_on, measured.test],
    )
    listener.on_stage("writing the evaluation")
    worst = measured.measured.worst_mistakes(spec.options.mistakes)
    mistakes, mistake_images = with_images(worst, images.store, measured.measured_rows)
    options = {
        **spec.options.model_dump(mode="json"),
        "weights": asdict(trained.origin) if trained.origin else None,
        "computed_in": [*trained.runs],
    }
    dataset = spec.dataset or images.store.digest
    findings = Findings(
        provenance=Provenance(spec.version, spec.architecture, dataset, spec.requested_at, options),
        images=measured,
        variants=variants,
        heatmaps=heatmaps.document(),
        out_of_fold=trained.out_of_fold,
        tried=trained.tried,
        best_epoch=trained.best_epoch,
        history=trained.history,
        mistakes=mistakes,
        warnings=noticed(spec, images, trained, measured.chosen_on),
    )
    references = images.store.references
    bundle = pack(
        network,
        compiled=variants.offered[Variant.FP32],
        recipe=measured.recipe,
        evaluation=json.dumps(findings.document(), separators=(",", ":")).encode(),
        provenance=findings.provenance,
        heatmaps=heatmaps.spec,
        extra={
            **variants.files,
            SCORES: findings.scored_images().model_dump_json().encode(),
            HISTORY: json.dumps(trained.history, indent=1).encode(),
            **tables(images.split, spec.recipe.label_names),
            **mistake_images,
            **({REFERENCES: references.as_file()} if references else {}),
            **(report_files(lambda: findings.report_content(mistake_images)) if spec.options.report else {}),
        },
    )
    return Built(bundle, findings)


def noticed(spec: ModelSpec, images: SplitImages, trained: Trained, run: EvaluationRun) -> tuple[str, ...]:
    """Return what was noticed about the images, the weights and what the model is able to detect; each only once."""
    notes = [*spec.notes, *problem_lines(images.problems)]
    if spec.is_good_only and trained.memory:
        notes += images.split.lasting
        notes.append(power_of(run.evaluation.labels[ANOMALY], trained.memory, run.groups))
        return tuple(dict.fromkeys(notes))
    notes += images.warnings(out_of_fold=trained.out_of_fold is not None)
    if note := architecture_of(spec.architecture).note_on(trained.origin):
        notes.append(note)
    if trained.memory and run.recipe.anomaly:
        notes.append(power_beside_labels(run, trained.memory))
    return tuple(dict.fromkeys(notes))
