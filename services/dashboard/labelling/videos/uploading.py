"""Receiving an upload: bounded while it comes, in files of this machine, gone when the request is."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.types import Message

from services.dashboard.labelling.videos.inspection import natural_order, pack
from services.dashboard.labelling.videos.repository import plain_name
from services.dashboard.web.problems import Problem

MOST_FILES: Final = 5_000
FIELD_BYTES: Final = 200_000
LARGEST: Final = 4_000_000_000
"""Bytes of an upload, whatever the settings say."""
STALLED_SECONDS: Final = 60.0
"""Without a byte: whoever sent it is gone, and others want the place."""
IMAGES: Final = (".jpg", ".jpeg", ".png")

BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "a video (mp4, mov, avi, mkv, webm), a zip of images, or several images",
                        },
                        "recipe": {
                            "type": "string",
                            "description": "the name of one that has models",
                            "example": "seam",
                        },
                        "recipe_yaml": {"type": "string", "description": "or the recipe itself"},
                        "name": {"type": "string", "description": "of the video; left out: that of the file"},
                    },
                }
            }
        },
    }
}
"""Of the OpenAPI document: the body is read as it comes, so the framework does not know it."""


@dataclass(frozen=True)
class Upload:
    """A file to take in, and what was said with it."""

    path: Path
    name: str
    recipe: str
    recipe_yaml: str


@asynccontextmanager
async def received(request: Request, most_bytes: int) -> AsyncIterator[Upload]:
    """The upload of a request.

    Raises:
        Problem: 408: nothing comes any more; 413: it is too large; 422: it has no file.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most_bytes:
        raise _too_large(most_bytes)
    bounded = Request(request.scope, _Bounded(request, most_bytes).receive)
    async with bounded.form(max_files=MOST_FILES, max_fields=20, max_part_size=FIELD_BYTES) as form:
        with tempfile.TemporaryDirectory(prefix="seamline-upload-") as folder:
            yield await run_in_threadpool(_unpacked, form, Path(folder))


class _Bounded:
    """Counts what comes."""

    def __init__(self, request: Request, most_bytes: int) -> None:
        self._request = request
        self._most = most_bytes
        self._received = 0

    async def receive(self) -> Message:
        try:
            message = await asyncio.wait_for(self._request.receive(), STALLED_SECONDS)
        except TimeoutError as error:
            raise Problem(408, f"nothing came for {STALLED_SECONDS:.0f} s: upload it again") from error
        self._received += len(message.get("body", b""))
        if self._received > self._most:
            raise _too_large(self._most)
        return message


def _unpacked(form: FormData, folder: Path) -> Upload:
    files = [each for each in form.getlist("files") if isinstance(each, UploadFile) and each.filename]
    if not files:
        raise Problem(422, "files: choose a video (mp4, avi, …), a zip of images, or images")
    name = _field(form, "name") or files[0].filename or "video"
    path = _one_file(files, folder)
    return Upload(path, name, _field(form, "recipe"), _field(form, "recipe_yaml") or _recipe_file(form))


def _one_file(files: list[UploadFile], folder: Path) -> Path:
    """The file itself; of images, an archive of them."""
    names = [_safe(each) for each in files]
    if len(files) > 1 and not all(name.endswith(IMAGES) for name in names):
        raise Problem(422, "files: one video or one zip at a time, or several JPEG and PNG images")
    alike = len(set(names)) < len(names)
    copies = [
        (f"{number:05d}-{_safe(each)}" if alike else _safe(each), each) for number, each in enumerate(_in_order(files))
    ]
    for name, each in copies:
        with (folder / name).open("wb") as copy:
            shutil.copyfileobj(each.file, copy)
    first = folder / copies[0][0]
    if len(copies) == 1 and not first.name.endswith(IMAGES):
        return first
    archive = folder / "images.zip"
    pack([(name, folder / name) for name, _ in copies], archive)
    return archive


def _in_order(files: list[UploadFile]) -> list[UploadFile]:
    return sorted(files, key=lambda each: natural_order(each.filename or ""))


def _safe(file: UploadFile) -> str:
    name = PurePosixPath((file.filename or "file").replace("\\", "/")).name
    suffix = re.sub(r"[^a-z0-9]", "", PurePosixPath(name).suffix.lower())[:8]
    return f"{plain_name(name)}.{suffix}" if suffix else plain_name(name)


def _field(form: FormData, name: str) -> str:
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def _recipe_file(form: FormData) -> str:
    """A recipe that came as a file, from the page's form."""
    file = form.get("recipe_file")
    if not isinstance(file, UploadFile) or not file.filename:
        return ""
    return file.file.read(FIELD_BYTES).decode(errors="replace")


def _too_large(most_bytes: int) -> Problem:
    return Problem(
        413, f"the upload is larger than {most_bytes / 1e6:.0f} MB: cut it, or raise DASHBOARD_UPLOAD_MEGABYTES"
    )
