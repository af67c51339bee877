"""Train, evaluate and describe models on the command line. This module imports TensorFlow and OpenVINO."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
from pydantic_core import from_json
from rich.console import Console
from rich.table import Column, Table
from ulid import ULID

from services.trainer.architectures.cost import cost_of
from services.trainer.architectures.registry import architecture_of
from services.trainer.cli.progress import ProgressBar
from services.trainer.datasets.image_side import side_of
from services.trainer.datasets.learned_images import Learned, learned_by
from services.trainer.datasets.pixels import PixelStore, decode_images
from services.trainer.evaluation.evaluate import table_of
from services.trainer.evaluation.evaluation_run import EvaluationRun
from services.trainer.evaluation.figures import Evaluation
from services.trainer.evaluation.logits import engine_logits
from services.trainer.evaluation.mistakes import with_images
from services.trainer.evaluation.report.page import ReportContent, facts_of, render
from services.trainer.evaluation.written import share_with_counts
from services.trainer.training.build import assist, build
from services.trainer.training.checkpoint import StoredCheckpoint
from services.trainer.training.cluster import VARIABLE
from services.trainer.training.model_spec import ModelSpec
from services.trainer.training.tried import Tried
from services.trainer.training.workers import workers_of
from shared.contracts.bundle import (
    EVALUATION,
    HISTORY,
    VARIANT_FILES,
    Bundle,
    Variant,
    read_bundle_folder,
    version_name,
    write_bundle_folder,
)
from shared.contracts.operating_points import OperatingPoints
from shared.contracts.training import TrainingOptions
from shared.datasets.coverage import FEW, coverage_warnings, refuse_unlearnable
from shared.datasets.labelled_images import Dataset, OnProblem
from shared.datasets.reading import read_dataset, read_for_recipe
from shared.datasets.tables import problem_lines
from shared.engines.bundled_references import references_of
from shared.engines.openvino import OpenVinoEngine
from shared.language import gettext
from shared.recipe import ImageSpec, Recipe, ReferenceSpec, Task, read_recipe
from shared.recipe_draft import draft_recipe
from shared.storage.filesystem import FilesystemStore
from shared.verdict import scores_by, with_anomaly

DEFAULTS: Final = TrainingOptions()


def spec_of(
    images: Dataset,
    recipe: Recipe,
    architecture: str,
    options: TrainingOptions,
    *,
    version: str | None = None,
    weights: Path | None = None,
) -> ModelSpec:
    """Return what to build, requested now."""
    now = datetime.now(UTC)
    return ModelSpec(version or version_name(now, str(ULID())), images, recipe, architecture, options, now, weights)


def checkpoint_in(path: Path) -> StoredCheckpoint:
    """Return the checkpoint that is stored in a file."""
    return StoredCheckpoint(FilesystemStore(path.parent), path.name)


def train(spec: ModelSpec, out: Path, checkpoint: StoredCheckpoint | None = None) -> None:
    """Train, show the progress, and write the bundle; of several workers, all but the chief only take part.

    Args:
        spec: what to build.
        out: the folder for the bundle.
        checkpoint: saved after each epoch, and continued from; deleted at the end.
    """
    console = Console(stderr=True, markup=False, highlight=False)
    spec = spec.settled()
    labels = [example.labels for example in spec.images.examples]
    coverage = coverage_warnings(spec.images.label_names, labels, [example.group for example in spec.images.examples])
    known = [*spec.images.warnings, *spec.notes, *([] if spec.is_good_only else coverage)]
    for line in [
        *(f"left out: {line}" for line in problem_lines(spec.images.problems)),
        *(f"note: {note}" for note in known),
    ]:
        console.print(line, soft_wrap=True)
    if not spec.is_good_only:
        refuse_unlearnable(spec.images.label_names, labels)
    workers = workers_of(os.environ.get(VARIABLE))
    with (
        tempfile.TemporaryDirectory(prefix="seamline-") as scratch,
        ProgressBar(console) as bar,
    ):
        if not workers.rank.is_chief:
            assist(spec, Path(scratch), bar, workers)
            console.print(f"worker {workers.rank.index} has finished: the chief writes the model")
            return
        built = build(spec, Path(scratch), bar, checkpoint, workers)
    write_bundle_folder(out, built.bundle)
    if checkpoint:
        checkpoint.delete()
    findings, measured = built.findings, built.findings.images
    for warning in findings.warnings:
        if warning not in known:
            console.print(f"note: {warning}", soft_wrap=True)
    console.print(f"on {measured.measured_on.in_words}:\n{summary_of(built.evaluation)}", soft_wrap=True)
    if len(findings.tried) > 1:
        show_tried(console, findings.tried)
    if measured.points:
        show_operating_points(console, measured.points)
    if built.more_images:
        console.print(built.more_images, soft_wrap=True)
    console.print(f"model {built.bundle.version} is in {out}")


def read_images(
    data: Path,
    recipe: Path | None,
    task: Task | None,
    size: int | None,
    *,
    reference: Sequence[str] = (),
    skip_problems: bool = False,
    all_good: bool = False,
) -> tuple[Dataset, Recipe]:
    """Read a folder of labelled images with the recipe of a file, or with one drafted from the columns of its table.

    Args:
        data: the folder.
        recipe: the file; None to draft one.
        task: the task of a drafted recipe; None: derived from the labels.
        size: side of a drafted recipe's image, in pixels.
        reference: names of the images that the others are compared with, instead of those of the recipe.
        skip_problems: whether wrong rows are left out.
        all_good: whether images without any label are images of good parts.
    """
    on_problem: OnProblem = "skip" if skip_problems else "stop"
    given = read_recipe(recipe).without_anomaly if recipe else None
    as_given = given is not None and given.good_by is not None  # the training decides what it learns of the labels
    names = given.label_names if given and not as_given else ()
    asked_task = None if as_given else given.task if given else task
    dataset = read_dataset(
        data, names, task=asked_task, on_problem=on_problem, all_good=all_good and (as_given or not given)
    )
    chosen = given or draft_recipe(
        data.resolve().stem,
        dataset.label_names,
        [example.labels for example in dataset.examples],
        task or dataset.task,
        side=size or side_of(dataset),
        description="Drafted from a table of labels: check the roles, keys and colours.",
    )
    if size and not given:
        chosen = chosen.model_copy(update={"image": chosen.image.model_copy(update={"fixed": True})})
    if reference:
        known = chosen.image.reference.model_dump() if chosen.image.reference else {}
        spec = ReferenceSpec(**{**known, "images": tuple(reference)})
        image = chosen.image.model_copy(update={"reference": spec})
        chosen = chosen.model_copy(update={"image": image})
    return dataset, chosen


@contextmanager
def evaluate_folder(
    model: Path, data: Path, variant: Variant = Variant.FP32, *, skip_problems: bool = False
) -> Iterator[FolderEvaluation]:
    """Run a variant of a bundle's network on a folder of labelled images."""
    bundle = read_bundle_folder(model)
    recipe = bundle.recipe
    on_problem: OnProblem = "skip" if skip_problems else "stop"
    dataset = read_for_recipe(data, recipe, on_problem)
    network, weights = VARIANT_FILES[variant]
    engine = OpenVinoEngine(bundle.file(network), bundle.file(weights))
    with tempfile.TemporaryDirectory(prefix="seamline-") as scratch:
        ungrouped = replace(dataset, warnings=())  # nothing is split here
        dataset, store = decode_images(ungrouped, recipe.image, Path(scratch), on_problem, references_of(bundle))
        rows = np.arange(len(dataset.examples))
        scores = scores_by(recipe, engine_logits(engine, store, rows))
        learned = learned_by(bundle, dataset.examples, store.digest)
        names, groups = zip(*((each.name, each.group) for each in dataset.examples), strict=True)
        run = EvaluationRun(recipe, names, groups, with_anomaly(recipe, store.labels), scores)
        left_out = [f"left out: {line}" for line in problem_lines(dataset.problems)]
        yield FolderEvaluation(bundle, data, run, store, learned, (*left_out, *dataset.warnings))


