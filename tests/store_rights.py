"""What each service does to object storage in any test, held against the rights that a plant gives it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import wraps
from typing import Any, Final

import pytest

from deploy.object_store.rights import AUDIT, RIGHTS
from shared.storage.filesystem import FilesystemStore
from shared.storage.s3 import MinioStore

SERVICE: Final = re.compile(r"services\.([a-z]+)(\.|$)")
RIGHT_FOR: Final = {
    "put": "writes",
    "create": "writes",
    "get": "reads",
    "exists": "reads",
    "keys": "reads",
    "objects": "reads",
    "delete": "deletes",
}


def is_permitted(service: str, method: str, key: str) -> bool:
    """Whether the policy of a service permits a call of its store."""
    rights = RIGHTS[service]
    if rights.audits and key.startswith(f"{AUDIT}/") and method != "delete":
        return True
    if method in ("keys", "objects"):
        return bool(rights.reads)
    return any(fnmatchcase(key, pattern.format(line="*")) for pattern in getattr(rights, RIGHT_FOR[method]))


def caller() -> str | None:
    """The service whose code is the innermost that is running in this thread; None where there is none."""
    frame = sys._getframe(2)
    while frame is not None:
        if found := SERVICE.match(frame.f_globals.get("__name__", "")):
            return found[1]
        frame = frame.f_back  # type: ignore[assignment]
    return None


@contextmanager
def watched_stores(refused: list[str]) -> Iterator[None]:
    """Note each call of a service that its policy would refuse, until the block ends."""
    with pytest.MonkeyPatch.context() as patched:
        for store in (FilesystemStore, MinioStore):
            for method in RIGHT_FOR:
                patched.setattr(store, method, _watched(getattr(store, method), method, refused))
        yield


def _watched(call: Callable[..., Any], method: str, refused: list[str]) -> Callable[..., Any]:
    @wraps(call)
    def watched(self: object, key: str, *rest: Any, **named: Any) -> Any:
        service = caller()
        if service and not is_permitted(service, method, key):
            refused.append(f"{service} may not {method} {key}: see deploy/object_store/rights.py")
        return call(self, key, *rest, **named)

    return watched
