"""The storage port: objects in a bucket or a folder, by their keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple, Protocol

KEY: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]*(/[A-Za-z0-9_][A-Za-z0-9_.=-]*)*")
"""A key: parts of letters, digits and ``_ . = -`` between slashes; no part starts with a dot, ``=`` or ``-``."""

KEY_LENGTH: Final = 512


class StorageError(Exception):
    """An error of object storage."""


class ObjectNotFound(StorageError):
    """There is no object under the key."""


class ObjectTooLarge(StorageError):
    """The object has more bytes than the limit of the reader."""


class StorageUnavailable(StorageError):
    """The storage can't be reached, or failed; a later try may succeed."""


class StorageRefusedLogin(StorageUnavailable):
    """The storage rejects the access keys, or they lack a permission.

    A starting service ends with this error. A running service tries again: keys and policies change at run time.
    """


class InvalidKey(StorageError, ValueError):
    """The key is not valid: it has for example ``..``, a leading slash or a control character."""


def checked_key(key: str) -> str:
    """Return the key if it is valid.

    Raises:
        InvalidKey: a file system or a server would read the key in another way.
    """
    if len(key) > KEY_LENGTH or not KEY.fullmatch(key):
        raise InvalidKey(f"{key[:80]!r} is no storage key: use letters, digits and _ . = - between slashes")
    return key


def checked_prefix(prefix: str) -> str:
    """Return the prefix if it is valid: empty, a key, a key and a slash, or the beginning of a key.

    Raises:
        InvalidKey: no key starts with it.
    """
    if prefix:
        checked_key(prefix.removesuffix("/"))
    return prefix


class StoredObject(NamedTuple):
    """An object in a listing."""

    key: str
    size: int
    """Bytes."""
    stored_at: datetime


class ObjectStore(Protocol):
    """Objects by their keys. A put stores the object completely or not at all, and replaces the object before it."""

    def put(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        """Store ``content`` under ``key``.

        Raises:
            StorageUnavailable: it was not stored.
        """
        ...

    def create(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> bool:
        """Store ``content`` under ``key`` if there is no object. Of several concurrent calls, one succeeds.

        Returns:
            True if the object has this content; False if it has other content.

        Raises:
            StorageUnavailable: it may have been stored; the same call again returns which.
        """
        ...

    def get(self, key: str, most: int | None = None) -> bytes:
        """Return the object under ``key``, of at most ``most`` bytes: others may have stored terabytes there.

        Raises:
            ObjectNotFound: there is no object.
            ObjectTooLarge: it has more bytes; it was not read.
            StorageUnavailable: the storage did not answer.
        """
        ...

    def exists(self, key: str) -> bool:
        """Return whether there is an object under ``key``."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that start with ``prefix``, in the order of their bytes."""
        ...

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects whose keys start with ``prefix``, in the order of the bytes of their keys."""
        ...

    def delete(self, key: str) -> None:
        """Delete the object under ``key``, if there is one."""
        ...
