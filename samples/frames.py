"""Turn frames of a drawn video into labelled images, with the artefacts of video compression."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2

from samples.truth import LABELS
from samples.video import VideoFiles

JPEG_QUALITY = 90
TABLES = {"labels.csv": ("name", *LABELS), "groups.csv": ("name", "group", "cloth", "thread")}


class NoVideoError(Exception):
    """The video or its table is missing, or they do not belong together."""


def add_frames(video: Path, folder: Path, every: int) -> int:
    """Add every n-th frame of a video to a folder of labelled images, as JPEG, and return how many were added.

    The group of a frame is its cloth and thread.

    Raises:
        NoVideoError: there is no video, no table beside it, or no row for one of its frames.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    added: list[dict[str, str]] = []
    for number, (row, image) in enumerate(_read(video)):
        if number % every == 0:
            name = Path(row["name"]).with_suffix(".jpg").name
            cv2.imwrite(str(folder / "images" / name), image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            added.append({**row, "name": name, "group": f"{row['cloth']}, {row['thread']}"})
    for table, columns in TABLES.items():
        _append(folder / table, columns, added)
    return len(added)


def _read(video: Path) -> Iterator[tuple[dict[str, str], Any]]:
    table = VideoFiles(video).table
    if not video.exists() or not table.exists():
        raise NoVideoError(f"{video} and {table} are needed: draw them with `python -m samples video {video}`")
    capture = cv2.VideoCapture(str(video))
    with table.open(newline="") as rows:
        for row in csv.DictReader(rows):
            read, image = capture.read()
            if not read:
                raise NoVideoError(f"{video} ends before its table {table}: draw it again")
            yield row, image
    capture.release()


def _append(table: Path, columns: tuple[str, ...], rows: list[dict[str, str]]) -> None:
    new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        if new:
            writer.writeheader()
        writer.writerows(rows)
