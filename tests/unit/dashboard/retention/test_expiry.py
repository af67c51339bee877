from __future__ import annotations

from datetime import date, timedelta

from services.dashboard.retention.expiry import Cut, cuts_of
from services.dashboard.retention.forecast import full_on, growth
from services.dashboard.retention.inventory import Inventory
from shared.contracts.retention_rules import DataKind, RetentionRules

TODAY = date(2026, 3, 1)


def stored(kind: DataKind, *sizes: int) -> Inventory:
    """One object a day; the last size is today's."""
    inventory = Inventory()
    for age, size in enumerate(reversed(sizes)):
        inventory.days[kind][TODAY - timedelta(days=age)].add(size)
    return inventory


def test_data_older_than_the_age_goes() -> None:
    cuts = cuts_of(stored(DataKind.NG, *[10] * 10), RetentionRules.parse("ng=7d"), TODAY)
    assert cuts == {DataKind.NG: Cut(TODAY - timedelta(days=7))}


def test_the_oldest_days_go_when_the_size_is_exceeded_and_of_the_last_of_them_what_is_too_much() -> None:
    rules = RetentionRules.parse("ng=1MB")
    cuts = cuts_of(stored(DataKind.NG, 400_000, 400_000, 400_000, 400_000), rules, TODAY)
    assert cuts == {DataKind.NG: Cut(TODAY - timedelta(days=2), 200_000)}
    cut = cuts[DataKind.NG]
    taken = [cut.takes(TODAY - timedelta(days=2), 150_000) for _ in range(4)]
    assert taken == [True, True, False, False]
    assert cut.takes(TODAY - timedelta(days=3), 1)
    assert not cut.takes(TODAY - timedelta(days=1), 1)


def test_what_the_age_removes_counts_for_the_size_as_well() -> None:
    sizes = [500_000, 100_000, 400_000, 400_000]
    cuts = cuts_of(stored(DataKind.NG, *sizes), RetentionRules.parse("ng=2d/1MB"), TODAY)
    assert cuts == {DataKind.NG: Cut(TODAY - timedelta(days=2))}


def test_files_of_today_stay_whatever_their_size() -> None:
    cuts = cuts_of(stored(DataKind.NG, 400_000, 5_000_000), RetentionRules.parse("ng=1MB"), TODAY)
    assert cuts == {DataKind.NG: Cut(TODAY)}


def test_nothing_is_cut_within_the_limits_or_without_a_rule() -> None:
    inventory = stored(DataKind.NG, *[10] * 400)
    assert cuts_of(inventory, RetentionRules.parse("ng=400d/1MB, ok=1d"), TODAY) == {}
    assert cuts_of(inventory, RetentionRules.parse(""), TODAY) == {}


def test_the_growth_is_that_of_the_last_whole_days() -> None:
    rates = growth(stored(DataKind.NG, *[100] * 20, 5_000), RetentionRules.parse(""), TODAY)
    assert rates == {DataKind.NG: 100}
    assert growth(stored(DataKind.OK, 60, 60, 1), RetentionRules.parse("ok=2d"), TODAY) == {DataKind.OK: 60}
    assert growth(stored(DataKind.OK, 7), RetentionRules.parse(""), TODAY) == {DataKind.OK: 0}, "the first day"


def test_storage_without_rules_is_full_when_the_rest_is_used_up() -> None:
    inventory, rules = stored(DataKind.NG, *[100] * 8, 0), RetentionRules.parse("")
    rates = growth(inventory, rules, TODAY)
    assert full_on(inventory, rates, rules, 2_800, TODAY) == TODAY + timedelta(days=20)
    assert full_on(inventory, rates, rules, 500, TODAY) == TODAY
    assert full_on(inventory, rates, rules, 10**9, TODAY) is None


def test_with_rules_storage_stops_growing_when_as_much_goes_as_comes() -> None:
    inventory, rules = stored(DataKind.NG, *[100] * 8, 0), RetentionRules.parse("ng=30d")
    rates = growth(inventory, rules, TODAY)
    assert full_on(inventory, rates, rules, 3_001, TODAY) is None
    assert full_on(inventory, rates, rules, 2_900, TODAY) == TODAY + timedelta(days=21)
