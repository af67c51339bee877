"""Define the commands of the explainer; TensorFlow, which takes seconds to import, is imported when a command runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Final

import typer

from services.explainer.cli.marked import MarkedFolderError
from services.explainer.cli.requests import WrongRequest
from services.explainer.cli.showing import ROWS
from shared.contracts.bundle import BundleError
from shared.datasets.tables import DatasetError
from shared.engines.quiet import import_quietly
from shared.imaging.codec import UnreadableImage
from shared.imaging.references import NotAligned
from shared.recipe import RecipeError

app = typer.Typer(
    help="Show the heatmaps of a model, or measure how far they can be trusted. Without arguments, "
    "`python -m services.explainer` runs the service.",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

WRONG_INPUT: Final = 2


@app.callback()
def _commands() -> None:
    """Require the name of the command, even if only one command is left."""


@contextmanager
def reported_errors() -> Iterator[None]:
    """Report an error that the user can correct: one line on stderr, exit code 2, and no traceback."""
    try:
        yield
    except (
        DatasetError,
        MarkedFolderError,
        WrongRequest,
        BundleError,
        RecipeError,
        UnreadableImage,
        NotAligned,
        OSError,
    ) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(WRONG_INPUT) from None


def heatmaps_module() -> ModuleType:
    """Import the module that measures and shows heatmaps, which needs TensorFlow."""
    return import_quietly("services.explainer.cli.heatmaps")


@app.command()
def show(
    images: Annotated[list[str], typer.Argument(help="FILE, or FILE=LABEL,LABEL for the heatmaps of these labels.")],
    *,
    model: Annotated[Path, typer.Option(help="Folder of a bundle.")],
    out: Annotated[Path, typer.Option(help="File to write: a .png or .jpg.")],
    rows: Annotated[
        str, typer.Option(help=f"Rows from top to bottom, separated by commas: some of {', '.join(ROWS)}.")
    ] = "image,heatmap,merged",
    side: Annotated[int, typer.Option(min=32, max=1024, help="Height of each image, in pixels.")] = 224,
) -> None:
    """Draw what a model finds in images and where it looks, side by side, each label in the recipe's colour."""
    with reported_errors():
        wanted = [row for row in rows.split(",") if row]
        if not wanted or not set(wanted) <= set(ROWS):
            raise WrongRequest(f"rows are some of {', '.join(ROWS)}, and not {rows!r}")
        heatmaps_module().show(model, images, out, wanted, side)


@app.command()
def score(
    *,
    model: Annotated[list[Path], typer.Option(help="Folder of a bundle; may be given several times.")],
    data: Annotated[
        Path, typer.Option(help="Folder of labelled images with masks or marked regions: see docs/datasets.md.")
    ],
    images: Annotated[
        int | None, typer.Option(min=1, help="Most marked images in total, drawn at random; by default all.")
    ] = None,
    most: Annotated[
        int, typer.Option(min=1, help="Of these, most images per label, drawn at random; also most good images.")
    ] = 200,
    curves: Annotated[
        int, typer.Option(min=1, help="Of these, most images per label for the deletion and insertion curves.")
    ] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random draws.")] = 0,
    report: Annotated[
        Path | None, typer.Option(help="File for the scores as JSON; of several models, an object by version.")
    ] = None,
) -> None:
    """Measure the heatmaps of models on marked images; images that one of the models was trained on are left out."""
    with reported_errors():
        heatmaps = heatmaps_module()
        scores = heatmaps.score(model, data, images=images, most=most, curves=curves, seed=seed)
        for version, model_scores in scores.items():
            typer.echo((f"{version}: " if len(scores) > 1 else "") + heatmaps.table_of(model_scores))
        if report:
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(heatmaps.as_json(scores) + "\n", encoding="utf-8")
