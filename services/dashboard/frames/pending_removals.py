"""Find frames whose files a retention rule is about to remove, and refuse to label or mark them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Final

from services.dashboard.web.problems import Problem
from shared.contracts.frame_files import FrameFile
from shared.contracts.removal_orders import FOLDER, read_order
from shared.language import gettext
from shared.storage.port import ObjectStore
from shared.storage.records import read_or_skip

MOST_CACHED: Final = 100
"""Most removal orders in the cache."""


class PendingRemovals:
    """The removal orders that are announced or in force, and not carried out yet."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

        @lru_cache(maxsize=MOST_CACHED)  # orders never change
        def frames_of(key: str) -> frozenset[str]:
            files = map(FrameFile.of, read_order(store, key).keys)
            return frozenset(file.frame_id for file in files if file)

        self._frames_of = frames_of

    def refuse(self, frames: Iterable[str]) -> None:
        """Check that no file of these frames is about to be removed.

        Raises:
            Problem: 409: a file of a frame is about to be removed.
            StorageError: the orders can't be read.
        """
        wanted = set(frames)
        for key in self._store.keys(f"{FOLDER}/"):
            going = wanted & (read_or_skip(key, partial(self._frames_of, key)) or frozenset())
            if going:
                raise Problem(
                    409,
                    gettext("frame %(min)s: a retention rule is removing its files, so it is too late", min=min(going)),
                )
