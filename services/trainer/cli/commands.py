"""The commands of the trainer. Modules that need TensorFlow are imported by the commands that use them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from services.trainer.cli.dataset_commands import commands as dataset_commands
from services.trainer.cli.dataset_commands import split_folder
from services.trainer.cli.errors import check_writable, report_errors
from services.trainer.cli.model_commands import commands as model_commands
from services.trainer.settings import TrainerSettings
from services.trainer.training.cluster import VARIABLE
from services.trainer.training.options import model_version_of, read_options, shares_of
from shared.contracts.bundle import MANIFEST, BundleError, Variant
from shared.contracts.operating_points import OperatingPointName
from shared.contracts.training import ARCHITECTURES, LARGEST_SEED, Precision, TrainingOptions
from shared.engines.quiet import import_quietly
from shared.environment import read_settings
from shared.language import speaking
from shared.recipe import ImageSpec, Task

if TYPE_CHECKING:
    from types import ModuleType

app = typer.Typer(
    help="Train models from labelled images, evaluate and promote them. Without arguments, "
    "`python -m services.trainer` runs the service.",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

DEFAULTS: Final = TrainingOptions()

Data = Annotated[
    Path,
    typer.Option(
        help="Labelled images: a folder with images/ and labels.csv, a folder per class, an export of COCO, YOLO, "
        "Pascal VOC, CVAT 1.1, Datumaro or Label Studio, or a zip of one of them."
    ),
]
Model = Annotated[Path, typer.Option(help="Folder of a bundle.")]
SkipProblems = Annotated[bool, typer.Option(help="Leave out wrong rows and unreadable images instead of stopping.")]


def training_module() -> ModuleType:
    """Import the module that trains and evaluates, which needs TensorFlow and OpenVINO."""
    return import_quietly("services.trainer.cli.train_and_evaluate")


@app.command()
def train(
    *,
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the bundle: model, recipe, evaluation.")],
    recipe: Annotated[Path | None, typer.Option(help="Without one, it is drafted from the table's columns.")] = None,
    task: Annotated[
        Task | None, typer.Option(help="Task of a drafted recipe. Default: by the data; tables are multi-label.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=16, max=1024, help="Side of a drafted recipe's image; no other is tried then.")
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of a labelled image of a good part that the others are compared with; * stands for any "
            "characters. As often as needed. Default: as the recipe says."
        ),
    ] = None,
    architecture: Annotated[str, typer.Option(help="See `describe`.")] = next(iter(ARCHITECTURES)),
    weights: Annotated[
        Path | None,
        typer.Option(
            help="File, or folder of a model of the same architecture, to start from. Default: those installed for the "
            "architecture."
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="In which all layers are trained; 0: the last alone. Default: 0 from pretrained weights, else 30.",
        ),
    ] = DEFAULTS.epochs,
    minutes: Annotated[
        float,
        typer.Option(
            min=0,
            max=1440,
            help="That a training of the last layer alone may take, about: while there is time, other features, sizes "
            "and normalisations of the images are tried. 0: none.",
        ),
    ] = DEFAULTS.minutes,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without a better validation before it stops.")
    ] = DEFAULTS.patience,
    batch_size: Annotated[int, typer.Option(min=1)] = DEFAULTS.batch_size,
    learning_rate: Annotated[float | None, typer.Option(help="Default: the architecture's own.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Default: the architecture's own.")] = None,
    precision: Annotated[Precision, typer.Option(help="Mixed is quicker where the machine has it.")] = Precision.AUTO,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED)] = DEFAULTS.seed,
    split: Annotated[str, typer.Option(help="Shares of train, valid and test.")] = "0.78,0.20,0.02",
    operating_point: Annotated[
        OperatingPointName | None,
        typer.Option(help="For what thresholds are chosen. Default: least-cost with a defect rate, else balanced."),
    ] = DEFAULTS.operating_point,
    good_only: Annotated[
        bool | None,
        typer.Option(
            "--good-only/--no-good-only",
            help="Learn from images of good parts alone. Default: while fewer than 5 images show an NG part.",
        ),
    ] = DEFAULTS.good_only,
    overkill: Annotated[
        float, typer.Option(help="Share of good parts that a model of good images alone may call NG.")
    ] = DEFAULTS.overkill,
    variants: Annotated[str, typer.Option(help="For inference; int8 is kept where it judges alike.")] = "fp32,int8",
    mistakes: Annotated[
        int, typer.Option(min=0, max=100, help="The number of costliest mistakes that are stored.")
    ] = DEFAULTS.mistakes,
    report: Annotated[bool, typer.Option(help="Store a report in English and German.")] = DEFAULTS.report,
    model_version: Annotated[str | None, typer.Option(help="Default: made from the time.")] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="File for a checkpoint after each epoch; started again, the training continues from it.",
        ),
    ] = None,
    skip_problems: SkipProblems = False,
) -> None:
    """Train on a folder, without any server; where TF_CONFIG names several workers, together with them."""
    with report_errors():
        given: dict[str, Any] = {
            "epochs": epochs,
            "minutes": minutes,
            "patience": patience,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "precision": precision,
            "seed": seed,
            "shares": shares_of(split),
            "operating_point": operating_point,
            "good_only": good_only,
            "overkill": overkill,
            "variants": variants.split(","),
            "mistakes": mistakes,
            "report": report,
            "skip_problems": skip_problems,
        }
        options = read_options(given)
        version = model_version_of(model_version) if model_version is not None else None
        if (out / MANIFEST).exists():
            raise BundleError(f"{out} holds a model already, and models are not changed: choose another folder")
        if VARIABLE in os.environ:  # the error names lost workers in a line; TensorFlow would log pages
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        training = training_module()
        for folder in (out, *([checkpoint.parent] if checkpoint else [])):
            check_writable(folder)
        stored = training.checkpoint_in(checkpoint) if checkpoint else None
        training.architecture_of(architecture)  # an unknown name is an error before the images are read
        images, chosen = training.read_images(
            data,
            recipe,
            task,
            size,
            reference=reference or (),
            skip_problems=skip_problems,
            all_good=good_only or False,
        )
        spec = training.spec_of(images, chosen, architecture, options, version=version, weights=weights)
        training.train(spec, out, stored)


@app.command()
def evaluate(
    *,
    model: Model,
    data: Data,
    variant: Annotated[Variant, typer.Option(help="Variant of the network.")] = Variant.FP32,
    report: Annotated[Path | None, typer.Option(dir_okay=False, help="File for the evaluation as JSON.")] = None,
    html: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="File for it as a page, with curves and mistakes."),
    ] = None,
    language: Annotated[Literal["en", "de"], typer.Option(help="Language of the page.")] = "en",
    skip_problems: SkipProblems = False,
) -> None:
    """Measure a model on a folder of labelled images."""
    with report_errors():
        for path in filter(None, (report, html)):
            check_writable(path.parent)
        training = training_module()
        with training.evaluate_folder(model, data, variant, skip_problems=skip_problems) as evaluation:
            typer.echo(training.summary_of(evaluation.evaluation))
            for note in evaluation.notes:
                typer.echo(f"note: {note}")
            if report:
                _write(report, evaluation.as_json())
            if html:
                with speaking(language):
                    _write(html, evaluation.as_html())


@app.command()
def describe(
    name: Annotated[str, typer.Argument(help="Name of an architecture.")],
    *,
    height: Annotated[int, typer.Option(min=16, max=1024)] = 100,
    width: Annotated[int, typer.Option(min=16, max=1024)] = 100,
    labels: Annotated[int, typer.Option(min=1)] = 4,
) -> None:
    """Print an architecture's layers, parameters and multiply-accumulates."""
    with report_errors():
        training_module().describe(name, ImageSpec(height=height, width=width), labels)


app.command("split")(split_folder)
app.add_typer(dataset_commands, name="dataset")
app.add_typer(model_commands)


@app.command(hidden=True)
def measure(command: list[str]) -> None:
    """Measure models: the trainer's service starts this process."""
    measuring = import_quietly("services.trainer.measuring.child_process")
    measuring.run(command, read_settings(TrainerSettings))


@app.command(hidden=True)
def work(training_id: str) -> None:
    """Do a requested training: the trainer's service starts this process."""
    settings = read_settings(TrainerSettings)
    import_quietly("services.trainer.training.child_process").run(training_id, settings)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
