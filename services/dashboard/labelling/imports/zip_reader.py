"""Unpack and decode a zip of labelled images, with limits on memory, time and disk.

``python -m services.dashboard.labelling.imports.zip_reader ORDER`` writes each image and mask of a zip into a folder,
named by its SHA-256, and prints their entries of a dataset version as JSON.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Sequence

import cv2

from services.dashboard.labelling.imports.sandbox import (
    FILE_BYTES,
    MEMORY_BYTES,
    SECONDS,
    SandboxRequest,
    ZipContents,
)
from shared.datasets.importing import open_images, warnings_of
from shared.datasets.reading import read_dataset
from shared.datasets.tables import DatasetError, problem_lines
from shared.imaging.codec import as_jpeg_or_png


def read_zip(request: SandboxRequest) -> ZipContents:
    """Read a zip, and write its images and masks into the folder.

    Raises:
        DatasetError: the zip can't be used.
    """
    dataset = read_dataset(request.file, task=request.task, on_problem="skip")
    images, problems = open_images(dataset, threads=1)
    if problems and (not request.skip_problems or not images):
        raise DatasetError(problems)
    for example, image in images:
        masks = dict(example.masks)
        files = {image.digest: example.image, **{digest: masks[name] for name, digest in image.masks.items()}}
        for digest, path in files.items():
            (request.folder / digest).write_bytes(as_jpeg_or_png(path.read_bytes()))
    return ZipContents(
        label_names=dataset.label_names,
        images=tuple(image for _, image in images),
        left_out=problem_lines(problems),
        notes=list(warnings_of(dataset, images)),
    )


def with_name(lines: Sequence[str], request: SandboxRequest) -> list[str]:
    """Return texts in which the name of the upload stands for its file here, and for the folder of its content."""
    own = re.compile(rf"{re.escape(str(request.folder))}/[^/\s:,]+|^{re.escape(request.file.name)}(?=: )")
    return [own.sub(lambda _: request.name, line) for line in lines]


def main() -> None:
    """Limit this process, and print what is in the zip, or why it can't be used."""
    request = SandboxRequest.model_validate_json(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    cv2.setNumThreads(1)
    try:
        found = read_zip(request)
        found = found.model_copy(
            update={"left_out": with_name(found.left_out, request), "notes": with_name(found.notes, request)}
        )
    except DatasetError as error:
        found = ZipContents(error="\n".join(with_name(str(error).splitlines(), request)))
    except (MemoryError, OSError, cv2.error):
        found = ZipContents(error=request.too_large)
    sys.stdout.write(json.dumps(found.model_dump(mode="json")))


if __name__ == "__main__":
    main()
