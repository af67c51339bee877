"""Object storage in a folder of this machine."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from tenacity import retry, retry_if_exception_type, stop_after_attempt

from shared.storage.port import (
    KEY,
    InvalidKey,
    ObjectNotFound,
    ObjectTooLarge,
    StorageUnavailable,
    StoredObject,
    check_key,
    check_prefix,
)


class FilesystemStore:
    """Store each object as a file named by its key. Files whose names start with a dot are still being written."""

    def __init__(self, folder: Path) -> None:
        with _storage_errors():
            folder.mkdir(parents=True, exist_ok=True)
            self._root = folder.resolve()

    def put(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:  # noqa: ARG002
        """Store ``content`` under ``key``; a file system has no place for the content type."""
        path = self._path(key)
        with _storage_errors():
            self._write(path, content)

    def create(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> bool:  # noqa: ARG002
        path = self._path(key)
        with _storage_errors():
            try:
                self._write(path, content, replace=False)
            except _ObjectExists:
                return path.read_bytes() == content
        return True

    def get(self, key: str, most_bytes: int | None = None) -> bytes:
        path = self._path(key)
        with _storage_errors():
            if not _is_object(path):
                raise ObjectNotFound(f"there is no object {key}")
            try:
                size = path.stat().st_size
                if most_bytes is not None and size > most_bytes:
                    raise ObjectTooLarge(f"object {key} has {size:,} bytes, and the limit is {most_bytes:,}")
                return path.read_bytes()
            except FileNotFoundError:
                raise ObjectNotFound(f"there is no object {key}") from None

    def exists(self, key: str) -> bool:
        path = self._path(key)
        with _storage_errors():
            return _is_object(path)

    def keys(self, prefix: str) -> Iterator[str]:
        return (key for key, _ in self._list(check_prefix(prefix)))

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        for key, entry in self._list(check_prefix(prefix)):
            with suppress(FileNotFoundError):  # deleted since it was listed
                status = entry.stat(follow_symlinks=False)
                yield StoredObject(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def delete(self, key: str) -> None:
        """Delete the object under ``key``, and the folders that are empty afterwards."""
        path = self._path(key)
        with _storage_errors():
            if not _is_object(path):
                return
            path.unlink(missing_ok=True)
            _sync_folder(path.parent)
            for folder in path.parents:
                if folder == self._root:
                    break
                try:
                    folder.rmdir()
                except OSError:
                    break

    def _path(self, key: str) -> Path:
        """Return the path of an object.

        Raises:
            InvalidKey: the key is not valid, or a symbolic link leads it out of the folder.
        """
        path = self._root / check_key(key)
        with _storage_errors():
            if not path.parent.resolve().is_relative_to(self._root):
                raise InvalidKey(f"{key} leads out of the storage folder through a symbolic link: remove the link")
        return path

    # a concurrent delete may remove the folder before the file is written
    @retry(
        retry=retry_if_exception_type((FileNotFoundError, FileExistsError)), stop=stop_after_attempt(5), reraise=True
    )
    def _write(self, path: Path, content: bytes, *, replace: bool = True) -> None:
        """Write a temporary file, then rename it: readers see the old or the new content, also after a power cut."""
        self._make_folder(path.parent)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                os.replace(name, path)  # noqa: PTH105 - no Path needed
            else:
                try:
                    os.link(name, path)
                except FileExistsError as error:
                    raise _ObjectExists from error
                os.unlink(name)  # noqa: PTH108
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name)  # noqa: PTH108
            raise
        _sync_folder(path.parent)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)

    def _list(self, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        folder = prefix.rpartition("/")[0]
        start = self._path(folder) if folder else self._root
        return self._walk(start, f"{folder}/" if folder else "", prefix)

    def _walk(self, folder: Path, key_prefix: str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Yield the keys and files below ``folder`` whose keys start with ``prefix``, in the order of the keys.

        Folders are sorted with their slash, because a key is compared with its slashes.
        """
        with _storage_errors():
            try:
                entries = list(os.scandir(folder))
            except (FileNotFoundError, NotADirectoryError):
                return
            folders = {entry.name + "/": entry for entry in entries if entry.is_dir(follow_symlinks=False)}
            files = {entry.name: entry for entry in entries if entry.is_file(follow_symlinks=False)}
        for name in sorted(folders.keys() | files.keys()):
            key = key_prefix + name
            if not KEY.fullmatch(name.removesuffix("/")):
                continue
            if name in folders and (key.startswith(prefix) or prefix.startswith(key)):
                yield from self._walk(folder / name, key, prefix)
            elif name in files and key.startswith(prefix):
                yield key, files[name]


class _ObjectExists(Exception):
    """There is an object under the key already."""


def _is_object(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _sync_folder(folder: Path) -> None:
    """Write the entries of a folder to the disk, so that they survive a power cut."""
    with suppress(FileNotFoundError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Turn errors of the operating system into those of the port."""
    try:
        yield
    except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
        raise InvalidKey(
            f"{error.filename}: a file has the name of a needed folder, or a folder has the name of a needed file"
        ) from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InvalidKey("a part of the key is longer than the file system allows") from error
        raise StorageUnavailable(f"the storage folder failed: {error.strerror}: {error.filename}") from error
