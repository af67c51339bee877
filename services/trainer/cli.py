"""The trainer's commands for people. What needs TensorFlow is imported when it is asked for: that takes seconds."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from ulid import ULID

from services.trainer.complaints import complaints
from services.trainer.dataset_commands import commands as dataset_commands
from services.trainer.dataset_commands import split_folder
from services.trainer.options import TrainingOptions, read_options, shares_of
from services.trainer.registry import Decision, Registry
from services.trainer.settings import TrainerSettings
from shared.messages import PromotionRefused, PromotionRequested
from shared.messaging import open_broker
from shared.quiet import import_quietly
from shared.recipe import PictureSpec, Task
from shared.settings import read_settings
from shared.storage import open_store
from shared.vision.bundle import (
    MANIFEST,
    BundleError,
    production_version,
    read_bundle,
    read_bundle_folder,
    versions,
    write_bundle,
    write_bundle_folder,
)

if TYPE_CHECKING:
    from types import ModuleType

app = typer.Typer(
    help="Train models from labelled pictures, evaluate and promote them. Without a command: the service.",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

REFUSED: Final = 1
DEFAULTS: Final = TrainingOptions()

Data = Annotated[Path, typer.Option(help="Folder with images/ and labels.csv, and groups.csv where known.")]
Model = Annotated[Path, typer.Option(help="Folder of a bundle.")]
SkipProblems = Annotated[bool, typer.Option(help="Pass over wrong rows and unreadable pictures instead of stopping.")]


def workbench() -> ModuleType:
    """The commands that need TensorFlow or OpenVINO."""
    return import_quietly("services.trainer.workbench")


@app.command()
def train(
    *,
    data: Data,
    out: Annotated[Path, typer.Option(help="Gets the bundle: model, recipe, evaluation.")],
    recipe: Annotated[Path | None, typer.Option(help="Without one, it is drafted from the table's columns.")] = None,
    task: Annotated[Task, typer.Option(help="Of a drafted recipe.")] = Task.MULTI_LABEL,
    size: Annotated[int | None, typer.Option(min=16, max=1024, help="Side of a drafted recipe's picture.")] = None,
    architecture: Annotated[str, typer.Option(help="See `describe`.")] = "compact",
    weights: Annotated[
        Path | None, typer.Option(help="File to start from. Default: those installed for the architecture.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1)] = DEFAULTS.epochs,
    patience: Annotated[int, typer.Option(min=1, help="Epochs without anything better.")] = DEFAULTS.patience,
    batch_size: Annotated[int, typer.Option(min=1)] = DEFAULTS.batch_size,
    learning_rate: Annotated[float | None, typer.Option(help="Default: the architecture's own.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = DEFAULTS.seed,
    split: Annotated[str, typer.Option(help="Shares of train, valid and test.")] = "0.78,0.20,0.02",
    model_version: Annotated[str | None, typer.Option(help="Default: made from the time.")] = None,
    skip_problems: SkipProblems = False,
) -> None:
    """Train on a folder, without any server."""
    with complaints():
        given: dict[str, Any] = {
            "epochs": epochs,
            "patience": patience,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "shares": shares_of(split),
            "skip_problems": skip_problems,
        }
        options = read_options(given)
        if (out / MANIFEST).exists():
            raise BundleError(f"{out} holds a model already, and models are not changed: choose another folder")
        bench = workbench()
        chosen = bench.recipe_for(data, recipe, task, size)
        order = bench.order_of(data, chosen, architecture, options, version=model_version, weights=weights)
        bench.train(order, out)


@app.command()
def evaluate(
    *,
    model: Model,
    data: Data,
    report: Annotated[Path | None, typer.Option(help="Gets the evaluation as JSON.")] = None,
    skip_problems: SkipProblems = False,
) -> None:
    """Measure a model on a folder of labelled pictures."""
    with complaints():
        bench = workbench()
        version, evaluation = bench.evaluate_folder(model, data, skip_problems=skip_problems)
        typer.echo(bench.summary_of(evaluation))
        if report:
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(bench.report_of(version, data, evaluation), encoding="utf-8")


@app.command()
def describe(
    name: Annotated[str, typer.Argument(help="Of an architecture.")],
    *,
    height: Annotated[int, typer.Option(min=16, max=1024)] = 100,
    width: Annotated[int, typer.Option(min=16, max=1024)] = 100,
    labels: Annotated[int, typer.Option(min=1)] = 4,
) -> None:
    """Print an architecture's layers, parameters and multiply-accumulates."""
    with complaints():
        workbench().describe(name, PictureSpec(height=height, width=width), labels)


