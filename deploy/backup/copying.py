"""Copy object storage into a folder while services run, check such a folder, and fill an empty storage from it.

A backup is a folder with the objects as files, ``objects/<key>`` and ``audit-bucket/<key>``, and ``manifest.jsonl``:
the key, size and SHA-256 of each file. The manifest is written last; a folder without it is not a backup.

The copied objects are consistent although services write meanwhile. The archive is copied first. Then everything else
is listed and copied; pointers to models and dataset versions that were stored after the listing began are left out,
because the listing may lack the objects that they name.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import AwareDatetime, BaseModel, ValidationError

from shared.storage.filesystem import FilesystemStore
from shared.storage.port import ObjectNotFound, ObjectStore, StoredObject

MANIFEST: Final = "manifest.jsonl"
MAIN: Final = "objects"
AUDIT: Final = "audit-bucket"
ARCHIVE: Final = ("verdicts/", "counts/")
"""Segments of the archive are merged while services run: they are listed again while one is missing."""
REFERRING: Final = re.compile(r"models/[^/]+/production/.+|datasets/.+/versions/.+")
"""Objects that name other objects, which were stored before them."""
CLOCK_OBJECT: Final = "backups/begun"
"""An object by whose time the clock of the storage is read. It is not part of a backup."""
THREADS: Final = 8
"""Objects that are copied at the same time."""

CountDone = Callable[[int], object]
"""A function that is called with the number of further objects that are done."""


class BackupError(Exception):
    """A backup can't be made or used; the message says what to do."""


class CopiedObject(BaseModel):
    """An object in a backup."""

    store: str
    key: str
    size: int
    digest: str
    """SHA-256, in hexadecimal."""
    stored_at: AwareDatetime

    @property
    def store_and_key(self) -> tuple[str, str]:
        """Return the store and the key, which identify the object."""
        return self.store, self.key


class Copied(NamedTuple):
    """The result of a backup."""

    objects: int
    size: int
    """Bytes."""
    unchanged: int
    """Objects that an earlier backup in the same folder already had."""


