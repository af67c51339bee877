from __future__ import annotations

import csv

import pytest

from services.gateway.outputs.file import spaced


@pytest.mark.parametrize("names", [[], ["break"], ["break", "deep scratch"], ['"a" b', "c"]])
def test_names_in_one_cell_can_be_told_apart(names: list[str]) -> None:
    assert next(csv.reader([spaced(names)], delimiter=" "), []) == names
    assert spaced(["break", "dent"]) == "break dent"
