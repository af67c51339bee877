"""Unpack and decode an uploaded zip in a child process with limits on memory and time, and without secrets.

The child process is `services.dashboard.labelling.imports.zip_reader`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from services.dashboard.labelling.videos.sandbox import ROOT, sandbox_environment
from shared.contracts.dataset import LabelledImage
from shared.recipe import Task

MEMORY_BYTES: Final = 3 * 1024**3
"""Most bytes of address space; Python and its libraries need about half a gibibyte."""
SECONDS: Final = 900
"""Most seconds of the child process."""
FILE_BYTES: Final = 1024**3
"""Most bytes of a file that is written."""


class UnreadableZip(ValueError):
    """A zip of labelled images can't be used; the message says why."""


class SandboxRequest(BaseModel):
    """The arguments of the child process."""

    file: Path
    name: str
    """The name of the file as it was uploaded, for errors."""
    folder: Path
    task: Task | None
    skip_problems: bool

    @property
    def too_large(self) -> str:
        """The error that the limits are exceeded."""
        return f"{self.name}: can't be read within the limits of memory and time: make several of it"


class ZipContents(BaseModel):
    """The content of a zip of labelled images, or the error that it can't be used."""

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


def read_in_sandbox(request: SandboxRequest) -> ZipContents:
    """Read a zip in a child process with limits, which writes the images and masks into the folder of the request.

    Raises:
        UnreadableZip: the zip can't be used, or exceeds the limits.
    """
    command = [sys.executable, "-m", "services.dashboard.labelling.imports.zip_reader", request.model_dump_json()]
    environment = {**sandbox_environment(), "TMPDIR": str(request.folder)}
    try:
        ended = subprocess.run(  # noqa: S603  our own module
            command, check=False, env=environment, cwd=ROOT, capture_output=True, timeout=SECONDS
        )
        found = ZipContents.model_validate_json(ended.stdout)
    except (subprocess.TimeoutExpired, ValidationError) as error:
        raise UnreadableZip(request.too_large) from error
    if found.error:
        raise UnreadableZip(found.error)
    return found
