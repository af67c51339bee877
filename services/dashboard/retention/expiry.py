"""Decide which stored files are over the limits of the retention rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from services.dashboard.retention.inventory import Amount, Inventory
from services.dashboard.retention.referenced_frames import ReferencedFrames
from shared.contracts.frame_files import FrameFile
from shared.contracts.retention_rules import DataKind, RetentionRules
from shared.storage.port import ObjectStore, StoredObject


@dataclass
class Cut:
    """The data of one kind that goes: all before a day, and some bytes of that day."""

    before: date
    size: int = 0
    """Bytes of the day ``before`` that go as well, in the order of their keys."""

    def takes(self, day: date, size: int) -> bool:
        """Return whether an object goes, and count it; ask once for each object."""
        if day < self.before:
            return True
        if day > self.before or self.size <= 0:
            return False
        self.size -= size
        return True


def cuts_of(inventory: Inventory, rules: RetentionRules, today: date) -> dict[DataKind, Cut]:
    """Return where each rule cuts. Files of today are never removed: they may be in use."""
    cuts = {}
    for kind, rule in rules.by_kind.items():
        cut = Cut(min(today, today - timedelta(days=rule.days)) if rule.days else date.min)
        excess = inventory.of(kind).size - rule.size if rule.size else 0
        for day, amount in sorted(inventory.days.get(kind, {}).items()):
            if excess <= 0 or day >= today:
                break
            if day >= cut.before:
                cut = Cut(day, excess) if excess < amount.size else Cut(day + timedelta(days=1))
            excess -= amount.size
        if any(day < cut.before or (day == cut.before and cut.size) for day in inventory.days.get(kind, {})):
            cuts[kind] = cut
    return cuts


@dataclass
class Removal:
    """The amounts of one kind of data that the rules remove."""

    removed: Amount = field(default_factory=Amount)
    held: Amount = field(default_factory=Amount)
    """Data that the rules would remove, but to which an open batch refers."""


def expired_files(
    store: ObjectStore,
    cuts: Mapping[DataKind, Cut],
    references: ReferencedFrames,
    removals: dict[DataKind, Removal] | None = None,
) -> Iterator[tuple[FrameFile, StoredObject]]:
    """Yield the files of frames that go, and add them up by kind in ``removals``.

    Raises:
        StorageError: they can't be listed.
    """
    removals = defaultdict(Removal) if removals is None else removals
    for entry in store.objects("frames/") if cuts else ():
        file = FrameFile.of(entry.key)
        if file is None or file.kind not in cuts or references.labelled(file):
            continue
        if not cuts[file.kind].takes(file.day, entry.size):
            continue
        removal = removals.setdefault(file.kind, Removal())
        if references.hold(file):
            removal.held.add(entry.size)
        else:
            removal.removed.add(entry.size)
            yield file, entry
