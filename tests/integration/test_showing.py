"""An image of images: what was seen, where a model looked, and both merged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from samples.sheet import draw_row
from services.explainer.cli.commands import app
from services.explainer.cli.showing import CAPTION, GAP, ExplainedImage, draw_side_by_side
from shared.contracts.bundle import write_bundle_folder
from shared.imaging.codec import decode, encode
from tests.models import paint_bundle, painted

pytestmark = pytest.mark.xdist_group("tensorflow")
BLUE = (30, 90, 255)


def test_each_row_shows_what_it_is_called() -> None:
    image = np.full((40, 60, 3), 100, np.uint8)
    heat = np.zeros((40, 60), np.uint8)
    heat[:20] = 255
    explained = ExplainedImage(image, [(heat, BLUE)], [("error 0.90", BLUE)])
    shown = draw_side_by_side([explained], ("image", "heatmap", "merged"), 40)
    assert shown.shape == (2 * GAP + 3 * 40 + 2 * GAP + CAPTION, 60 + 2 * GAP, 3)
    seen, heatmap, merged = (shown[GAP + number * (40 + GAP) :][:40, GAP:-GAP] for number in range(3))
    assert (seen == image).all()
    assert heatmap[5, 5].tolist() == [255, 90, 30]
    assert not heatmap[30, 5].any()
    assert (merged[30, 5] == 100).all()
    assert merged[5, 5, 0] > 150
    assert (shown[-CAPTION - GAP :] < 200).any(), "the caption"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_bundle_folder(folder, paint_bundle("v1", keras=True))
    return folder


@pytest.fixture
def spot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image with a blue spot; the test runs in its folder."""
    monkeypatch.chdir(tmp_path)
    image = painted("black", 48, 48)
    image[4:16, 4:16] = painted("blue", 12, 12)
    (tmp_path / "spot.png").write_bytes(encode(image, "png"))
    return tmp_path / "spot.png"


def _show(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["show", *words])
    return result.exit_code, result.stderr


def test_the_command_shows_the_labels_that_are_asked_for_in_their_colours(
    model: Path, spot: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new/shown.png"
    code, _ = _show("--model", str(model), "--out", str(out), "--rows", "heatmap", "--side", "48", f"{spot}=error")
    assert code == 0
    blue, green, red = decode(out.read_bytes())[GAP + 10, GAP + 10].astype(int)
    assert blue > 150 > green > red


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--out", "x.png", "nowhere.png"], "nowhere.png can't be read"),
        (["--out", "x.png", "SPOT=mood"], "the recipe has no label mood: its labels are good, error, break, length"),
        (["--out", "x.gif", "SPOT"], "write a .jpg or .png"),
        (["--out", "x.png", "--rows", "sound", "SPOT"], "rows are some of image, heatmap, merged"),
    ],
)
def test_an_image_that_cant_be_shown_is_refused_in_one_line(
    model: Path, spot: Path, words: list[str], complaint: str
) -> None:
    code, err = _show("--model", str(model), *(word.replace("SPOT", str(spot)) for word in words))
    assert code == 2
    assert complaint in err
    assert len(err.strip().splitlines()) == 1


def test_a_row_of_seams_shows_each_thing_once() -> None:
    row = draw_row(60, 96)
    assert list(row) == ["error", "break", "error-and-break", "length"]
    assert {image.shape for image in row.values()} == {(96, 96, 3)}
    assert np.array_equal(draw_row(60, 96)["break"], row["break"])
