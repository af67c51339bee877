"""Uploaded videos in object storage.

``labelling/videos/<ulid>/`` holds the file in parts (``part-0000``, …), ``times.json``, the first frame, and
``video.json``. The last of these is written last, so a video is stored completely or not at all.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic_core import from_json
from ulid import ULID

from services.dashboard.labelling.videos.reader import AlbumReader, FrameReader
from services.dashboard.labelling.videos.sandbox import SandboxedVideoReader
from services.dashboard.labelling.videos.scan import VideoContent, VideoKind
from shared.storage.port import ObjectStore, StorageError
from shared.storage.records import read_or_skip

FOLDER: Final = "labelling/videos"
MANIFEST: Final = "video.json"
TIMES: Final = "times.json"
FIRST_FRAME: Final = "first"
"""The first image has its own object, so that a list of videos opens no video."""
PART_BYTES: Final = 16 * 1024**2
MOST_OPEN: Final = 4
CACHE_BYTES: Final = 1024**3
"""Size of the videos that are cached on this machine, except for the one used last."""


class UploadedVideo(BaseModel):
    """An uploaded video or album, and the recipe by which it is labelled."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(description="a ULID")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    kind: VideoKind
    recipe_yaml: str
    frames: int = Field(gt=0)
    width: int
    height: int
    frames_per_second: float
    size: int = Field(description="bytes of the file")
    parts: int
    digest: str = Field(description="SHA-256 of the file")
    names: tuple[str, ...] = Field((), description="names of the images of an album")
    left_out: int = Field(0, description="images of an album of kinds that can't be read; damaged frames of a video")
    uploaded_by: str
    uploaded_at: AwareDatetime

    @property
    def source(self) -> str:
        """The id of the video as a source of frames."""
        return f"video-{self.id}"


class VideoExists(Exception):
    """The same file was uploaded before, for the same recipe."""

    def __init__(self, video: UploadedVideo) -> None:
        super().__init__(f"this video was uploaded already, as {video.name!r} (source {video.source})")


