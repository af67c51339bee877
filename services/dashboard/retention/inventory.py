"""The inventory: objects and bytes in storage by kind and day."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import Final

from services.dashboard.access.audit import FOLDER as AUDIT
from services.dashboard.ingest.archive import FOLDER as ARCHIVE
from services.dashboard.retention.referenced_frames import ReferencedFrames
from shared.contracts.frame_files import FrameFile
from shared.contracts.retention_rules import DataKind
from shared.storage.port import ObjectStore, StoredObject

FOLDERS: Final = {
    ARCHIVE: DataKind.ARCHIVE,
    AUDIT: DataKind.AUDIT,
    "labelling": DataKind.VIDEOS,
    "datasets": DataKind.DATASETS,
    "models": DataKind.MODELS,
}
_DAY: Final = re.compile(r"[^/]+/(\d{4}-\d\d-\d\d)/")


@dataclass
class Amount:
    """Stored objects."""

    objects: int = 0
    size: int = 0
    """Bytes."""

    def add(self, size: int, objects: int = 1) -> None:
        """Add objects of this size in all."""
        self.objects += objects
        self.size += size


@dataclass
class Inventory:
    """What is stored, by kind and by day: of capture for files of frames, else of the key or of storing."""

    days: dict[DataKind, dict[date, Amount]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Amount)))

    def of(self, kind: DataKind) -> Amount:
        """Return all that is stored of a kind."""
        days = self.days.get(kind, {}).values()
        return Amount(sum(day.objects for day in days), sum(day.size for day in days))

    @property
    def size(self) -> int:
        """The bytes of all that is stored."""
        return sum(self.of(kind).size for kind in self.days)


def take_inventory(store: ObjectStore, audit_store: ObjectStore, references: ReferencedFrames) -> Inventory:
    """List everything that is stored.

    Raises:
        StorageError: it can't be listed.
    """
    inventory = Inventory()
    audit = audit_store.objects(f"{AUDIT}/") if audit_store is not store else ()
    for entry in chain(store.objects(""), audit):
        file = FrameFile.of(entry.key)
        if file is not None:
            kind, day = DataKind.REFERENCED if references.labelled(file) else file.kind, file.day
        else:
            kind, day = FOLDERS.get(entry.key.partition("/")[0], DataKind.OTHER), day_of(entry)
        inventory.days[kind][day].add(entry.size)
    return inventory


def day_of(entry: StoredObject) -> date:
    """Return the day that a key names, or the day on which the object was stored."""
    if match := _DAY.match(entry.key):
        try:
            return date.fromisoformat(match[1])
        except ValueError:
            pass
    return entry.stored_at.date()
