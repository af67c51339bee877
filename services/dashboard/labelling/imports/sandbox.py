"""Unpack and decode an uploaded zip in a process of its own, with limits on memory, time and disk, without secrets.

``python -m services.dashboard.labelling.imports.sandbox ORDER`` writes each image and mask of a zip into a folder,
named by its SHA-256, and prints what a dataset version lists of them.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
from pydantic import BaseModel, ConfigDict, ValidationError

from services.dashboard.labelling.videos.sandbox import ROOT, sandbox_environment
from shared.contracts.dataset import LabelledImage
from shared.datasets.importing import open_images, warnings_of
from shared.datasets.reading import read_dataset
from shared.datasets.tables import DatasetError, listed
from shared.imaging.formats import as_jpeg_or_png
from shared.recipe import Task

MEMORY_BYTES: Final = 3 * 1024**3
"""Address space; Python and its libraries take half a gibibyte of it."""
SECONDS: Final = 900
FILE_BYTES: Final = 1024**3
"""The largest file that is written."""
TOO_LARGE: Final = "it can't be read within the limits of memory and time: make several of it"


class UnreadableZip(ValueError):
    """A zip of labelled images can't be used; the message says why."""


class SandboxOrder(BaseModel):
    """What the process is to do."""

    file: Path
    folder: Path
    task: Task | None
    skip_problems: bool


class ReadZip(BaseModel):
    """What is in a zip of labelled images."""

    model_config = ConfigDict(frozen=True)

    label_names: tuple[str, ...] = ()
    images: tuple[LabelledImage, ...] = ()
    left_out: list[str] = []
    notes: list[str] = []
    error: str = ""

    @property
    def files(self) -> list[str]:
        """The SHA-256 of each image and mask, which names its file."""
        return list(dict.fromkeys(digest for each in self.images for digest in (each.digest, *each.masks.values())))


def read_in_sandbox(file: Path, folder: Path, task: Task | None, *, skip_problems: bool) -> ReadZip:
    """Read a zip in a process with limits; its images and masks are in the folder then.

    Raises:
        UnreadableZip: it can't be used, or exceeds the limits.
    """
    order = SandboxOrder(file=file.absolute(), folder=folder.absolute(), task=task, skip_problems=skip_problems)
    command = [sys.executable, "-m", "services.dashboard.labelling.imports.sandbox", order.model_dump_json()]
    environment = {**sandbox_environment(), "TMPDIR": str(folder)}
    try:
        ended = subprocess.run(  # noqa: S603  our own module
            command, check=False, env=environment, cwd=ROOT, capture_output=True, timeout=SECONDS
        )
        found = ReadZip.model_validate_json(ended.stdout)
    except (subprocess.TimeoutExpired, ValidationError) as error:
        raise UnreadableZip(TOO_LARGE) from error
    if found.error:
        raise UnreadableZip(found.error)
    return found


def read_zip(order: SandboxOrder) -> ReadZip:
    """Read a zip, and write its images and masks into the folder.

    Raises:
        DatasetError: it can't be used.
    """
    dataset = read_dataset(order.file, task=order.task, on_problem="skip")
    images, problems = open_images(dataset)
    if problems and (not order.skip_problems or not images):
        raise DatasetError(problems)
    for example, image in images:
        masks = dict(example.masks)
        files = {image.digest: example.image, **{digest: masks[name] for name, digest in image.masks.items()}}
        for digest, path in files.items():
            (order.folder / digest).write_bytes(as_jpeg_or_png(path.read_bytes()))
    return ReadZip(
        label_names=dataset.label_names,
        images=tuple(image for _, image in images),
        left_out=listed(problems),
        notes=list(warnings_of(dataset, images)),
    )


def without_folder(lines: Sequence[str], order: SandboxOrder) -> list[str]:
    """Return texts that say `the zip` where they name the folder into which it was unpacked."""
    unpacked = re.compile(rf"{re.escape(str(order.folder))}/[^/\s:,]+")
    return [unpacked.sub("the zip", line) for line in lines]


def main() -> None:
    """Limit this process, and print what is in the zip, or why it can't be used."""
    order = SandboxOrder.model_validate_json(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    cv2.setNumThreads(1)
    try:
        found = read_zip(order)
        found = found.model_copy(
            update={"left_out": without_folder(found.left_out, order), "notes": without_folder(found.notes, order)}
        )
    except DatasetError as error:
        found = ReadZip(error=" ".join(without_folder([str(error)], order)))
    except (MemoryError, OSError, cv2.error):
        found = ReadZip(error=TOO_LARGE)
    sys.stdout.write(json.dumps(found.model_dump(mode="json")))


if __name__ == "__main__":
    main()
