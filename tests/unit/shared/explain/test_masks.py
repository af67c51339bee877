"""Which mask is the ground truth of which label."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.datasets.mask_files import MaskFiles
from shared.explain.masks import masks_of
from shared.recipe import parse_recipe

RECIPE = """
name: cloth
task: TASK
labels:
  good: {key: g, colour: white, role: quality}
  hole: {key: h, colour: blue, role: defect}
"""


@pytest.mark.parametrize(("task", "labels"), [("multi-label", {"good", "hole"}), ("exclusive", {"hole"})])
def test_what_is_wrong_is_the_truth_of_good_only_where_its_maps_show_what_speaks_against_it(
    tmp_path: Path, task: str, labels: set[str]
) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "1.png").touch()
    files = dict(MaskFiles(tmp_path).of("1.jpg", ("good", "hole")))
    assert set(masks_of(files, "1.jpg", {"hole"}, parse_recipe(RECIPE.replace("TASK", task)))) == labels
