"""The storage port: named bytes in a bucket or a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Protocol

KEY: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]*(/[A-Za-z0-9_][A-Za-z0-9_.=-]*)*")
"""What a key looks like: parts of letters, digits and ``_ . = -``, none starting with a dot, between slashes."""

KEY_LENGTH: Final = 512


class StorageError(Exception):
    """Whatever goes wrong between a service and its object storage."""


class ObjectNotFound(StorageError):
    """There is no object of that key."""


class ObjectTooLarge(StorageError):
    """An object of more bytes than its reader takes."""


class StorageUnavailable(StorageError):
    """The storage can't be reached, or failed. Trying again later may help."""


class StorageRefusedLogin(StorageUnavailable):
    """The storage is there and does not accept the keys, or what they may do.

    A service that starts ends with it. One that runs waits: keys and policies are changed, and mended, at run time.
    """


class InvalidKey(StorageError, ValueError):
    """A key that is no key (``..``, a leading slash, a control character…)."""


def checked_key(key: str) -> str:
    """The key itself.

    Raises:
        InvalidKey: it would mean something else to a file system or a server.
    """
    if len(key) > KEY_LENGTH or not KEY.fullmatch(key):
        raise InvalidKey(f"{key[:80]!r} is no storage key: use letters, digits and _ . = - between slashes")
    return key


def checked_prefix(prefix: str) -> str:
    """The prefix itself: empty, a key, a key and a slash, or the beginning of a key.

    Raises:
        InvalidKey: no key can start so.
    """
    if prefix:
        checked_key(prefix.removesuffix("/"))
    return prefix


class ObjectStore(Protocol):
    """Named bytes. A put is whole or not at all, and replaces what was there."""

    def put(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        """Keep ``content`` under ``key``.

        Raises:
            StorageUnavailable: it was not kept.
        """
        ...

    def create(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> bool:
        """Keep ``content`` under ``key`` if nothing is there; False where other content is. Of several, one succeeds.

        Raises:
            StorageUnavailable: it may have been kept; the same call again tells.
        """
        ...

    def get(self, key: str, most: int | None = None) -> bytes:
        """What is under ``key``, of up to ``most`` bytes: whoever may write there may write terabytes.

        Raises:
            ObjectNotFound: nothing is.
            ObjectTooLarge: it has more; that much was not read.
            StorageUnavailable: nobody knows.
        """
        ...

    def exists(self, key: str) -> bool:
        """Whether something is under ``key``."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that start with ``prefix``, in the order of their bytes."""
        ...

    def delete(self, key: str) -> None:
        """Remove what is under ``key``, if anything is."""
        ...
