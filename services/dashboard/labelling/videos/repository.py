"""Videos that people uploaded, in object storage.

``labelling/videos/<ulid>/`` holds the file in parts (``part-0000``, …), ``times.json``, its first image, and
``video.json``, which is written last: a video is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic_core import from_json
from ulid import ULID

from services.dashboard.labelling.videos.inspection import Content, Kind
from services.dashboard.labelling.videos.reader import Album, Reel
from services.dashboard.labelling.videos.sandbox import VideoApart
from shared.storage.port import ObjectStore, StorageError
from shared.storage.records import readable

FOLDER: Final = "labelling/videos"
MANIFEST: Final = "video.json"
TIMES: Final = "times.json"
FIRST: Final = "first"
"""The first image, so that a list of videos need not open each of them."""
PART_BYTES: Final = 16 * 1024**2
ABANDONED: Final = timedelta(days=1)
"""After so long nobody is still uploading."""
OPEN_VIDEOS: Final = 4
AT_HAND_BYTES: Final = 1024**3
"""Of videos kept at hand on this machine, but for the last one."""

_log = structlog.stdlib.get_logger("labelling")


class Video(BaseModel):
    """A video, and by which recipe it is labelled."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(description="a ULID")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    kind: Kind
    recipe_yaml: str
    frames: int = Field(gt=0)
    width: int
    height: int
    frames_per_second: float
    size: int = Field(description="bytes of the file")
    parts: int
    digest: str = Field(description="SHA-256 of the file")
    names: tuple[str, ...] = Field((), description="of the images of an album")
    uploaded_by: str
    uploaded_at: AwareDatetime

    @property
    def source(self) -> str:
        """As a source of frames."""
        return f"video-{self.id}"


class KnownVideo(Exception):
    """A video that is here already, to be labelled by the same recipe."""

    def __init__(self, video: Video) -> None:
        super().__init__(f"this video is here already, as {video.name!r} (source {video.source})")