app.command("split")(split_folder)
app.add_typer(dataset_commands, name="dataset")


@app.command(hidden=True)
def work(training_id: str) -> None:
    """Do a training that was asked for by message: the trainer starts this."""
    settings = read_settings(TrainerSettings)
    import_quietly("services.trainer.work").work(training_id, settings)


@app.command()
def models(recipe: Annotated[str, typer.Argument(help="Name of the recipe.")]) -> None:
    """List the models of a recipe, oldest first, and which one is in production."""
    with complaints():
        store = open_store(read_settings(TrainerSettings))
        current = production_version(store, recipe)
        for version in versions(store, recipe):
            typer.echo(f"{version}{'  in production' if version == current else ''}")


@app.command()
def promote(
    recipe: Annotated[str, typer.Argument(help="Name of the recipe.")],
    model_version: Annotated[str, typer.Argument(help="To roll back, name an earlier one.")],
    *,
    reason: Annotated[str, typer.Option(help="Kept in the history.")] = "",
    by: Annotated[str, typer.Option(envvar="USER", help="Who asks; kept in the history.")] = "command line",
    force: Annotated[bool, typer.Option(help="Although it is worse; needs a reason.")] = False,
    wait_seconds: Annotated[float, typer.Option(min=0, help="For the trainer's answer.")] = 30.0,
) -> None:
    """Ask the running trainer to make a model the one in production."""
    with complaints():
        settings = read_settings(TrainerSettings)
        asked = PromotionRequested(
            promotion_id=str(ULID()),
            recipe=recipe,
            model_version=model_version,
            reason=reason,
            force=force,
            requested_by=by,
            requested_at=datetime.now(UTC),
        )
        with closing(open_broker(settings)) as broker:
            broker.publisher().publish(asked).result()
        answer = _answer(Registry(open_store(settings)), asked.promotion_id, wait_seconds)
    if isinstance(answer, PromotionRefused):
        typer.echo(f"refused: {answer.reason}", err=True)
        raise typer.Exit(REFUSED)
    typer.echo(f"{model_version} is in production" if answer else "asked; the trainer has not answered yet")


@app.command("import")
def import_model(model: Model) -> None:
    """Put a bundle of a folder into object storage; `promote` it afterwards."""
    with complaints():
        bundle = read_bundle_folder(model)
        write_bundle(open_store(read_settings(TrainerSettings)), bundle.manifest, bundle.files)
        typer.echo(f"model {bundle.version} of recipe {bundle.manifest.recipe} is in object storage")


@app.command("export")
def export_model(
    recipe: Annotated[str, typer.Argument(help="Name of the recipe.")],
    model_version: Annotated[str, typer.Argument()],
    out: Annotated[Path, typer.Option(help="Gets the bundle.")],
) -> None:
    """Copy a bundle from object storage into a folder."""
    with complaints():
        write_bundle_folder(out, read_bundle(open_store(read_settings(TrainerSettings)), recipe, model_version))


def _answer(registry: Registry, promotion_id: str, wait_seconds: float) -> Decision | None:
    end = time.monotonic() + wait_seconds
    while not (decision := registry.decision(promotion_id)) and time.monotonic() < end:
        time.sleep(0.2)
    return decision
