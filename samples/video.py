"""Write a video to disk: the mp4, the table of its labels and the masks of its defects."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2

from samples.truth import LABELS, Frame, Truth

COLUMNS = ("name", *LABELS, "frame", "part", "cloth", "thread")


class UnwritableVideoError(Exception):
    """OpenCV can't encode such a video, or can't write it to this path."""


@dataclass(frozen=True)
class VideoFiles:
    """The three paths of one video: OUT.mp4, OUT.csv and OUT_masks/."""

    video: Path

    @property
    def table(self) -> Path:
        """Return the path of the table with one row per frame."""
        return self.video.with_suffix(".csv")

    @property
    def masks(self) -> Path:
        """Return the folder with an image per true label of a defect: `000123_break.png`."""
        return self.video.with_name(f"{self.video.stem}_masks")

    def row(self, number: int, truth: Truth) -> dict[str, str | int | bool]:
        """Return the row of a frame, numbered from 0, in the table."""
        name = f"{self.video.stem}_{number:06d}.png"
        return {
            "name": name,
            **truth.labels,
            "frame": number,
            "part": truth.part,
            "cloth": truth.cloth,
            "thread": truth.thread,
        }


def write_video(frames: Iterable[Frame], files: VideoFiles, size: int, fps: float) -> None:
    """Encode `frames`, each `size` x `size`, and write their labels and masks beside the video."""
    encoder = _encoder(files.video, size, fps)
    files.masks.mkdir(exist_ok=True)
    for stale in files.masks.glob("[0-9]*_*.png"):
        stale.unlink()
    try:
        with files.table.open("w", newline="") as table:
            rows = csv.DictWriter(table, COLUMNS, lineterminator="\n")
            rows.writeheader()
            for number, (image, truth) in enumerate(frames):
                encoder.write(image)
                rows.writerow(files.row(number, truth))
                for label, mask in truth.masks.items():
                    cv2.imwrite(str(files.masks / f"{number:06d}_{label}.png"), mask)
    finally:
        encoder.release()


def _encoder(video: Path, size: int, fps: float) -> cv2.VideoWriter:
    # the encoder would drop an odd row without an error, and the masks would no longer fit
    if size % 2:
        raise UnwritableVideoError(f"an mp4 of {size} pixels: its size must be even")
    encoder = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"mp4v"), fps, (size, size))
    if not encoder.isOpened():
        raise UnwritableVideoError(f"cannot write {video}: can its folder be written to, and is its suffix .mp4?")
    return encoder
