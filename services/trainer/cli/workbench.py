"""The commands that need TensorFlow or OpenVINO: train, evaluate, describe."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from pydantic_core import from_json
from rich.console import Console
from rich.table import Table
from ulid import ULID

from services.trainer.architectures import architecture_of
from services.trainer.architectures.cost import cost_of
from services.trainer.cli.progress import ProgressBar
from services.trainer.datasets.draft import draft_recipe, side_of
from services.trainer.datasets.labelled_images import OnProblem, read_dataset
from services.trainer.datasets.learned import Learned, learned_by
from services.trainer.datasets.pixels import decode_images
from services.trainer.evaluation.evaluate import Evaluation, table_of
from services.trainer.evaluation.evaluation_run import Examined
from services.trainer.evaluation.mistakes import keep_images
from services.trainer.evaluation.report.page import Subject, facts_of, render
from services.trainer.evaluation.validation import engine_logits
from services.trainer.training.build import Built, Order, assist, build
from services.trainer.training.checkpoint import StoredCheckpoint
from services.trainer.training.cluster import VARIABLE
from services.trainer.training.naming import version_name
from services.trainer.training.workers import workers_of
from shared.contracts.bundle import (
    EVALUATION,
    HISTORY,
    VARIANT_FILES,
    Bundle,
    Variant,
    read_bundle_folder,
    write_bundle_folder,
)
from shared.contracts.training import TrainingOptions
from shared.engines.openvino import OpenVinoEngine
from shared.recipe import ImageSpec, Recipe, Task, read_recipe
from shared.storage.filesystem import FilesystemStore
from shared.verdict import scores_of

DEFAULTS: Final = TrainingOptions()


def order_of(
    data: Path,
    recipe: Recipe,
    architecture: str,
    options: TrainingOptions,
    *,
    version: str | None = None,
    weights: Path | None = None,
) -> Order:
    """An order of this moment."""
    now = datetime.now(UTC)
    return Order(version or version_name(now, str(ULID())), data, recipe, architecture, options, now, weights)


def train(order: Order, out: Path, checkpoint: Path | None = None) -> None:
    """Train, show the progress, and write the bundle; of several workers, all but the chief only take part.

    Args:
        order: what to train.
        out: gets the bundle.
        checkpoint: a file to keep the training in after each epoch, and to go on from; dropped at the end.
    """
    console = Console(stderr=True)
    kept = StoredCheckpoint(FilesystemStore(checkpoint.parent), checkpoint.name) if checkpoint else None
    workers = workers_of(os.environ.get(VARIABLE))
    with (
        tempfile.TemporaryDirectory(prefix="seamline-") as scratch,
        ProgressBar(console, order.options.epochs) as bar,
    ):
        if not workers.seat.is_chief:
            assist(order, Path(scratch), bar, workers)
            console.print(f"worker {workers.seat.index} has done its part: the chief writes the model", highlight=False)
            return
        built = build(order, Path(scratch), bar, kept, workers)
    write_bundle_folder(out, built.bundle)
    if kept:
        kept.drop()
    _show(built, out, console)


def recipe_for(data: Path, recipe: Path | None, task: Task, size: int | None, *, skip_problems: bool = False) -> Recipe:
    """The recipe of a file, or one drafted from the table's columns."""
    if recipe:
        return read_recipe(recipe)
    on_problem: OnProblem = "skip" if skip_problems else "stop"
    dataset = read_dataset(data, exclusive=task is Task.EXCLUSIVE, on_problem=on_problem)
    return draft_recipe(data.resolve().name, dataset, task, size or side_of(dataset))


@contextmanager
def examined(
    model: Path, data: Path, variant: Variant = Variant.FP32, *, skip_problems: bool = False
) -> Iterator[Sitting]:
    """What a variant of a bundle's network says of a folder of labelled images."""
    bundle = read_bundle_folder(model)
    recipe = bundle.recipe
    on_problem: OnProblem = "skip" if skip_problems else "stop"
    exclusive = recipe.task is Task.EXCLUSIVE
    dataset = read_dataset(data, recipe.label_names, exclusive=exclusive, on_problem=on_problem)
    network, weights = VARIANT_FILES[variant]
    engine = OpenVinoEngine(bundle.file(network), bundle.file(weights))
    with tempfile.TemporaryDirectory(prefix="seamline-") as scratch:
        ungrouped = replace(dataset, warnings=())  # nothing is split here
        dataset, store = decode_images(ungrouped, recipe.image, Path(scratch), on_problem)
        rows = np.arange(len(dataset.examples))
        scores = scores_of(engine_logits(engine, store, rows), recipe.task)
        learned = learned_by(bundle, dataset.examples, store.digest)
        seen = Examined(recipe, dataset.examples, store, rows, scores)
        yield Sitting(bundle, data, seen, learned, dataset.warnings)


@dataclass(frozen=True)
class Sitting:
    """A model and a folder of labelled images."""

    bundle: Bundle
    data: Path
    examined: Examined
    learned: Learned | None
    """The images that the model knows from its training."""
    warnings: tuple[str, ...]

    @property
    def notes(self) -> list[str]:
        """What may make its figures wrong."""
        return [*([str(self.learned)] if self.learned else []), *self.warnings]

    @property
    def evaluation(self) -> Evaluation:
        """How good the model is on them."""
        return self.examined.evaluation

    def as_json(self) -> str:
        """The evaluation as a file."""
        points, mistakes = self.examined.operating_points(), self.examined.worst_mistakes(DEFAULTS.mistakes)
        document = {
            "model_version": self.bundle.version,
            "data": str(self.data),
            "learned": self.learned.model_dump(mode="json") if self.learned else None,
            "warnings": self.notes,
            **self.evaluation.model_dump(mode="json"),
            "operating_points": {name: each.model_dump(mode="json") for name, each in points.items()},
            "mistakes": [mistake.model_dump(mode="json") for mistake in mistakes],
        }
        return json.dumps(document, indent=1)

    def as_html(self) -> str:
        """The evaluation as a page, with what the bundle says of the model's training."""
        bundle, examined = self.bundle, self.examined
        document = from_json(bundle.file(EVALUATION))
        mistakes, shots = keep_images(examined.worst_mistakes(DEFAULTS.mistakes), examined.store, examined.rows)
        subject = Subject(
            version=bundle.version,
            facts=facts_of(bundle.manifest),
            measured_on=f"the images of {self.data}",
            examined=examined,
            chosen_on="the same images (the thresholds were chosen on others)",
            points=examined.operating_points(),
            mistakes=mistakes,
            shots=shots,
            history=from_json(bundle.file(HISTORY)) if HISTORY in bundle.files else (),
            document={**document, "warnings": [*self.notes, *document.get("warnings", [])]},
        )
        return render(subject)


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
    rates = {
        "verdicts right": evaluation.verdict_accuracy,
        "escapes": evaluation.escape_rate,
        "overkill": evaluation.overkill_rate,
    }
    shares = ", ".join(f"{name} {100 * rate:.1f} %" for name, rate in rates.items() if rate is not None)
    return (
        f"{table_of(evaluation)}\n{evaluation.images} images of {evaluation.groups} groups: {shares}, "
        f"macro average precision {evaluation.macro_average_precision:.3f}"
    )


def _show(built: Built, out: Path, console: Console) -> None:
    for warning in built.warnings:
        console.print(f"note: {warning}", highlight=False)
    console.print(f"on the test part, never trained on:\n{summary_of(built.evaluation)}", highlight=False)
    console.print(f"model {built.bundle.version} is in {out}", highlight=False)
