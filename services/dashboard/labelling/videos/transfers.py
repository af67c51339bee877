"""Uploads and downloads of large files: limited in number, size and idle time."""

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
from services.dashboard.web.language import gettext, translated
from services.dashboard.web.problems import Problem
from shared.imaging.formats import is_readable
from shared.imaging.video import natural_order

RETRY_SECONDS: Final = 30
STALLED_SECONDS: Final = 60.0
"""Seconds without a byte after which a transfer is ended, so that its slot is free."""
MOST_FILES: Final = 5_000
FIELD_BYTES: Final = 200_000
LARGEST: Final = 4_000_000_000
"""Most bytes of an upload; `DASHBOARD_UPLOAD_MEGABYTES` can't exceed it."""
CHUNK_BYTES: Final = 256 * 1024


def multipart_body(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the body of an upload in the OpenAPI document; it is parsed while it arrives, not by the framework.

    Args:
        properties: the fields by their names, as JSON schemas; ``files`` is required.
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
        "recipe_yaml": {"type": "string", "description": "or the recipe itself"},
        "name": {"type": "string", "description": "of the video; by default that of the file"},
    }
)

_log = structlog.stdlib.get_logger("labelling")


class TransferSlots:
    """Limits how many transfers of one kind run at the same time. Further transfers are refused, not queued."""

    def __init__(self, what: str, count: int) -> None:
        """``what`` names the transfers in the plural."""
        self._what = what
        self._count = count
        self._free = threading.Semaphore(count)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot while the block runs.

        Raises:
            Problem: 503: none is free.
        """
        if not self._free.acquire(blocking=False):
            raise Problem(
                503,
                gettext(
                    "%(count)s %(what)s are running, which is the most at once: try again in a minute, or raise "
                    "DASHBOARD_TRANSFERS",
                    count=self._count,
                    what=translated(self._what),
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
async def received(request: Request, most_bytes: int) -> AsyncIterator[Upload]:
    """Receive the upload of a request, and delete its files after the block.

    Raises:
        Problem: 408: nothing arrives any more; 413: it is too large; 422: it contains no file.
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
    """Copy the uploaded files into a folder, under safe names. Return the video or zip, or an album of the images."""
    files = sorted(files, key=lambda each: natural_order(each.filename or ""))
    names = []
    for file in files:
        path = PurePosixPath(PurePosixPath((file.filename or "file").replace("\\", "/")).name)
        suffix = re.sub(r"[^a-z0-9]", "", path.suffix.lower())[:8]
        names.append(f"{plain_name(path.name)}.{suffix}" if suffix else plain_name(path.name))
    images_only = all(is_readable(name) for name in names)
    if len(files) > 1 and not images_only:
        raise Problem(
            422, gettext("files: one video or one zip at a time, or several images (JPEG, PNG, BMP, TIFF, WebP)")
        )
    if len(set(names)) < len(names):
        names = [f"{number:05d}-{name}" for number, name in enumerate(names)]
    for name, file in zip(names, files, strict=True):
        with (folder / name).open("wb") as copy:
            shutil.copyfileobj(file.file, copy)
    if not images_only:
        return folder / names[0]
    album = folder / "images.zip"
    pack_album([(name, folder / name) for name in names], album)
    return album


class Download(StreamingResponse):
    """Sends a file from its beginning, and closes it when it is sent or the client has stalled."""

    def __init__(self, file: IO[bytes], media_type: str, headers: Mapping[str, str]) -> None:
        file.seek(0)
        super().__init__(iter(lambda: file.read(CHUNK_BYTES), b""), media_type=media_type, headers=headers)
        self._file = file

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            await asyncio.wait_for(send(message), STALLED_SECONDS)

        try:
            await super().stream_response(send_in_time)
        except TimeoutError:  # an answer that ends too early closes the connection
            _log.warning("gave up a download: the client took nothing of it", seconds=STALLED_SECONDS)
        finally:
            self._file.close()