class VideoRepository:
    """The videos in object storage, and those cached on this machine."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._videos: dict[str, UploadedVideo] = {}
        self._readers: OrderedDict[str, FrameReader] = OrderedDict()
        """Open videos by id, the one used last at the end."""
        self._folder = tempfile.TemporaryDirectory(prefix="seamline-videos-")
        self._lock = threading.Lock()
        self._naming = threading.Lock()

    def all(self) -> list[UploadedVideo]:
        """Return all complete videos, newest first."""
        found = (key.split("/")[2] for key in self._store.keys(f"{FOLDER}/") if key.endswith(f"/{MANIFEST}"))
        keys = ((video_id, f"{FOLDER}/{video_id}/{MANIFEST}") for video_id in sorted(found, reverse=True))
        return [video for video_id, key in keys if (video := read_or_skip(key, partial(self.get, video_id)))]

    def get(self, video_id: str) -> UploadedVideo:
        """Return one video, which never changes.

        Raises:
            ObjectNotFound: there is no video of this id.
        """
        if video_id not in self._videos:
            self._videos[video_id] = UploadedVideo.model_validate_json(
                self._store.get(f"{FOLDER}/{video_id}/{MANIFEST}")
            )
        return self._videos[video_id]

    def check_new(self, digest: str, recipe_yaml: str) -> None:
        """Check that a file was not uploaded before for the same recipe.

        Raises:
            VideoExists: the file was uploaded before.
        """
        for video in self.all():
            if (video.digest, video.recipe_yaml) == (digest, recipe_yaml):
                raise VideoExists(video)

    def add(self, path: Path, content: VideoContent, *, name: str, recipe_yaml: str, by: str) -> UploadedVideo:
        """Store a scanned video.

        Raises:
            VideoExists: another person has just uploaded the same video.
            StorageError: the video was not stored. Parts that could not be deleted now are deleted by `cleanup`.
        """
        folder = f"{FOLDER}/{(video_id := str(ULID()))}"
        try:
            parts = 0
            with path.open("rb") as file:
                while chunk := file.read(PART_BYTES):
                    self._store.put(_part_key(video_id, parts), chunk)
                    parts += 1
            self._store.put(f"{folder}/{TIMES}", json.dumps(content.times).encode(), "application/json")
            with closing(_reader(content.kind, path, content.names, content.times)) as reader:
                self._store.put(f"{folder}/{FIRST_FRAME}", reader.image(0))
            digest = digest_of(path)
            with self._naming:
                self.check_new(digest, recipe_yaml)  # again, because a scan takes minutes
                video = UploadedVideo(
                    id=video_id,
                    name=self._free_name(name),
                    kind=content.kind,
                    recipe_yaml=recipe_yaml,
                    frames=content.frames,
                    width=content.width,
                    height=content.height,
                    frames_per_second=content.frames_per_second,
                    size=path.stat().st_size,
                    parts=parts,
                    digest=digest,
                    names=content.names,
                    left_out=content.left_out,
                    uploaded_by=by,
                    uploaded_at=datetime.now(UTC),
                )
                self._store.put(f"{folder}/{MANIFEST}", video.model_dump_json().encode(), "application/json")
        except BaseException:
            with suppress(StorageError):
                delete_video(self._store, video_id)
            raise
        return video

    def image(self, video: UploadedVideo, number: int) -> bytes:
        """Return a frame as a JPEG or PNG file.

        Raises:
            UnreadableMedia: the frame can't be decoded.
            StorageError: the video can't be fetched from object storage.
        """
        if number == 0:
            return self._store.get(f"{FOLDER}/{video.id}/{FIRST_FRAME}")
        reader = self._open(video)
        try:
            return reader.image(number)
        except ValueError:
            if self._readers.get(video.id) is reader:
                raise
            return self._open(video).image(number)  # another thread closed it to make room

    def close(self) -> None:
        """Close the open videos, and delete the cached files."""
        with self._lock:
            for reader in self._readers.values():
                reader.close()
            self._readers.clear()
        self._folder.cleanup()

    def _open(self, video: UploadedVideo) -> FrameReader:
        """Return the reader of a video, downloaded if it is not cached; close the readers used longest ago."""
        with self._lock:
            if video.id not in self._readers:
                path = self._cached_file(video.id)
                with path.open("wb") as file:
                    for part in range(video.parts):
                        file.write(self._store.get(_part_key(video.id, part)))
                times = from_json(self._store.get(f"{FOLDER}/{video.id}/{TIMES}"))
                self._readers[video.id] = _reader(video.kind, path, video.names, times)
                while len(self._readers) > 1 and (
                    len(self._readers) > MOST_OPEN or sum(self.get(each).size for each in self._readers) > CACHE_BYTES
                ):
                    oldest, reader = self._readers.popitem(last=False)
                    reader.close()
                    self._cached_file(oldest).unlink(missing_ok=True)
            self._readers.move_to_end(video.id)
            return self._readers[video.id]

    def _cached_file(self, video_id: str) -> Path:
        return Path(self._folder.name) / video_id

    def _free_name(self, name: str) -> str:
        """Return a name that no other video has, because the names of exported images begin with it."""
        taken = {video.name for video in self.all()}
        name = plain_name(name)
        candidates = (name, *(f"{name}-{count}" for count in range(2, len(taken) + 2)))
        return next(candidate for candidate in candidates if candidate not in taken)


def plain_name(name: str) -> str:
    """Return a file name without its suffix, in the characters that keys and tables allow."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", Path(name).stem).strip("-_")[:48] or "video"


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reader(kind: VideoKind, path: Path, names: Sequence[str], times: Sequence[float]) -> FrameReader:
    return AlbumReader(path, names) if kind == "album" else SandboxedVideoReader(path, times)


def delete_video(store: ObjectStore, video_id: str) -> None:
    """Delete the manifest first: without it, there is no video."""
    store.delete(f"{FOLDER}/{video_id}/{MANIFEST}")
    for key in list(store.keys(f"{FOLDER}/{video_id}/")):
        store.delete(key)


def _part_key(video_id: str, part: int) -> str:
    return f"{FOLDER}/{video_id}/part-{part:04d}"