@dataclass(frozen=True)
class Backup:
    """A backup in a folder."""

    folder: Path

    def save(self, stores: Mapping[str, ObjectStore], progress: CountDone = lambda _done: None) -> Copied:
        """Copy storages, given by their names. An earlier backup in the folder is brought up to date.

        Raises:
            StorageError: the backup is not complete; make it again.
        """
        earlier = {copied.store_and_key: copied for copied in self.read()} if self._manifest.exists() else {}
        saved: dict[tuple[str, str], CopiedObject] = {}

        def copy_all(name: str, entries: Iterable[StoredObject]) -> bool:
            """Copy objects, and return whether all of them still existed."""
            all_existed = True
            for copied in threads.map(partial(self._copy, stores[name], name, {**earlier, **saved}), entries):
                all_existed = all_existed and copied is not None
                if copied:
                    saved[copied.store_and_key] = copied
                    progress(1)
            return all_existed

        with ThreadPoolExecutor(THREADS) as threads:
            for name, store in stores.items():
                while not copy_all(name, [entry for folder in ARCHIVE for entry in store.objects(folder)]):
                    pass  # a segment was merged into another one, which the next listing has
                copy_all(name, _objects_beside_archive(store) if name == MAIN else store.objects(""))
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self._manifest.with_suffix(".new")
        new.write_text("".join(f"{copied.model_dump_json()}\n" for copied in saved.values()), encoding="utf-8")
        new.replace(self._manifest)
        self._remove_others(saved)
        unchanged = sum(earlier.get(store_and_key) == copied for store_and_key, copied in saved.items())
        return Copied(len(saved), sum(copied.size for copied in saved.values()), unchanged)

    def read(self) -> list[CopiedObject]:
        """Return the objects of the manifest.

        Raises:
            BackupError: the folder has no manifest, or the manifest can't be read.
        """
        try:
            lines = self._manifest.read_text(encoding="utf-8").splitlines()
            return [CopiedObject.model_validate_json(line) for line in lines]
        except FileNotFoundError:
            raise BackupError(f"{self.folder} holds no complete backup: there is no {MANIFEST}") from None
        except (OSError, ValidationError) as error:
            raise BackupError(f"{self._manifest} can't be read: {str(error).splitlines()[0]}") from None

    def check(self, progress: CountDone = lambda _done: None) -> int:
        """Check every file against its digest, and return the number of files.

        Raises:
            BackupError: a file is missing or has changed.
        """
        objects = self.read()
        with ThreadPoolExecutor(THREADS) as threads:
            for _content in threads.map(self._content, objects):
                progress(1)
        return len(objects)

    def restore(self, stores: Mapping[str, ObjectStore], progress: CountDone = lambda _done: None) -> int:
        """Fill empty storages from the backup, and return the number of objects.

        Raises:
            BackupError: a file is missing or has changed, or a storage is not empty.
            StorageError: not everything is restored: empty the storage, and restore again.
        """
        objects = self.read()
        for name, store in stores.items():
            if key_there := next((key for key in store.keys("") if key != CLOCK_OBJECT), None):
                raise BackupError(f"the storage of {name} is not empty: it has {key_there}: restore into an empty one")
        if unknown := {copied.store for copied in objects} - stores.keys():
            raise BackupError(f"the backup has objects of {', '.join(sorted(unknown))}, and no such storage is given")

        def put(copied: CopiedObject) -> None:
            content_type = mimetypes.guess_type(copied.key)[0] or "application/octet-stream"
            stores[copied.store].put(copied.key, self._content(copied), content_type)

        with ThreadPoolExecutor(THREADS) as threads:
            for _done in threads.map(put, objects):
                progress(1)
        return len(objects)

    def _copy(
        self, store: ObjectStore, name: str, earlier: Mapping[tuple[str, str], CopiedObject], entry: StoredObject
    ) -> CopiedObject | None:
        """Copy an object unless an earlier backup has it; return None if it was removed meanwhile."""
        copied = earlier.get((name, entry.key))
        is_same = copied and (copied.size, copied.stored_at) == (entry.size, entry.stored_at)
        if copied and is_same and self._files(name).exists(entry.key):
            return copied
        try:
            content = store.get(entry.key)
        except ObjectNotFound:
            return None
        self._files(name).put(entry.key, content)
        digest = hashlib.sha256(content).hexdigest()
        return CopiedObject(store=name, key=entry.key, size=len(content), digest=digest, stored_at=entry.stored_at)

    def _content(self, copied: CopiedObject) -> bytes:
        file = f"{copied.store}/{copied.key}"
        try:
            content = self._files(copied.store).get(copied.key)
        except ObjectNotFound:
            raise BackupError(f"the backup lacks {file}: use another one") from None
        if hashlib.sha256(content).hexdigest() != copied.digest:
            raise BackupError(f"{file} has changed since the backup was made: use another one")
        return content

    def _remove_others(self, saved: Container[tuple[str, str]]) -> None:
        """Remove files of an earlier backup whose objects are not stored any more."""
        for name in (MAIN, AUDIT):
            if (self.folder / name).is_dir():
                files = self._files(name)
                for key in list(files.keys("")):
                    if (name, key) not in saved:
                        files.delete(key)

    def _files(self, name: str) -> FilesystemStore:
        return FilesystemStore(self.folder / name)

    @property
    def _manifest(self) -> Path:
        return self.folder / MANIFEST


def _objects_beside_archive(store: ObjectStore) -> Iterator[StoredObject]:
    """Yield the objects beside the archive, without those that may name objects which the listing lacks."""
    listing_began = _now(store)
    for entry in store.objects(""):
        is_newer = entry.stored_at > listing_began
        if entry.key.startswith((*ARCHIVE, CLOCK_OBJECT)) or (REFERRING.fullmatch(entry.key) and is_newer):
            continue
        yield entry


def _now(store: ObjectStore) -> datetime:
    """Return the present time by the clock of the storage."""
    store.put(CLOCK_OBJECT, b"")
    now = next(entry.stored_at for entry in store.objects(CLOCK_OBJECT))
    store.delete(CLOCK_OBJECT)
    return now
