"""The commands for datasets: import, list, export and split."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import typer

from services.trainer.cli.errors import report_errors
from services.trainer.datasets.pixels import decode_images
from services.trainer.datasets.split import split, tables
from services.trainer.datasets.versions import dataset_of, export_version, find_version
from services.trainer.settings import TrainerSettings
from services.trainer.training.options import read_options, shares_of
from shared.contracts.dataset import DatasetVersion, datasets, read_version, versions
from shared.contracts.training import LARGEST_SEED
from shared.datasets.formats.export import ExportFormat, export_version_as
from shared.datasets.importing import import_dataset
from shared.datasets.labelled_images import Dataset, OnProblem
from shared.datasets.reading import read_dataset
from shared.datasets.tables import DatasetError, problem_lines
from shared.environment import read_settings
from shared.recipe import ImageSpec, Recipe, Task, read_recipe
from shared.storage.opening import open_store

commands = typer.Typer(
    help="Datasets in object storage: each import of something new is a version that never changes.",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

Folder = Annotated[
    Path,
    typer.Argument(
        help="With images/ and labels.csv; or a folder per class; or an export of COCO, YOLO, Pascal VOC, CVAT 1.1, "
        "Datumaro or Label Studio; or a zip of one of them."
    ),
]
Reference = Annotated[str, typer.Argument(help="name@version, or the name alone for its newest version.")]
RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="Default: the labels are the table's columns.")]
TaskOfFolder = Annotated[
    Task | None,
    typer.Option("--task", help="Task, if no recipe is given. Default: by the data; tables are multi-label."),
]
SkipProblems = Annotated[bool, typer.Option(help="Leave out wrong rows and unreadable images instead of stopping.")]
Shares = Annotated[str, typer.Option("--split", help="Shares of train, valid and test.")]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the split.")]
DEFAULT_SHARES: Final = "0.78,0.20,0.02"
SMALLEST: Final = ImageSpec(height=16, width=16, colour="grey")
"""The size of images that are decoded only to check them."""


@commands.command("import")
def import_folder(
    folder: Folder,
    *,
    name: Annotated[str, typer.Option(help="Name of the dataset in object storage.")],
    recipe: RecipeFile = None,
    task: TaskOfFolder = None,
    by: Annotated[str, typer.Option(envvar="USER", help="The person; stored in the version.")] = "command line",
    skip_problems: SkipProblems = False,
) -> None:
    """Import labelled images into object storage: a new version, if anything changed."""
    with report_errors():
        if not NAME.fullmatch(name):
            raise DatasetError([f"a dataset is named with letters, digits, _ and -, and not {name!r}"])
        store = open_store(read_settings(TrainerSettings))
        dataset = _read(folder, recipe, task, skip_problems=True)  # the problems are reported together
        on_problem = _on_problem(skip_problems=skip_problems)
        imported = import_dataset(dataset, store, name, by=by, source=str(folder), on_problem=on_problem)
        _note(
            [
                *(f"left out: {line}" for line in problem_lines(imported.problems)),
                *(f"note: {text}" for text in imported.warnings),
            ]
        )
        typer.echo(f"{'new: ' if imported.is_new else 'nothing changed: '}{_summary(imported.version)}")


@commands.command("list")
def list_datasets(
    name: Annotated[str | None, typer.Argument(help="Name of one dataset; default: all.")] = None,
) -> None:
    """List the versions of datasets, oldest first, with how many images have each label."""
    with report_errors():
        store = open_store(read_settings(TrainerSettings))
        for dataset in [name] if name else datasets(store):
            for version in versions(store, dataset):
                typer.echo(_summary(read_version(store, dataset, version)))


@commands.command("export")
def export_dataset(
    dataset: Reference,
    *,
    out: Annotated[Path, typer.Option(help="Folder for the tables, images/, and train.csv, valid.csv, test.csv.")],
    format_: Annotated[
        ExportFormat, typer.Option("--format", help="seamline can be imported again with all that a version holds.")
    ] = ExportFormat.SEAMLINE,
    shares: Shares = DEFAULT_SHARES,
    seed: Seed = 0,
) -> None:
    """Write a version into a folder: its images and annotations, and the tables of a split."""
    with report_errors():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DatasetError([f"{out} is not empty: choose another folder"])
        store = open_store(read_settings(TrainerSettings))
        version = find_version(store, dataset)
        if format_ is ExportFormat.SEAMLINE:
            export_version(version, store, out)
        else:
            _note([f"note: {export_version_as(format_, version, store, out)}"])
        _write_split(dataset_of(version), out, shares, seed)
        typer.echo(_summary(version))


@commands.command("split")
def split_dataset(
    dataset: Reference,
    *,
    out: Annotated[Path, typer.Option(help="Folder for train.csv, valid.csv and test.csv.")],
    shares: Shares = DEFAULT_SHARES,
    seed: Seed = 0,
) -> None:
    """Write train.csv, valid.csv and test.csv of a version, as a training with these shares and this seed splits it."""
    with report_errors():
        version = find_version(open_store(read_settings(TrainerSettings)), dataset)
        _write_split(dataset_of(version), out, shares, seed)


def split_folder(
    folder: Folder,
    *,
    out: Annotated[Path | None, typer.Option(help="Folder for the three tables. Default: the folder itself.")] = None,
    recipe: RecipeFile = None,
    task: TaskOfFolder = None,
    shares: Shares = DEFAULT_SHARES,
    seed: Seed = 0,
    skip_problems: SkipProblems = False,
) -> None:
    """Write train.csv, valid.csv and test.csv of a folder, as a training with these shares and this seed splits it."""
    with report_errors():
        dataset = _read(folder, recipe, task, skip_problems=skip_problems)
        with tempfile.TemporaryDirectory(prefix="seamline-") as scratch:  # a training splits what can be decoded
            on_problem = _on_problem(skip_problems=skip_problems)
            dataset, _ = decode_images(dataset, SMALLEST, Path(scratch), on_problem)
        _note(f"left out: {line}" for line in problem_lines(dataset.problems))
        _write_split(dataset, out or (folder if folder.is_dir() else folder.parent), shares, seed)


def _read(folder: Path, recipe: Path | None, task: Task | None, *, skip_problems: bool) -> Dataset:
    found: Recipe | None = read_recipe(recipe).annotated if recipe else None
    names = found.label_names if found else ()
    on_problem = _on_problem(skip_problems=skip_problems)
    return read_dataset(folder, names, task=found.task if found else task, on_problem=on_problem)


def _on_problem(*, skip_problems: bool) -> OnProblem:
    return "skip" if skip_problems else "stop"


def _write_split(dataset: Dataset, out: Path, shares: str, seed: int) -> None:
    options = read_options({"shares": shares_of(shares), "seed": seed})
    parts = split(dataset, options.shares, options.seed)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in tables(parts, dataset.label_names).items():
        (out / name).write_bytes(content)
    _note(f"note: {warning}" for warning in parts.warnings)
    counts = ", ".join(f"{part} {len(examples)}" for part, examples in parts.parts.items())
    typer.echo(f"{counts} images, in {out}")


def _summary(version: DatasetVersion) -> str:
    counts = ", ".join(f"{label} {count}" for label, count in version.counts.items())
    marked = sum(bool(image.masks) for image in version.images)
    counts += f"; {marked} with masks" if marked else ""
    made = f"{version.made_at:%Y-%m-%d %H:%M} UTC by {version.made_by} from {version.source}"
    return f"{version.reference}  {len(version.images)} images in {version.group_count} groups: {counts}  ({made})"


def _note(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line, err=True)