@dataclass(frozen=True)
class FolderEvaluation:
    """The evaluation of a model on a folder of labelled images."""

    bundle: Bundle
    data: Path
    run: EvaluationRun
    store: PixelStore
    learned: Learned | None
    """The images that the model was trained or validated on."""
    warnings: tuple[str, ...]

    @property
    def notes(self) -> list[str]:
        """Return what may make the figures wrong."""
        return [*([str(self.learned)] if self.learned else []), *self.warnings]

    @property
    def evaluation(self) -> Evaluation:
        return self.run.evaluation

    def as_json(self) -> str:
        """Return the evaluation as a file."""
        curves, mistakes = self.run.threshold_curves, self.run.worst_mistakes(DEFAULTS.mistakes)
        document = {
            "model_version": self.bundle.version,
            "data": str(self.data),
            "learned": self.learned.model_dump(mode="json") if self.learned else None,
            "warnings": self.notes,
            **self.evaluation.model_dump(mode="json"),
            "threshold_curves": {name: each.model_dump(mode="json") for name, each in curves.items()},
            "mistakes": [mistake.model_dump(mode="json") for mistake in mistakes],
        }
        return json.dumps(document, indent=1)

    def as_html(self) -> str:
        """Return the evaluation as a page, with what the bundle holds about the training."""
        bundle, run = self.bundle, self.run
        document = from_json(bundle.file(EVALUATION))
        rows = np.arange(len(run.names))
        mistakes, images = with_images(run.worst_mistakes(DEFAULTS.mistakes), self.store, rows)
        manifest = bundle.manifest
        content = ReportContent(
            version=bundle.version,
            facts=facts_of(manifest.architecture, manifest.dataset, manifest.created_at, manifest.options),
            measured_on=gettext("the images of %(folder)s", folder=self.data),
            run=run,
            chosen_on=gettext("the same images (the thresholds were chosen on others)"),
            curves=run.threshold_curves,
            mistakes=mistakes,
            images=images,
            history=from_json(bundle.file(HISTORY)) if HISTORY in bundle.files else (),
            document={**document, "warnings": [*self.notes, *document.get("warnings", [])]},
        )
        return render(content)


