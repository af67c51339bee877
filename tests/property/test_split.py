"""A split is a partition, keeps groups whole, comes near to its shares, and is the same for the same seed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.trainer.datasets.split import PARTS, split
from shared.contracts.training import LARGEST_SEED, Shares
from tests.unit.trainer.datasets.test_split import dataset_of

SHARES = st.tuples(st.integers(5, 20), st.integers(2, 8), st.integers(1, 8)).map(
    lambda parts: Shares(train=parts[0] / sum(parts), valid=parts[1] / sum(parts), test=parts[2] / sum(parts))
)


@settings(max_examples=12)
@given(
    groups=st.lists(st.integers(0, 30), min_size=3, max_size=40),
    labels=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=40, max_size=40),
    shares=SHARES,
    seed=st.integers(0, LARGEST_SEED),
)
def test_any_split_is_a_partition_of_whole_groups(
    groups: list[int], labels: list[tuple[bool, bool]], shares: Shares, seed: int
) -> None:
    dataset = dataset_of(groups, labels[: len(groups)])
    found = split(dataset, shares, seed)
    examples = [example for part in PARTS for example in found.parts[part]]
    assert sorted(example.name for example in examples) == sorted(example.name for example in dataset.examples)
    assert all(found.parts.values())
    if len(set(groups)) >= len(PARTS):
        sides = [{example.group for example in found.parts[part]} for part in PARTS]
        assert sum(map(len, sides)) == len(set(groups))
    assert split(dataset, shares, seed) == found


@settings(max_examples=8)
@given(shares=SHARES, seed=st.integers(0, 1_000), size=st.integers(1, 3))
def test_the_shares_of_many_small_groups_are_close_to_the_request(shares: Shares, seed: int, size: int) -> None:
    dataset = dataset_of([number // size for number in range(300)])
    found = split(dataset, shares, seed)
    for part in PARTS:
        assert abs(len(found.parts[part]) / 300 - getattr(shares, part)) < 0.05, part
