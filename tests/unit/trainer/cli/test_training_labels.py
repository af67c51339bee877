"""A model is trained from labelled images as people have them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from services.trainer.cli.commands import app
from services.trainer.cli.train_and_evaluate import macro_of, summary_of
from services.trainer.evaluation.evaluate import evaluate
from shared.contracts.bundle import read_bundle_folder
from tests.strokes import draw_strokes, strokes_recipe

pytestmark = pytest.mark.xdist_group("tensorflow")
NAMES = {"good": "gut", "dark": "Größenfehler tief/breit", "bright": "裂纹 [b], 50 %"}


def test_labels_of_any_name_are_trained_and_what_cant_be_learned_is_said_before(tmp_path: Path) -> None:
    folder = draw_strokes(tmp_path / "strokes", 40)
    with (folder / "labels.csv").open(newline="") as lines:
        _, *rows = csv.reader(lines)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([("name", *NAMES.values(), "nie"), *((*row, "False") for row in rows)])
    command = ["train", "--data", folder, "--out", tmp_path / "model", "--architecture", "compact", "--size", "32"]
    options = ["--epochs", "1", "--split", "0.5,0.3,0.2", "--mistakes", "0", "--variants", "fp32"]
    result = CliRunner().invoke(app, [str(word) for word in (*command, *options)])
    assert result.exit_code == 0, result.output
    assert read_bundle_folder(tmp_path / "model").recipe.label_names == (*NAMES.values(), "nie")
    said = result.stderr
    assert "none of 40 images has the label nie: it can't be learned or measured, and is in no mean" in said
    assert said.index("none of 40 images") < said.index("reading the images")
    assert said.count("none of 40 images has the label nie") == 1
    assert "Größenfehler tief/breit" in said
    assert "裂纹 [b], 50 %" in said
    assert "no average precision: each label needs 10 images with it and 10 without it" in said
    assert "too few" in said
    assert "n/a" in said


def test_a_mean_says_of_how_many_labels_it_is() -> None:
    truth = np.array([[1, 0, 0], [0, 1, 0]] * 12, np.float32)
    found = evaluate(strokes_recipe(), truth, truth, [str(number) for number in range(24)])
    assert macro_of(found) == "macro average precision 1.000 of the 2 of 3 labels that can be measured"
    assert summary_of(found).splitlines()[-1].startswith("24 images of 24 groups: verdicts right 100.0 %, 24 of 24; ")
