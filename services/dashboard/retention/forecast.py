"""The growth of storage, and the day on which it is full."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

from services.dashboard.retention.inventory import Inventory
from shared.contracts.retention_rules import DataKind, RetentionRules

GROWTH_DAYS: Final = 7
"""Whole days over which the growth is averaged."""
HORIZON_DAYS: Final = 3_650


def growth(inventory: Inventory, rules: RetentionRules, today: date) -> dict[DataKind, float]:
    """Return the bytes per day by which each kind grew on the last whole days, before anything is removed."""
    found = {}
    for kind, days in inventory.days.items():
        span = min(GROWTH_DAYS, rules.of(kind).days or GROWTH_DAYS, max(1, (today - min(days)).days))
        last = (today - timedelta(days=age) for age in range(1, span + 1))
        found[kind] = sum(days[day].size for day in last if day in days) / span
    return found


def full_on(
    inventory: Inventory, rates: Mapping[DataKind, float], rules: RetentionRules, capacity: int, today: date
) -> date | None:
    """Return the day on which storage is full if it grows as now and the rules are enforced; None: not in ten years.

    Data of a kind with a rule grows until as much is removed on a day as is added.
    """

    def size_after(kind: DataKind, days: int) -> float:
        now, rule = inventory.of(kind).size, rules.of(kind)
        grown = now + rates.get(kind, 0.0) * days
        limits = [rates.get(kind, 0.0) * rule.days] if rule.days else []
        limits += [rule.size] if rule.size else []
        return min([grown, *(max(now, limit) for limit in limits)])

    def is_full(days: int) -> bool:
        return sum(size_after(kind, days) for kind in inventory.days) >= capacity

    if not is_full(HORIZON_DAYS):
        return None
    first, last = 0, HORIZON_DAYS  # sizes never shrink, so the day is found by halving
    while first < last:
        middle = (first + last) // 2
        first, last = (first, middle) if is_full(middle) else (middle + 1, last)
    return today + timedelta(days=first)
