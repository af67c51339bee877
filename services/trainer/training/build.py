"""The whole way of a model: labelled images in, a bundle out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import structlog
from pydantic import JsonValue

from services.trainer.architectures import architecture_of
from services.trainer.datasets.labelled_images import OnProblem, read_dataset
from services.trainer.datasets.pixels import PixelStore, Rows, decode_images
from services.trainer.datasets.split import Split, split, tables
from services.trainer.datasets.tables import Problem
from services.trainer.evaluation.evaluate import Evaluation
from services.trainer.evaluation.evaluation_run import Examined
from services.trainer.evaluation.heatmaps import heatmap_scores
from services.trainer.evaluation.mistakes import Mistake, keep_images
from services.trainer.evaluation.operating_points import OperatingPoints
from services.trainer.evaluation.report.page import Subject, facts_of, render
from services.trainer.evaluation.thresholds import choose_thresholds
from services.trainer.evaluation.validation import logits_of
from services.trainer.training.checkpoint import CheckpointStore
from services.trainer.training.checkpoint_callback import Listener, Trained
from services.trainer.training.fit import ONE_WORKER, fit
from services.trainer.training.packing import Provenance, pack
from services.trainer.training.workers import Workers
from services.trainer.variants.proving import Reference, Variants, calibration_rows, make_variants
from shared.contracts.bundle import HISTORY, REPORT, SCORES, Bundle, Variant
from shared.contracts.scores import Part, ScoredImages, ScoredSplit, as_table
from shared.contracts.training import TrainingOptions
from shared.engines.compile import compile_for_openvino
from shared.explain.scores import HeatmapScores
from shared.recipe import Recipe, Task
from shared.verdict import scores_of

_log = structlog.stdlib.get_logger("training")


@dataclass(frozen=True)
class Order:
    """What to build."""

    version: str
    folder: Path
    """Of the labelled images."""
    recipe: Recipe
    architecture: str
    options: TrainingOptions
    ordered_at: datetime
    weights: Path | None = None
    """A file to start from; by default, what is installed for the architecture."""
    dataset: str | None = None
    """The dataset version that the folder holds; None for a folder that is none."""
    notes: tuple[str, ...] = ()
    """What was noticed of the images before."""


@dataclass(frozen=True)
class Built:
    """A model, and what was noticed on the way."""

    bundle: Bundle
    evaluation: Evaluation
    """On the test part."""
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Material:
    """What a training works on."""

    store: PixelStore
    parts: Split
    rows: dict[str, Rows]
    """By part."""
    problems: tuple[Problem, ...]
    """What was passed over."""


def build(
    order: Order,
    scratch: Path,
    listener: Listener,
    checkpoints: CheckpointStore | None = None,
    workers: Workers = ONE_WORKER,
) -> Built:
    """Read, split, train, choose thresholds, compile, evaluate and pack.

    Args:
        order: what to build.
        scratch: a folder of this machine for the decoded images.
        listener: is told how far the training is.
        checkpoints: where it is kept after each epoch, and taken up again; None to keep nothing.
        workers: who train together; this process is their chief, and the others `assist`.

    Raises:
        DatasetError: the images can't be learned from.
        UnfitArchitecture: there is no such network, or not for such images.
        WeightsError: the file of weights is not what it should be.
        CheckpointError: the checkpoint is of another training.
        UnequalVariant: the compiled network judges otherwise than the trained one.
    """
    return _finish(order, *_train(order, scratch, listener, checkpoints, workers), listener)


def assist(order: Order, scratch: Path, listener: Listener, workers: Workers) -> None:
    """Take part in a training from which the chief of the workers builds a model.

    Args and errors are those of `build`; the listener is told of batches alone.
    """
    _train(order, scratch, listener, None, workers)


def _train(
    order: Order, scratch: Path, listener: Listener, checkpoints: CheckpointStore | None, workers: Workers
) -> tuple[_Material, Trained]:
    architecture = architecture_of(order.architecture)
    listener.on_stage("reading the images")
    material = _gather(order, scratch)
    trained = fit(
        architecture,
        order.recipe,
        material.store,
        train=material.rows["train"],
        valid=material.rows["valid"],
        options=order.options,
        listener=listener,
        checkpoints=checkpoints,
        weights=order.weights,
        workers=workers,
    )
    return material, trained


def _gather(order: Order, scratch: Path) -> _Material:
    recipe, options = order.recipe, order.options
    on_problem: OnProblem = "skip" if options.skip_problems else "stop"
    exclusive = recipe.task is Task.EXCLUSIVE
    dataset = read_dataset(order.folder, recipe.label_names, exclusive=exclusive, on_problem=on_problem)
    dataset, store = decode_images(dataset, recipe.image, scratch, on_problem)
    parts = split(dataset, options.shares, options.seed)
    for warning in parts.warnings:
        _log.warning(warning)  # now, and not after hours of training
    number = {example.name: row for row, example in enumerate(dataset.examples)}
    rows = {
        part: np.array([number[example.name] for example in examples], np.int64)
        for part, examples in parts.parts.items()
    }
    return _Material(store, parts, rows, dataset.problems)


def _finish(order: Order, material: _Material, trained: Trained, listener: Listener) -> Built:
    """Thresholds and the compiled variants' proof on the validation part, the evaluation on the test part."""
    store, rows, task = material.store, material.rows, order.recipe.task
    listener.on_stage("judging the images held back, and choosing thresholds")
    logits = {part: logits_of(trained.network, store, rows[part]) for part in ("valid", "test")}
    scores = {part: scores_of(found, task) for part, found in logits.items()}
    recipe = choose_thresholds(order.recipe, store.labels[rows["valid"]], scores["valid"])
    valid, test = (
        Examined(recipe, material.parts.parts[part], store, rows[part], scores[part]) for part in ("valid", "test")
    )
    reference = Reference(recipe, store, rows["valid"], logits["valid"], valid.evaluation)
    calibrating = calibration_rows(rows, order.options.seed)
    listener.on_stage(f"making and proving the variants of inference: {', '.join(order.options.variants)}")
    variants = make_variants(compile_for_openvino(trained.network), reference, order.options.variants, calibrating)
    listener.on_stage("measuring heatmaps")
    heatmaps = heatmap_scores(trained.network, recipe, order.folder, [*valid.examples, *test.examples])
    provenance = _provenance(order, store, trained)
    listener.on_stage("writing the evaluation")
    findings = _Findings(provenance, valid, test, variants, heatmaps, trained, _warnings(order, material, trained))
    bundle = pack(
        trained.network,
        compiled=variants.offered[Variant.FP32],
        recipe=recipe,
        evaluation=json.dumps(findings.document, separators=(",", ":")).encode(),
        provenance=provenance,
        extra={
            **variants.files,
            SCORES: _scored(valid, test, variants).model_dump_json().encode(),
            HISTORY: json.dumps(trained.history, indent=1).encode(),
            **tables(material.parts, recipe.label_names),
            **findings.mistakes[1],
            **({REPORT: findings.report().encode()} if order.options.report else {}),
        },
    )
    return Built(bundle, test.evaluation, findings.warnings)


