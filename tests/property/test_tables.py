"""Any table is read as it was written, and any bytes are tables or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.datasets.labelled_images import GROUPS, LABELLED, LABELS
from shared.datasets.reading import read_dataset
from shared.datasets.tables import DatasetError, read_table, table_bytes
from tests.property.mutation import mutations

NAMES = [f"{number}.png" for number in range(6)]
CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12).map(str.strip)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image for each row; the tables are written by each test."""
    folder = tmp_path_factory.mktemp("dataset")
    for name in NAMES:
        (folder / name).write_bytes(b"an image")
    return folder


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(CELLS.filter(bool), CELLS, CELLS), max_size=6))
def test_any_table_is_read_as_it_was_written(folder: Path, rows: list[tuple[str, str, str]]) -> None:
    path = folder / "any.csv"
    path.write_bytes(table_bytes(("name", "one", "two"), rows))
    table = read_table(path)
    assert table.columns == ("name", "one", "two")
    assert [tuple(row.cells.values()) for row in table.rows] == rows
    assert not table.problems


def test_mutated_tables_are_read_or_refused(folder: Path) -> None:
    tables = {
        LABELS: table_bytes(("name", "good", "break"), [(name, True, False) for name in NAMES]),
        GROUPS: table_bytes(("name", "group"), [(name, "part-7") for name in NAMES]),
        LABELLED: table_bytes(("name", "by", "at"), [(name, "ada", "2026-01-31T12:00:00+00:00") for name in NAMES]),
    }
    read = 0
    for changed, whole in tables.items():
        for name, content in tables.items():
            (folder / name).write_bytes(content)
        for content in mutations([whole], 200):
            (folder / changed).write_bytes(content)
            try:
                dataset = read_dataset(folder, ("good", "break"), on_problem="skip")
            except DatasetError:
                continue
            read += 1
            assert {example.name for example in dataset.examples} <= set(NAMES)
    assert 100 < read < 600, "some of both"


def test_a_table_of_more_columns_than_any_dataset_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_bytes(b"name," + b",".join(b"l%d" % number for number in range(5_000)) + b"\n" + b"a.png\n" * 10)
    with pytest.raises(DatasetError, match="5001 columns: 1000 at most"):
        read_table(path)


def test_a_file_that_is_larger_than_any_table_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    with pytest.raises(DatasetError, match="larger than 64 MiB"):
        read_table(path)
