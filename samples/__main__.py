"""Draw seams: `python -m samples video|images|frames|sheet|row`."""

import multiprocessing
from pathlib import Path
from typing import Annotated

import cv2
import typer
from rich.progress import track

from samples.cloth import ClothKind
from samples.frames import NoVideoError, add_frames
from samples.images import ImageSet, write_images, write_tables
from samples.seam_video import SeamVideo, Stitches
from samples.sheet import draw_row, draw_sheet
from samples.swatch import swatches
from samples.video import UnwritableVideoError, VideoFiles, write_video

app = typer.Typer(help="Draw sewing seams with their labels and masks.", no_args_is_help=True)

Seed = Annotated[int, typer.Option(min=0, help="The same seed draws the same pixels.")]
Size = Annotated[int, typer.Option(min=64, max=1024, help="Side of the square image, in pixels.")]
FirstCloth = Annotated[int, typer.Option(min=0, help="Number of the first swatch of the book to use.")]
Cloths = Annotated[int, typer.Option(min=1, help="How many swatches, from the first on.")]
Kind = Annotated[ClothKind | None, typer.Option(help="Only this kind of cloth.")]
Processes = Annotated[int, typer.Option(min=1, help="How many processes draw at once; the images are the same.")]
Rate = Annotated[float, typer.Option(min=0, max=1, help="Share of the images with a defect.")]

Varied = Annotated[
    bool, typer.Option("--varied", help="As from many cameras; errors are also stains, pinches and puckers.")
]

CORES = multiprocessing.cpu_count()


@app.command()
def video(
    out: Annotated[Path, typer.Argument(help="OUT.mp4; OUT.csv and OUT_masks/ go beside it.")],
    *,
    frames: Annotated[int, typer.Option(min=1)] = 1500,
    size: Size = 224,
    fps: Annotated[float, typer.Option(min=1)] = 25,
    seed: Seed = 0,
    defect_rate: Rate = 0.05,
    stitch: Stitches = "mixed",
    first_cloth: FirstCloth = 0,
    cloths: Cloths = 40,
    kind: Kind = None,
) -> None:
    """Draw a video of sewn pieces passing under a camera."""
    book = swatches(first_cloth, cloths, kind)
    video = SeamVideo(seed, frames, size, defect_rate, stitch, book)
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_video(track(video, "Recording seams", total=frames), VideoFiles(out), size, fps)
    except UnwritableVideoError as error:
        raise typer.BadParameter(str(error)) from error


@app.command()
def images(
    out_dir: Annotated[Path, typer.Argument(help="Gets images/, masks/, masks_by_label/, labels.csv, groups.csv.")],
    *,
    count: Annotated[int, typer.Option(min=1)] = 2000,
    seed: Seed = 0,
    size: Size = 224,
    defect_rate: Rate = 0.5,
    first_cloth: FirstCloth = 0,
    cloths: Cloths = 40,
    kind: Kind = None,
    varied: Varied = False,
    processes: Processes = CORES,
) -> None:
    """Draw single images to train on; sets with other swatches share no cloth and no thread."""
    book = swatches(first_cloth, cloths, kind)
    written = write_images(ImageSet(count, seed, size, defect_rate, book, varied), out_dir, processes)
    write_tables(track(written, "Drawing seams", total=count), out_dir)


@app.command()
def frames(
    video: Annotated[Path, typer.Argument(help="A video that `video` drew; its table is beside it.")],
    folder: Annotated[Path, typer.Argument(help="A folder of labelled images, new or not: frames are added.")],
    *,
    every: Annotated[int, typer.Option(min=1, help="Take every n-th frame: neighbouring frames are alike.")] = 5,
) -> None:
    """Make labelled images from the frames of a video."""
    try:
        typer.echo(f"{add_frames(video, folder, every)} frames added to {folder}")
    except NoVideoError as error:
        raise typer.BadParameter(str(error)) from error


@app.command()
def sheet(
    out: Annotated[Path, typer.Argument(help="A jpg, or a png (six times as big).")],
    seed: Seed = 0,
    size: Size = 128,
    varied: Varied = False,
) -> None:
    """Draw a contact sheet: two rows of good seams, two rows with each kind of defect."""
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), draw_sheet(seed, size, varied), [cv2.IMWRITE_JPEG_QUALITY, 84])


@app.command()
def row(
    out_dir: Annotated[Path, typer.Argument(help="Gets error.png, break.png, error-and-break.png, length.png.")],
    *,
    seed: Seed = 0,
    size: Size = 224,
) -> None:
    """Draw a seam with an error, one with a break, one with both, and a good one with short stitches."""
    out_dir.mkdir(parents=True, exist_ok=True)
    for name, image in draw_row(seed, size).items():
        cv2.imwrite(str(out_dir / f"{name}.png"), image)


if __name__ == "__main__":
    app()