@dataclass(frozen=True)
class _Findings:
    """All that is known of how good a model is."""

    provenance: Provenance
    valid: Examined
    test: Examined
    variants: Variants
    heatmaps: HeatmapScores | None
    trained: Trained
    warnings: tuple[str, ...]

    @cached_property
    def mistakes(self) -> tuple[tuple[Mistake, ...], dict[str, bytes]]:
        """The worst of the test part, and their images."""
        worst = self.test.worst_mistakes(int(str(self.provenance.options["mistakes"])))
        return keep_images(worst, self.test.store, self.test.rows)

    @cached_property
    def points(self) -> dict[str, OperatingPoints]:
        """Of the validation part, which chose the thresholds."""
        return self.valid.operating_points()

    @cached_property
    def document(self) -> dict[str, JsonValue]:
        """What `evaluation.json` says."""
        return {
            "part": "test",
            "dataset": self.provenance.dataset,
            **self.test.evaluation.model_dump(mode="json"),
            "valid": self.valid.evaluation.model_dump(mode="json"),
            **_proofs(self.variants),
            "heatmaps": self.heatmaps.model_dump(mode="json") if self.heatmaps else None,
            "operating_points": {name: points.model_dump(mode="json") for name, points in self.points.items()},
            "mistakes": [mistake.model_dump(mode="json") for mistake in self.mistakes[0]],
            "best_epoch": self.trained.best_epoch,
            "warnings": list(self.warnings),
        }

    def report(self) -> str:
        """The same for people."""
        mistakes, shots = self.mistakes
        subject = Subject(
            version=self.provenance.version,
            facts=facts_of(self.provenance),
            measured_on="the test part, never trained on",
            examined=self.test,
            chosen_on="the validation part",
            points=self.points,
            mistakes=mistakes,
            shots=shots,
            history=self.trained.history,
            document=self.document,
        )
        return render(subject)


def _scored(valid: Examined, test: Examined, variants: Variants) -> ScoredImages:
    """What the network said, for whoever moves a threshold later."""
    said = {variant: as_table(scores) for variant, scores in variants.scores.items()}
    splits: dict[Part, ScoredSplit] = {"valid": _scored_part(valid), "test": _scored_part(test)}
    return ScoredImages(labels=valid.recipe.label_names, splits=splits, variants=said)


def _scored_part(part: Examined) -> ScoredSplit:
    return ScoredSplit(
        names=tuple(example.name for example in part.examples),
        groups=tuple(example.group for example in part.examples),
        truth=as_table(part.truth),
        scores=as_table(part.scores),
    )


def _warnings(order: Order, material: _Material, trained: Trained) -> tuple[str, ...]:
    note = architecture_of(order.architecture).note_on(trained.origin)
    noticed = (*order.notes, *(str(problem) for problem in material.problems), *material.parts.warnings)
    return tuple(dict.fromkeys([*noticed, *([note] if note else [])]))  # an import has told of some before


def _proofs(variants: Variants) -> dict[str, JsonValue]:
    """What a promotion asks for: it refuses a model with a variant below ``compiled`` that does not hold."""
    return {
        "compiled": {
            f"openvino_{variant}": proof.model_dump(mode="json") for variant, proof in variants.proofs.items()
        },
        "not_offered": {
            f"openvino_{variant}": left.model_dump(mode="json") for variant, left in variants.left_out.items()
        },
    }


def _provenance(order: Order, store: PixelStore, trained: Trained) -> Provenance:
    options = {
        **order.options.model_dump(mode="json"),
        "weights": asdict(trained.origin) if trained.origin else None,
        "computed_in": [*trained.runs],
    }
    return Provenance(order.version, order.architecture, order.dataset or store.digest, order.ordered_at, options)
