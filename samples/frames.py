"""Frames of a drawn film as labelled pictures: what a camera sees of a seam after a film has been compressed."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2

from samples.truth import LABELS
from samples.video import VideoFiles

JPEG_QUALITY = 90
TABLES = {"labels.csv": ("name", *LABELS), "groups.csv": ("name", "group", "cloth", "thread")}


class NoFilmError(Exception):
    """The film or its table is not there, or they do not belong together."""


def add_frames(film: Path, folder: Path, every: int) -> int:
    """Add every n-th frame of a film to a folder of labelled pictures, as JPEG; how many were added.

    The group of a frame is its cloth and thread.

    Raises:
        NoFilmError: there is no film, no table beside it, or not a row for each frame.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    added: list[dict[str, str]] = []
    for number, (row, picture) in enumerate(_read(film)):
        if number % every == 0:
            name = Path(row["name"]).with_suffix(".jpg").name
            cv2.imwrite(str(folder / "images" / name), picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            added.append({**row, "name": name, "group": f"{row['cloth']}, {row['thread']}"})
    for table, columns in TABLES.items():
        _append(folder / table, columns, added)
    return len(added)


def _read(film: Path) -> Iterator[tuple[dict[str, str], Any]]:
    table = VideoFiles(film).table
    if not film.exists() or not table.exists():
        raise NoFilmError(f"{film} and {table} are needed: draw them with `python -m samples video {film}`")
    video = cv2.VideoCapture(str(film))
    with table.open(newline="") as rows:
        for row in csv.DictReader(rows):
            read, picture = video.read()
            if not read:
                raise NoFilmError(f"{film} ends before its table {table}: draw it again")
            yield row, picture
    video.release()


def _append(table: Path, columns: tuple[str, ...], rows: list[dict[str, str]]) -> None:
    new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        if new:
            writer.writeheader()
        writer.writerows(rows)