class Videos:
    """The videos in object storage, and those at hand on this machine."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._videos: dict[str, Video] = {}
        self._reels: OrderedDict[str, Reel] = OrderedDict()
        self._folder = tempfile.TemporaryDirectory(prefix="seamline-videos-")
        self._lock = threading.Lock()
        self._naming = threading.Lock()

    def all(self) -> list[Video]:
        """Those that are there whole, the newest first."""
        found = (key.split("/")[2] for key in self._store.keys(f"{FOLDER}/") if key.endswith(f"/{MANIFEST}"))
        keys = ((video_id, f"{FOLDER}/{video_id}/{MANIFEST}") for video_id in sorted(found, reverse=True))
        return [video for video_id, key in keys if (video := readable(key, partial(self.get, video_id)))]

    def get(self, video_id: str) -> Video:
        """One video: it never changes.

        Raises:
            ObjectNotFound: there is none of that id.
        """
        if video_id not in self._videos:
            self._videos[video_id] = Video.model_validate_json(self._store.get(f"{FOLDER}/{video_id}/{MANIFEST}"))
        return self._videos[video_id]

    def check_new(self, digest: str, recipe_yaml: str) -> None:
        """Whether a file is not here yet, for this recipe.

        Raises:
            KnownVideo: it is.
        """
        for video in self.all():
            if (video.digest, video.recipe_yaml) == (digest, recipe_yaml):
                raise KnownVideo(video)

    def keep(self, path: Path, content: Content, *, name: str, recipe_yaml: str, by: str) -> Video:
        """Take a video in that was looked through.

        Raises:
            KnownVideo: somebody else has uploaded it meanwhile.
            StorageError: it was not kept, and nothing of it is left, or `sweep` takes it away.
        """
        video_id = str(ULID())
        try:
            return self._put(video_id, path, content, name=name, recipe_yaml=recipe_yaml, by=by)
        except BaseException:
            with suppress(StorageError):
                _remove(self._store, video_id)
            raise

    def _put(self, video_id: str, path: Path, content: Content, *, name: str, recipe_yaml: str, by: str) -> Video:
        parts = self._put_parts(path, video_id)
        self._store.put(f"{FOLDER}/{video_id}/{TIMES}", json.dumps(content.times).encode(), "application/json")
        with _opened(path, content) as reel:
            self._store.put(f"{FOLDER}/{video_id}/{FIRST}", reel.image(0))
        digest = digest_of(path)
        with self._naming:
            self.check_new(digest, recipe_yaml)  # again: to look through a video takes minutes
            video = Video(
                id=video_id,
                name=self._free(name),
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
                uploaded_by=by,
                uploaded_at=datetime.now(UTC),
            )
            self._store.put(f"{FOLDER}/{video_id}/{MANIFEST}", video.model_dump_json().encode(), "application/json")
        return video

    def image(self, video: Video, number: int) -> bytes:
        """One image as a file, JPEG or PNG.

        Raises:
            UnreadableVideo, StorageError: it can't be had.
        """
        if number == 0:
            return self._store.get(f"{FOLDER}/{video.id}/{FIRST}")
        reel = self._reel(video)
        try:
            return reel.image(number)
        except ValueError:
            if self._reels.get(video.id) is reel:
                raise
            return self._reel(video).image(number)  # it had to make room for another one meanwhile

    def close(self) -> None:
        """Forget what is at hand."""
        with self._lock:
            for reel in self._reels.values():
                reel.close()
            self._reels.clear()
        self._folder.cleanup()

    def _reel(self, video: Video) -> Reel:
        with self._lock:
            if video.id not in self._reels:
                self._reels[video.id] = self._fetch(video)
                self._make_room()
            self._reels.move_to_end(video.id)
            return self._reels[video.id]

    def _make_room(self) -> None:
        while len(self._reels) > 1 and (len(self._reels) > OPEN_VIDEOS or self._at_hand() > AT_HAND_BYTES):
            old, reel = self._reels.popitem(last=False)
            reel.close()
            self._path(old).unlink(missing_ok=True)

    def _at_hand(self) -> int:
        return sum(self.get(video_id).size for video_id in self._reels)

    def _fetch(self, video: Video) -> Reel:
        path = self._path(video.id)
        with path.open("wb") as file:
            for part in range(video.parts):
                file.write(self._store.get(_part(video.id, part)))
        return _reel(video.kind, path, video.names, from_json(self._store.get(f"{FOLDER}/{video.id}/{TIMES}")))

    def _path(self, video_id: str) -> Path:
        return Path(self._folder.name) / video_id

    def _put_parts(self, path: Path, video_id: str) -> int:
        parts = 0
        with path.open("rb") as file:
            while chunk := file.read(PART_BYTES):
                self._store.put(_part(video_id, parts), chunk)
                parts += 1
        return parts

    def _free(self, name: str) -> str:
        """A name that no other video has: exported tables and images bear it."""
        taken = {video.name for video in self.all()}
        stem = plain_name(name)
        return next(free for count in range(1, len(taken) + 2) if (free := _numbered(stem, count)) not in taken)


def sweep(store: ObjectStore, now: datetime) -> int:
    """Take away what is left of uploads that broke off: parts without a manifest, when nobody can be at it any more.

    Returns:
        Of how many.
    """
    videos: dict[str, set[str]] = defaultdict(set)
    for key in store.keys(f"{FOLDER}/"):
        videos[key.split("/")[2]].add(key.rpartition("/")[2])
    broken = [video for video, names in videos.items() if MANIFEST not in names and _began(video) < now - ABANDONED]
    for video_id in broken:
        _remove(store, video_id)
    return len(broken)


def plain_name(name: str) -> str:
    """A name without its suffix, in the letters that keys and tables take."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", Path(name).stem).strip("-_")[:48] or "video"


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(path: Path, content: Content) -> Iterator[Reel]:
    reel = _reel(content.kind, path, content.names, content.times)
    try:
        yield reel
    finally:
        reel.close()


def _reel(kind: Kind, path: Path, names: Sequence[str], times: Sequence[float]) -> Reel:
    return Album(path, names) if kind == "album" else VideoApart(path, times)


def _numbered(stem: str, count: int) -> str:
    return stem if count == 1 else f"{stem}-{count}"


def _began(video_id: str) -> datetime:
    """When its upload began; of what is no id, never."""
    try:
        return ULID.from_str(video_id).datetime
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)


def _remove(store: ObjectStore, video_id: str) -> None:
    """The manifest first: without it there is no video."""
    store.delete(f"{FOLDER}/{video_id}/{MANIFEST}")
    for key in list(store.keys(f"{FOLDER}/{video_id}/")):
        store.delete(key)


def _part(video_id: str, part: int) -> str:
    return f"{FOLDER}/{video_id}/part-{part:04d}"
