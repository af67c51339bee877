"""The storage port: objects in a bucket or a folder, by their keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple, Protocol

KEY: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]*(/[A-Za-z0-9_][A-Za-z0-9_.=-]*)*")
"""A key: parts of letters, digits and ``_ . = -`` between slashes; no part starts with a dot, ``=`` or ``-``."""

LONGEST_KEY: Final = 512
"""Most characters of a key."""


class StorageError(Exception):
    """An error of object storage."""


class ObjectNotFound(StorageError):
    """There is no object under the key."""


class ObjectTooLarge(StorageError):
    """The object has more bytes than the limit of the reader."""


class StorageUnavailable(StorageError):
    """The storage can't be reached, or failed; a retry may succeed."""


class StorageRefusedLogin(StorageUnavailable):
    """The storage rejects the access keys, or they lack a permission.

    A starting service ends with this error. A running service tries again: keys and policies change at run time.
    """


class InvalidKey(StorageError, ValueError):
    """The key is not valid: it has for example ``..``, a leading slash or a control character."""


def check_key(key: str) -> str:
    """Check a key, and return it.

    Raises:
        InvalidKey: a file system or a server would read the key in another way.
    """
    if len(key) > LONGEST_KEY or not KEY.fullmatch(key):
        raise InvalidKey(f"{key[:80]!r} is not a storage key: use letters, digits and _ . = - between slashes")
    return key


def check_prefix(prefix: str) -> str:
    """Check a prefix, and return it: empty, a key, a key and a slash, or the beginning of a key.

    Raises:
        InvalidKey: no key starts with the prefix.
    """
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


class StoredObject(NamedTuple):
    """An object in a listing."""

    key: str
    size: int
    """Bytes."""
    stored_at: datetime


class ObjectStore(Protocol):
    """Objects by their keys. A put stores the object completely or not at all, and replaces an existing object."""

    def put(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        """Store ``content`` under ``key``.

        Raises:
            StorageUnavailable: the object was not stored.
        """
        ...

    def create(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> bool:
        """Store ``content`` under ``key`` if there is no object. Of several concurrent calls, one succeeds.

        Returns:
            True if the object has this content; False if it has other content.

        Raises:
            StorageUnavailable: the object may have been stored; repeat the call to find out.
        """
        ...

    def get(self, key: str, most_bytes: int | None = None) -> bytes:
        """Return the content of the object under ``key``.

        Args:
            key: the key.
            most_bytes: size limit for an object that another program may have written; None: no limit.

        Raises:
            ObjectNotFound: there is no object.
            ObjectTooLarge: the object has more bytes, and was not read.
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
