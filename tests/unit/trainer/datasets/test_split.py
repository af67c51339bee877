import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.trainer.datasets.pixels import decode_images
from services.trainer.datasets.split import folds, split, tables
from shared.contracts.dataset import content_digest
from shared.contracts.training import Shares
from shared.datasets.labelled_images import Dataset, Example
from shared.datasets.reading import read_dataset
from shared.datasets.tables import DatasetError, Place
from shared.recipe import ImageSpec

THIRDS = Shares(train=0.6, valid=0.2, test=0.2)


def dataset_of(groups: list[int], labels: Sequence[tuple[bool, ...]] | None = None) -> Dataset:
    labels = labels or [(number % 3 == 0, number % 2 == 0) for number in range(len(groups))]
    examples = tuple(
        Example(f"{number}.png", Path(f"{number}.png"), true, f"group-{group}", Place("labels.csv", number + 2))
        for number, (group, true) in enumerate(zip(groups, labels, strict=True))
    )
    return Dataset(("good", "length"), examples)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=3, max_size=60), st.integers(0, 5))
def test_every_image_is_on_one_side_and_no_group_on_two(groups: list[int], seed: int) -> None:
    parts = split(dataset_of(groups), THIRDS, seed).parts
    names = [example.name for examples in parts.values() for example in examples]
    assert sorted(names) == sorted(f"{number}.png" for number in range(len(groups)))
    assert all(parts.values())
    if len(set(groups)) >= 3:
        sides = [{example.group for example in examples} for examples in parts.values()]
        assert sum(len(side) for side in sides) == len(set.union(*sides))


def test_shares_and_labels_are_close_to_the_request() -> None:
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 100, 1000)).tolist()
    labels = [(bool(rng.random() < 0.1), bool(rng.random() < 0.5)) for _ in groups]
    parts = split(dataset_of(groups, labels), Shares(), seed=1).parts
    assert [len(parts[name]) / 1000 for name in ("train", "valid")] == pytest.approx([0.78, 0.20], abs=0.03)
    rare = [np.mean([example.labels[0] for example in parts[name]]) for name in ("train", "valid")]
    assert rare == pytest.approx([np.mean(labels, axis=0)[0]] * 2, abs=0.015)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=5, max_size=60), st.integers(0, 5))
def test_every_group_is_in_one_fold(groups: list[int], seed: int) -> None:
    examples = dataset_of(groups).examples
    found = folds(examples, seed)
    assert set(found) == set(range(max(found) + 1))
    if len(set(groups)) >= 3:
        assert len(set(found)) == min(5, len(set(groups)))
        assert len({(group, fold) for group, fold in zip(groups, found, strict=True)}) == len(set(groups))


def test_folds_have_equal_shares_of_every_label() -> None:
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 100, 1000)).tolist()
    labels = [(bool(rng.random() < 0.1), bool(rng.random() < 0.5)) for _ in groups]
    found = folds(dataset_of(groups, labels).examples, seed=1)
    shares = [np.array(labels)[found == fold].mean(axis=0) for fold in range(5)]
    assert np.array(shares) == pytest.approx(np.tile(np.mean(labels, axis=0), (5, 1)), abs=0.03)
    assert np.bincount(found) / 1000 == pytest.approx([0.2] * 5, abs=0.03)


