"""Receive uploads and send downloads of large files.

Uploads are limited in size. A transfer ends if no byte moves for `STALLED_SECONDS`. `TransferSlots` limits how many
transfers run at the same time.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

import structlog
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from services.dashboard.labelling.videos.repository import plain_name
from services.dashboard.labelling.videos.scan import pack_album
from services.dashboard.web.problems import Problem
from shared.imaging.codec import file_kind, is_kind_read
from shared.imaging.formats import is_readable
from shared.imaging.video import natural_order
from shared.language import gettext, translated

RETRY_SECONDS: Final = 30
"""Seconds after which a refused client may try again, for the header ``Retry-After``."""
STALLED_SECONDS: Final = 60.0
"""Seconds without a byte after which a transfer is ended, so that its slot is free."""
MOST_FILES: Final = 5_000
"""Most files of one upload."""
FIELD_BYTES: Final = 200_000
"""Most bytes of a text field of an upload; of a recipe file, only the first ones are read."""
LARGEST: Final = 4_000_000_000
"""Most bytes of an upload: the largest value of `DASHBOARD_UPLOAD_MEGABYTES`, in bytes."""
CHUNK_BYTES: Final = 256 * 1024


def multipart_body(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the body of an upload in the OpenAPI document.

    FastAPI can't describe it, because this module parses the body while it arrives.

    Args:
        properties: the JSON schema of each field, by the field's name. It contains ``files``, which every upload must
            have.
    """
    schema = {"type": "object", "required": ["files"], "properties": properties}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


UPLOAD_BODY: Final = multipart_body(
    {
        "files": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "format": "binary"},
            "description": "a video (mp4, mov, avi, mkv, webm), a zip of images, or several images",
        },
        "recipe": {"type": "string", "description": "name of a recipe that has models", "example": "seam"},
        "recipe_yaml": {"type": "string", "description": "the recipe as YAML, instead of `recipe`"},
        "name": {"type": "string", "description": "name of the video; by default the name of the file"},
    }
)

_log = structlog.stdlib.get_logger("labelling")


