"""The commands that need TensorFlow or OpenVINO: train, evaluate, describe."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from ulid import ULID

from services.trainer.architectures import architecture_of
from services.trainer.architectures.cost import cost_of
from services.trainer.building import Built, Order, build
from services.trainer.dataset import OnProblem, read_dataset
from services.trainer.draft import draft_recipe, side_of
from services.trainer.evaluation import Evaluation, evaluate, table_of
from services.trainer.options import TrainingOptions
from services.trainer.packing import version_name
from services.trainer.pixels import decode_pictures
from services.trainer.progress import ProgressBar
from services.trainer.validation import engine_logits
from shared.recipe import PictureSpec, Recipe, Task, read_recipe
from shared.verdict import scores_of
from shared.vision.bundle import FORM_FILES, Form, read_bundle_folder, write_bundle_folder
from shared.vision.openvino_engine import OpenVinoEngine


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


def train(order: Order, out: Path) -> None:
    """Train, show the progress, and write the bundle."""
    console = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory(prefix="seamline-") as scratch,
        ProgressBar(console, order.options.epochs) as bar,
    ):
        built = build(order, Path(scratch), bar)
    write_bundle_folder(out, built.bundle)
    _show(built, out, console)


def recipe_for(data: Path, recipe: Path | None, task: Task, size: int | None) -> Recipe:
    """The recipe of a file, or one drafted from the table's columns."""
    if recipe:
        return read_recipe(recipe)
    dataset = read_dataset(data, exclusive=task is Task.EXCLUSIVE)
    return draft_recipe(data.resolve().name, dataset, task, size or side_of(dataset))


def evaluate_folder(
    model: Path, data: Path, form: Form = Form.FP32, *, skip_problems: bool = False
) -> tuple[str, Evaluation]:
    """The version of a bundle, and how good a form of it is on a folder of labelled pictures."""
    bundle = read_bundle_folder(model)
    recipe = bundle.recipe
    on_problem: OnProblem = "skip" if skip_problems else "stop"
    exclusive = recipe.task is Task.EXCLUSIVE
    dataset = read_dataset(data, recipe.label_names, exclusive=exclusive, on_problem=on_problem)
    network, weights = FORM_FILES[form]
    engine = OpenVinoEngine(bundle.file(network), bundle.file(weights))
    with tempfile.TemporaryDirectory(prefix="seamline-") as scratch:
        dataset, store = decode_pictures(dataset, recipe.picture, Path(scratch), on_problem)
        logits = engine_logits(engine, store, np.arange(len(dataset.examples)))
    groups = [example.group for example in dataset.examples]
    return bundle.version, evaluate(recipe, store.labels, scores_of(logits, recipe.task), groups)


def describe(name: str, picture: PictureSpec, labels: int) -> None:
    """Print an architecture's layers, parameters and multiply-accumulates."""
    cost = cost_of(architecture_of(name).build(picture, labels))
    table = Table("layer", "kind", "output", "parameters", "multiply-accumulates", box=None)
    for layer in cost.layers:
        shape = " x ".join(str(side) for side in layer.shape)
        table.add_row(layer.name, layer.kind, shape, f"{layer.parameters:,}", f"{layer.macs:,}")
    console = Console()
    console.print(table)
    size = f"{picture.height}x{picture.width}x{picture.channels}"
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
        f"{table_of(evaluation)}\n{evaluation.pictures} pictures of {evaluation.groups} groups: {shares}, "
        f"macro average precision {evaluation.macro_average_precision:.3f}"
    )


def report_of(version: str, data: Path, evaluation: Evaluation) -> str:
    """An evaluation as a file."""
    return json.dumps({"model_version": version, "data": str(data), **evaluation.model_dump(mode="json")}, indent=1)


def _show(built: Built, out: Path, console: Console) -> None:
    for warning in built.warnings:
        console.print(f"note: {warning}", highlight=False)
    console.print(f"on the test part, never trained on:\n{summary_of(built.evaluation)}", highlight=False)
    console.print(f"model {built.bundle.version} is in {out}", highlight=False)