def test_the_same_seed_splits_alike_and_another_does_not() -> None:
    dataset = dataset_of([number // 3 for number in range(90)])
    assert split(dataset, THIRDS, seed=1) == split(dataset, THIRDS, seed=1)
    assert split(dataset, THIRDS, seed=1).test != split(dataset, THIRDS, seed=2).test


def test_copies_of_a_file_are_on_one_side_with_their_groups_and_a_warning_says_so(
    strokes: Path, tmp_path: Path
) -> None:
    originals = sorted((strokes / "images").iterdir())[:6]
    (tmp_path / "images").mkdir()
    rows = [("name", "good"), *((f"p{number}.png", number % 2 == 0) for number in range(60))]
    (tmp_path / "labels.csv").write_text("\n".join(f"{name},{good}" for name, good in rows))
    for number in range(60):
        (tmp_path / "images" / f"p{number}.png").write_bytes(originals[number % 6].read_bytes())
    dataset, store = decode_images(read_dataset(tmp_path), ImageSpec(height=16, width=16), tmp_path)
    assert store.digest == content_digest(("good",), ((e.name, e.digest, e.group, e.labels) for e in dataset.examples))
    found = split(dataset, THIRDS, seed=0)
    sides = [{example.digest for example in examples} for examples in found.parts.values()]
    assert [len(each) for each in found.parts.values()] == [40, 10, 10]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 6
    (warning,) = (text for text in found.warnings if "copies" in text)
    assert warning.startswith("54 image(s) are copies of one of another group (p6.png of p0.png, p7.png of p1.png, ")


def test_groups_that_hold_the_same_file_are_one_by_way_of_others() -> None:
    apart = dataset_of([number // 4 for number in range(40)])
    digests = {4: "a", 8: "a", 9: "b", 12: "b"}  # of the groups 1, 2 and 3
    examples = tuple(replace(each, digest=digests.get(row, f"{row}")) for row, each in enumerate(apart.examples))
    for seed in range(5):
        parts = split(replace(apart, examples=examples), THIRDS, seed).parts.values()
        together = {"group-1", "group-2", "group-3"}
        assert sum(bool(together & {example.group for example in part}) for part in parts) == 1


def test_one_video_is_cut_into_runs_of_neighbours_with_a_warning() -> None:
    found = split(dataset_of([0] * 100), THIRDS, seed=0)
    assert "neighbouring images may be on both sides" in found.warnings[0]
    numbers = sorted(int(example.name.removesuffix(".png")) for example in found.test)
    neighbours = sum(after - before == 1 for before, after in pairwise(numbers))
    assert neighbours >= len(numbers) / 2


def test_shares_that_leave_too_little_to_measure_are_warned_of_with_those_to_ask_for() -> None:
    labels = [(number % 5 == 0, number % 2 == 0) for number in range(400)]
    dataset = dataset_of([number // 2 for number in range(400)], labels)
    *scarce, advice = split(dataset, Shares(), seed=0).warnings
    assert scarce
    advised = re.fullmatch(r"ask for shares ([\d.]+),([\d.]+),([\d.]+) .* with and without good, length, as .*", advice)
    assert advised
    train, valid, test = map(float, advised.groups())
    assert (valid, 0.12 <= test <= 0.2) == (0.2, True)
    assert split(dataset, Shares(train=train, valid=valid, test=test), seed=0).warnings == ()


def test_no_shares_are_advised_where_none_would_do() -> None:
    labels = [(number < 29, True) for number in range(400)]
    assert not any("ask for" in text for text in split(dataset_of([*range(400)], labels), Shares(), seed=0).warnings)


def test_shares_of_three_digits_get_advice_that_can_be_asked_for() -> None:
    labels = [(number % 4 == 0, number % 2 == 0) for number in range(400)]
    dataset = dataset_of([number // 2 for number in range(400)], labels)
    advice = split(dataset, Shares(train=0.855, valid=0.125, test=0.02), seed=0).warnings[-1]
    advised = re.match(r"ask for shares ([\d.]+),([\d.]+),([\d.]+) ", advice)
    assert advised
    train, valid, test = map(float, advised.groups())
    assert valid >= 0.125
    assert split(dataset, Shares(train=train, valid=valid, test=test), seed=0).warnings == ()


@pytest.mark.parametrize("shares", [THIRDS, Shares(train=0.625, valid=0.25, test=0.125)])
def test_advice_that_was_followed_is_not_repeated(shares: Shares) -> None:
    labels = [(number % 200 == 0, number % 2 == 0) for number in range(400)]
    warnings = split(dataset_of([*range(400)], labels), shares, seed=0).warnings
    assert [text.partition(" has too few")[0] for text in warnings] == ["train", "valid", "test"]


def test_a_label_with_too_few_examples_is_warned_of() -> None:
    labels = [(number == 0, number % 2 == 0) for number in range(100)]
    warnings = split(dataset_of([number // 2 for number in range(100)], labels), THIRDS, seed=0).warnings
    assert any("test has too few images with or without good" in warning for warning in warnings)


def test_two_images_are_too_few() -> None:
    with pytest.raises(DatasetError, match=r"2 image\(s\) can't be split"):
        split(dataset_of([0, 1]), THIRDS, seed=0)


def test_shares_make_one() -> None:
    with pytest.raises(ValidationError, match="make 1 together"):
        Shares(train=0.5, valid=0.2, test=0.2)


def test_the_parts_are_tables_that_can_be_read_again(strokes: Path, tmp_path: Path) -> None:
    dataset = read_dataset(strokes)
    parts = split(dataset, THIRDS, seed=0)
    (tmp_path / "images").symlink_to(strokes / "images")
    (tmp_path / "labels.csv").write_bytes(tables(parts, dataset.label_names)["valid.csv"])
    again = read_dataset(tmp_path)
    assert [(example.name, example.labels) for example in again.examples] == [
        (example.name, example.labels) for example in parts.valid
    ]
