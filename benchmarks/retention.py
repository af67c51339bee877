"""The inventory and the plan of retention over a listing of a million objects: time and memory.

    python -m benchmarks.retention [objects]

The listing is made up, so that this measures Seamline and not a server. The same objects are listed without being
looked at for comparison.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from services.dashboard.retention.expiry import Removal, cuts_of, expired_files
from services.dashboard.retention.inventory import Inventory, take_inventory
from services.dashboard.retention.referenced_frames import ReferencedFrames
from shared.contracts.retention_rules import DataKind, RetentionRules
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StoredObject

OBJECTS: Final = 1_000_000
DAYS: Final = 100
FILES: Final = ("heatmap.break.png", "image.ng.jpg", "overlay.jpg")
LABELLED: Final = 100
"""One of this number of frames is labelled."""
RULES: Final = RetentionRules.parse("ng=30d, heatmaps=10d/1GB")


class MadeUpStore(FilesystemStore):
    """A storage that lists frames which are not there."""

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__(folder)
        self._count = count

    def objects(self, prefix: str) -> Iterator[StoredObject]:  # noqa: ARG002  every key begins with frames/
        now = datetime.now(UTC)
        frames = self._count // len(FILES)
        for number in range(frames):
            day = now - timedelta(days=DAYS - number * DAYS // frames)
            folder = f"frames/line-1/{day:%Y-%m-%d}/{frame(number)}"
            for name in FILES:
                yield StoredObject(f"{folder}/{name}", 20_000, day)


def list_all(store: MadeUpStore) -> None:
    """List everything, and look at nothing."""
    for _ in store.objects(""):
        pass


def frame(number: int) -> str:
    """Return the id of a frame."""
    return f"01JF6Z6TX4W8E1V2M6C3N9Q7RB-{number:09d}"


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else OBJECTS
    labelled = ReferencedFrames(frozenset(frame(number) for number in range(0, count // len(FILES), LABELLED)))
    today = datetime.now(UTC).date()
    with TemporaryDirectory() as folder:
        store = MadeUpStore(Path(folder), count)
        removals: dict[DataKind, Removal] = {}
        inventory = Inventory()

        def take() -> None:
            nonlocal inventory
            inventory = take_inventory(store, store, labelled)

        def plan() -> None:
            removals.clear()
            for _ in expired_files(store, cuts_of(inventory, RULES, today), labelled, removals):
                pass

        print(f"{count:,} objects of {DAYS} days")
        listing = measure("listing alone", lambda: list_all(store))
        for name, work in (("inventory", take), ("plan", plan)):
            seconds = measure(name, work)
            print(f"  {seconds / listing:.1f} times the listing, {seconds / count * 1e6:.1f} µs for each object")
        for kind, removal in removals.items():
            print(f"{kind}: {removal.removed.objects:,} of {inventory.of(kind).objects:,} objects go")


def measure(name: str, work: Callable[[], None]) -> float:
    """Return the seconds of one run; print them and the memory of another run."""
    began = time.process_time()
    work()
    seconds = time.process_time() - began
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{name:16} {seconds:6.1f} s, {peak / 1e6:6.1f} MB at most")
    return seconds


if __name__ == "__main__":
    main()