def show_operating_points(console: Console, points: OperatingPoints) -> None:
    """Print the operating points of a model, and how many verdicts are right without a model."""
    table = Table("operating point", "right", "escapes", "overkill", box=None)
    for name, point in points.points.items():
        figures = (
            share_with_counts(point.verdict_accuracy, points.images, point.intervals.get("verdict_accuracy")),
            share_with_counts(point.escape_rate, point.ng, point.intervals.get("escape_rate")),
            share_with_counts(point.overkill_rate, point.ok, point.intervals.get("overkill_rate")),
        )
        table.add_row(f"{name}{' *' if name is points.chosen else ''}", *map("\n".join, figures))
    console.print(table, highlight=False)
    console.print(
        f"* of this model. Without a model, calling every part ok is right for {points.all_ok_right:.1%}, calling "
        f"every part NG for {points.all_ng_right:.1%} of these {points.images} images.",
        highlight=False,
    )
    for advice in points.advice:
        console.print(f"note: {advice}", highlight=False)


def show_tried(console: Console, tried: Sequence[Tried]) -> None:
    """Print what was tried before the network was chosen: for each image, what the last layer sees."""
    figures = (Column(title, justify="right", no_wrap=True) for title in ("log loss", "average\nprecision", "minutes"))
    table = Table("tried", *figures, box=None)
    for image, rows in groupby(tried, key=lambda each: each.image):
        table.add_row(image)
        for each in rows:
            if each.log_loss is None:
                table.add_row(f"  {', '.join(filter(None, (each.head, each.remark)))}")
                continue
            numbers = f"{each.log_loss:.3f}", f"{each.average_precision or 0:.3f}", f"{(each.seconds or 0) / 60:.1f}"
            table.add_row(f"  {each.head}{' *' if each.chosen else ''}", *numbers)
    console.print(table, highlight=False)
    console.print(
        "* of this model, out of fold: the first, unless another is better by more than the error of the difference",
        highlight=False,
    )


def describe(name: str, image: ImageSpec, labels: int) -> None:
    """Print an architecture's layers, parameters and multiply-accumulates."""
    cost = cost_of(architecture_of(name).build(image, labels))
    table = Table("layer", "kind", "output", "parameters", "multiply-accumulates", box=None)
    for layer in cost.layers:
        shape = " x ".join(str(side) for side in layer.shape)
        table.add_row(layer.name, layer.kind, shape, f"{layer.parameters:,}", f"{layer.macs:,}")
    console = Console()
    console.print(table)
    size = f"{image.height}x{image.width}x{image.channels}"
    console.print(f"{name} at {size} with {labels} labels: {cost.parameters:,} parameters, {cost.macs / 1e9:.2f} GMAC")


def summary_of(evaluation: Evaluation) -> str:
    """An evaluation in a few lines."""
    names = ("verdicts right", "escapes", "overkill")
    shares = "; ".join(
        f"{name} {', '.join(share_with_counts(*share))}"
        for name, share in zip(names, evaluation.rates.values(), strict=True)
        if share[0] is not None
    )
    return (
        f"{table_of(evaluation)}\n{evaluation.images} images of {evaluation.groups} groups: {shares}; "
        f"{macro_of(evaluation)}"
    )


def macro_of(evaluation: Evaluation) -> str:
    """Write the mean of the average precisions with the number of labels that it is of."""
    measured, labels = len(evaluation.macro_labels), len(evaluation.labels) - bool(evaluation.anomaly)
    if evaluation.macro_average_precision is None:
        return "no average precision: each label is in all of these images, or in none"
    if not evaluation.mean_is_telling:
        return f"no average precision: each label needs {FEW} images with it and {FEW} without it"
    of = f"of {measured} labels" if measured == labels else f"of the {measured} of {labels} labels that can be measured"
    return f"macro average precision {evaluation.macro_average_precision:.3f} {of}"
