"""Make a dataset version from an uploaded zip of labelled images."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from services.dashboard.labelling.imports.sandbox import SandboxRequest, UnreadableZip, read_in_sandbox
from services.dashboard.labelling.schemas import DatasetImported
from services.dashboard.labelling.videos.repository import plain_name
from services.dashboard.labelling.videos.transfers import Upload, multipart_body
from services.dashboard.web.problems import Problem
from shared.contracts.dataset import DatasetVersionError, next_version, put_image, write_version
from shared.language import gettext, reported, translated
from shared.messages import Name
from shared.recipe import Task
from shared.storage.port import ObjectStore
from shared.validation import describe

DATASET_BODY: Final = multipart_body(
    {
        "files": {"type": "string", "format": "binary", "description": "a zip of labelled images"},
        "name": {"type": "string", "description": "of the dataset; by default that of the file"},
        "task": {
            "type": "string",
            "enum": [task.value for task in Task],
            "description": "by default derived from the labels",
        },
        "skip_problems": {
            "type": "boolean",
            "description": "leave out what can't be used, instead of refusing all",
        },
    }
)


class ImportRequest(BaseModel):
    """The options of an import, from the fields of the upload."""

    model_config = ConfigDict(frozen=True)

    name: Name
    task: Task | None = None
    skip_problems: bool = False


def import_request_of(upload: Upload) -> ImportRequest:
    """Return the request of an upload.

    Raises:
        Problem: 422: a field has an invalid value.
    """
    given = {name: upload.fields[name] for name in ("task", "skip_problems") if upload.fields.get(name)}
    name = upload.fields.get("name") or plain_name(upload.file_name)
    try:
        return ImportRequest.model_validate({"name": name, **given})
    except ValidationError as error:
        first = error.errors()[0]
        raise Problem(422, f"{first['loc'][0]}: {describe(first, translated)}") from error


class ImportService:
    """Makes dataset versions from uploads. Zips are read at the same time, but written one at a time."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._making = threading.Lock()

    def add(self, path: Path, request: ImportRequest, *, file: str, by: str) -> DatasetImported:
        """Read a zip, and store its content as the next version of a dataset.

        The images are stored before the version that names them. If the newest version has the same content, nothing is
        stored and that version is returned.

        Args:
            path: the zip on this machine.
            request: the options of the import.
            file: the name of the zip as it was uploaded.
            by: the person who imports it.

        Raises:
            Problem: 409: the newest version can't be read; 422: the zip can't be used, or an image changed meanwhile.
            StorageError: the version was not written.
        """
        with tempfile.TemporaryDirectory(prefix="seamline-import-") as folder:
            try:
                found = read_in_sandbox(
                    SandboxRequest(
                        file=path.absolute(),
                        name=file,
                        folder=Path(folder).absolute(),
                        task=request.task,
                        skip_problems=request.skip_problems,
                    )
                )
            except UnreadableZip as error:
                raise Problem(422, reported(error)) from error
            with self._making:
                try:
                    version, is_new = next_version(
                        self._store, request.name, found.label_names, found.images, by=by, source=file
                    )
                except DatasetVersionError as error:
                    raise Problem(
                        409, gettext("name: %(error)s: choose another name", error=reported(error))
                    ) from error
                if is_new:
                    for digest in found.files:
                        if put_image(self._store, (Path(folder) / digest).read_bytes()) != digest:
                            raise Problem(
                                422, gettext("%(file)s: an image changed while it was read: upload it again", file=file)
                            )
                    write_version(self._store, version)
        return DatasetImported(
            dataset=version.reference,
            is_new=is_new,
            images=len(version.images),
            groups=version.group_count,
            masks=sum(bool(image.masks) for image in version.images),
            labels=version.counts,
            left_out=list(map(reported, found.left_out)),
            notes=list(map(reported, found.notes)),
        )
