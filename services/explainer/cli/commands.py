"""Define the commands of the explainer; TensorFlow, which takes seconds to import, is imported by a command."""

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
    help="Say how far the heatmaps of a model can be trusted. Without a command: the service.",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

WRONG_INPUT: Final = 2


@app.callback()
def _commands() -> None:
    """Make typer ask for the name of the command even while there is only one."""


@contextmanager
def reported_errors() -> Iterator[None]:
    """Report an error that the user can correct in one line, with exit code 2 and without a traceback."""
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
    out: Annotated[Path, typer.Option(help="Gets the image: a .png or .jpg.")],
    rows: Annotated[str, typer.Option(help="What is shown of each, from top to bottom.")] = "image,heatmap,merged",
    side: Annotated[int, typer.Option(min=32, max=1024, help="Height of each image, in pixels.")] = 224,
) -> None:
    """Show what a model finds in images and where it looks, side by side, each label in the recipe's colour."""
    with reported_errors():
        wanted = [row for row in rows.split(",") if row]
        if not wanted or not set(wanted) <= set(ROWS):
            raise WrongRequest(f"rows are some of {', '.join(ROWS)}, and not {rows!r}")
        heatmaps_module().show(model, images, out, wanted, side)


@app.command()
def score(
    *,
    model: Annotated[list[Path], typer.Option(help="Folder of a bundle; may be given several times.")],
    data: Annotated[Path, typer.Option(help="Labelled images with masks/ or masks_by_label/, or with marked regions.")],
    images: Annotated[
        int | None, typer.Option(min=1, help="Number of marked images, drawn at random; by default all.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Largest number of images per label, drawn at random.")] = 200,
    curves: Annotated[
        int, typer.Option(min=1, help="Number of these images for the deletion and insertion curves.")
    ] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random draws.")] = 0,
    report: Annotated[
        Path | None, typer.Option(help="File for the scores as JSON; those of several models by version.")
    ] = None,
) -> None:
    """Measure the heatmaps of models on marked images; images that one of the models was trained on are left out."""
    with reported_errors():
        heatmaps = heatmaps_module()
        scores = heatmaps.score(model, data, images=images, most=most, curves=curves, seed=seed)
        for version, of_model in scores.items():
            typer.echo((f"{version}: " if len(scores) > 1 else "") + heatmaps.table_of(of_model))
        if report:
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(heatmaps.as_json(scores) + "\n", encoding="utf-8")