class TransferSlots:
    """Limits how many transfers of one kind run at the same time. Further transfers are refused, not queued."""

    def __init__(self, what: str, count: int) -> None:
        """Allow ``count`` transfers at the same time; ``what`` is their plural, which is marked for translation."""
        self._what = what
        self._count = count
        self._free = threading.Semaphore(count)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot while the block runs.

        Raises:
            Problem: 503: no slot is free.
        """
        if not self._free.acquire(blocking=False):
            raise Problem(
                503,
                gettext(
                    "the limit of %(count)s for %(what)s at the same time is reached: try again in %(seconds)s s, or "
                    "raise DASHBOARD_TRANSFERS",
                    count=self._count,
                    what=translated(self._what),
                    seconds=RETRY_SECONDS,
                ),
                headers={"Retry-After": str(RETRY_SECONDS)},
            )
        try:
            yield
        finally:
            self._free.release()


@dataclass(frozen=True)
class Upload:
    """A received file on this machine, and the fields that came with it."""

    path: Path
    name: str
    recipe: str
    recipe_yaml: str
    file_name: str = ""
    """The name of the first file as it was sent."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """All fields of the form that are texts."""


@asynccontextmanager
async def receive_upload(request: Request, most_bytes: int) -> AsyncIterator[Upload]:
    """Receive the upload of a request, and delete its files after the block.

    Raises:
        Problem: 408: no byte arrived for `STALLED_SECONDS`; 413: the upload is too large; 422: it contains no file, or
            several files that are not all images.
        HTTPException: 400: the body can't be parsed, has too many files or fields, or a field is too long.
    """
    too_large = Problem(
        413,
        gettext(
            "the upload is larger than %(most_bytes)s MB: cut it, or raise DASHBOARD_UPLOAD_MEGABYTES",
            most_bytes=round(most_bytes / 1e6),
        ),
    )
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most_bytes:
        raise too_large
    received_bytes = 0

    async def receive() -> Message:
        nonlocal received_bytes
        try:
            message = await asyncio.wait_for(request.receive(), STALLED_SECONDS)
        except TimeoutError as error:
            raise Problem(
                408,
                gettext(
                    "nothing arrived for %(stalled_seconds)s s: upload it again",
                    stalled_seconds=round(STALLED_SECONDS),
                ),
            ) from error
        received_bytes += len(message.get("body", b""))
        if received_bytes > most_bytes:
            raise too_large
        return message

    limited = Request(request.scope, receive)
    async with limited.form(max_files=MOST_FILES, max_fields=20, max_part_size=FIELD_BYTES) as form:
        with tempfile.TemporaryDirectory(prefix="seamline-upload-") as folder:
            yield await run_in_threadpool(_upload_of, form, Path(folder))


def _upload_of(form: FormData, folder: Path) -> Upload:
    files = [each for each in form.getlist("files") if isinstance(each, UploadFile) and each.filename]
    if not files:
        raise Problem(422, gettext("files: choose a video (mp4, avi, …), a zip of images, or images"))
    fields = {name: value.strip() for name, value in form.items() if isinstance(value, str)}
    recipe_yaml, recipe_file = fields.get("recipe_yaml", ""), form.get("recipe_file")
    if not recipe_yaml and isinstance(recipe_file, UploadFile) and recipe_file.filename:
        recipe_yaml = recipe_file.file.read(FIELD_BYTES).decode(errors="replace")
    file_name = files[0].filename or "video"
    name = fields.get("name") or file_name
    return Upload(_one_file(files, folder), name, fields.get("recipe", ""), recipe_yaml, file_name, fields)


def _one_file(files: list[UploadFile], folder: Path) -> Path:
    """Copy the uploaded files into a folder, under safe names.

    Returns:
        The path of the video or zip; for images, of a zip (an album) that contains them.
    """
    files = sorted(files, key=lambda each: natural_order(each.filename or ""))
    names = []
    for file in files:
        path = PurePosixPath(PurePosixPath((file.filename or "file").replace("\\", "/")).name)
        suffix = re.sub(r"[^a-z0-9]", "", path.suffix.lower())[:8]
        names.append(f"{plain_name(path.name)}.{suffix}" if suffix else plain_name(path.name))
    if len(set(names)) < len(names):
        names = [f"{number:05d}-{name}" for number, name in enumerate(names)]
    for name, file in zip(names, files, strict=True):
        with (folder / name).open("wb") as copy:
            shutil.copyfileobj(file.file, copy)
    images_only = all(is_readable(name) or is_kind_read(file_kind(folder / name)) for name in names)
    if len(files) > 1 and not images_only:
        raise Problem(
            422, gettext("files: one video or one zip at a time, or several images (JPEG, PNG, BMP, TIFF, WebP)")
        )
    if not images_only:
        return folder / names[0]
    album = folder / "images.zip"
    pack_album([(name, folder / name) for name in names], album)
    return album


class Download(StreamingResponse):
    """Sends a file from its beginning, then closes the file.

    It is also closed after an error, and when the client takes no byte for `STALLED_SECONDS`.
    """

    def __init__(self, file: IO[bytes], media_type: str, headers: Mapping[str, str]) -> None:
        file.seek(0)
        super().__init__(iter(lambda: file.read(CHUNK_BYTES), b""), media_type=media_type, headers=headers)
        self._file = file

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            await asyncio.wait_for(send(message), STALLED_SECONDS)

        try:
            await super().stream_response(send_in_time)
        except TimeoutError:
            # not raised: uvicorn closes the connection, because the answer is shorter than its header says
            _log.warning("ended a download: the client took no byte of it for some time", seconds=STALLED_SECONDS)
        finally:
            self._file.close()
