"""Heatmaps held to marked images: models whose maps are right, blind or stubborn, and what is said about each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from services.explainer.cli.commands import app
from services.explainer.cli.marked import MarkedFolderError, marked_images, training_images
from shared.contracts.bundle import Bundle, HeatmapSpec, HeatScale, write_bundle_folder
from shared.datasets.mask_files import MaskFiles
from shared.engines.port import Images
from shared.explain.masks import MarkedImage, masks_of
from shared.explain.metrics import HeatmapScores, Subject, score_heatmaps
from shared.explain.network import read_network, shuffled
from shared.explain.probes import subject_of
from shared.recipe import Recipe
from tests.models import pack, paint_bundle, paint_recipe, painted

pytestmark = pytest.mark.xdist_group("tensorflow")
SPOT = 12
GRAD_CAM = HeatmapSpec(method="grad-cam", layers=("features",))


@pytest.fixture(scope="module")
def spots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Black images with a blue or green spot, never in the middle, and one with both."""
    folder = tmp_path_factory.mktemp("spots")
    for name in ("images", "masks", "masks_by_label"):
        (folder / name).mkdir()
    rows = ["name,good,error,break,length"]
    for number in range(26):
        labels = ["error", "break"] if number == 25 else [("error", "break")[number % 2]]
        image, whole = painted("black", 48, 64), np.zeros((48, 64), np.uint8)
        for place, label in enumerate(labels):
            x, y = 2 + (number * 7) % 12 + 36 * place, 2 + 30 * (number % 3 == 0)
            image[y : y + SPOT, x : x + SPOT] = painted("blue" if label == "error" else "green", SPOT, SPOT)
            whole[y : y + SPOT, x : x + SPOT] = 255
            own = np.zeros_like(whole)
            own[y : y + SPOT, x : x + SPOT] = 255
            if number >= 20:
                cv2.imwrite(str(folder / "masks_by_label" / f"{number}_{label}.png"), own)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), image)
        cv2.imwrite(str(folder / "masks" / f"{number}.png"), whole)
        rows.append(f"{number}.png,False,{'error' in labels},{'break' in labels},False")
    cv2.imwrite(str(folder / "images" / "clean.png"), painted("black", 48, 64))
    (folder / "labels.csv").write_text("\n".join([*rows, "clean.png,True,False,False,False"]) + "\n")
    return folder


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return paint_bundle("v1", keras=True)


def _scores(subject: Subject, spots: Path) -> HeatmapScores:
    return score_heatmaps(subject, marked_images(spots, subject.recipe), most_curves=4)


@pytest.fixture(scope="module")
def subject(bundle: Bundle) -> Subject:
    return subject_of(read_network(bundle), bundle.recipe, GRAD_CAM)


def masks_in(folder: Path, name: str, true: set[str], recipe: Recipe) -> dict[str, Path]:
    return masks_of(dict(MaskFiles(folder).of(name, recipe.label_names)), name, true, recipe)


def test_a_mask_of_everything_is_a_labels_own_only_where_there_is_no_other(spots: Path) -> None:
    recipe = paint_recipe()
    together, own = spots / "masks", spots / "masks_by_label"
    assert masks_in(spots, "0.png", {"error"}, recipe) == {"good": together / "0.png", "error": together / "0.png"}
    assert masks_in(spots, "25.png", {"error", "break"}, recipe) == {
        "good": together / "25.png",
        "error": own / "25_error.png",
        "break": own / "25_break.png",
    }
    assert masks_in(spots, "1.jpg", {"error", "break"}, recipe) == {"good": together / "1.png"}
    assert masks_in(spots, "clean.png", {"good"}, recipe) == {}


def test_maps_that_point_at_the_thing_are_trusted_and_the_baselines_stand_beside(subject: Subject, spots: Path) -> None:
    scores = _scores(subject, spots)
    assert set(scores.labels) == {"good", "error", "break"}
    assert (scores.method, scores.layers) == ("grad-cam", ("features",))
    assert {name: label.for_label for name, label in scores.labels.items()} == {
        "good": False,
        "error": True,
        "break": True,
    }
    for label in scores.labels.values():
        assert label.pointing.value == 1
        assert label.centre.value < 0.2
        assert label.random.value < 0.35
        assert label.advantage.low > 0
        assert label.energy.value > 0.5 > label.area.value
        assert label.deletion.value < label.deletion_random.value
        assert label.insertion.value > label.insertion_random.value
        assert label.trustworthy
        assert label.reason == ""
    assert scores.labels["error"].images == 14
    assert scores.labels["error"].curves == 4


class Stubborn:
    """Whatever it is asked, it has the same map."""

    def __init__(self, x: int, y: int) -> None:
        self._at = (x, y)

    def maps(self, images: Images, asked: object) -> np.ndarray:
        map_ = np.fromfunction(lambda y, x: 1 / (1 + (x - self._at[0]) ** 2 + (y - self._at[1]) ** 2), (32, 32))
        return np.repeat(map_[np.newaxis], len(images), axis=0).astype(np.float32)


def test_maps_that_always_point_at_the_middle_are_not_trusted(subject: Subject, spots: Path) -> None:
    blind = Subject(subject.recipe, GRAD_CAM, Stubborn(16, 16), subject.shuffled, subject.logits)
    label = _scores(blind, spots).labels["error"]
    assert label.trustworthy is False
    assert label.reason == "its peaks do not point better than the middle of the image does"
    assert label.advantage.value == 0


def test_maps_that_shuffled_weights_do_not_change_are_not_trusted(subject: Subject, spots: Path) -> None:
    stubborn = Subject(subject.recipe, GRAD_CAM, subject.probe, subject.probe, subject.logits)
    label = _scores(stubborn, spots).labels["error"]
    assert label.alike.value == pytest.approx(1)
    assert label.trustworthy is False
    assert "hardly change when the weights" in label.reason


def test_of_few_images_nothing_is_said(subject: Subject, spots: Path) -> None:
    marked = marked_images(spots, subject.recipe)[:5]
    label = score_heatmaps(subject, marked, most_curves=1).labels["error"]
    assert label.trustworthy is None
    assert label.reason == "only 3 images have a mask, and 10 are needed"


def test_more_images_than_are_wanted_are_random_sample_alike_for_one_seed(subject: Subject, spots: Path) -> None:
    marked = marked_images(spots, subject.recipe)
    one, again, other = (score_heatmaps(subject, marked, most=6, most_curves=1, seed=seed) for seed in (1, 1, 2))
    assert one.labels["good"].images == 6
    assert one == again
    assert one.labels["good"].energy != other.labels["good"].energy


def test_shuffled_weights_are_the_same_numbers_elsewhere(bundle: Bundle) -> None:
    keras.utils.set_random_seed(2)
    network = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    other = shuffled(network)
    for before, after in zip(network.get_weights(), other.get_weights(), strict=True):
        assert sorted(before.ravel()) == sorted(after.ravel())
    assert not np.array_equal(network.get_weights()[0], other.get_weights()[0])
    assert read_network(bundle).get_weights()[0].shape == shuffled(read_network(bundle)).get_weights()[0].shape


@pytest.fixture(scope="module")
def scaled(subject: Subject) -> Subject:
    """The same model, with a scale on which a spot of its colour is rare, and a pale one is not."""
    scale = HeatScale(images=40, rare=-1.9, rarest=2.0)
    spec = GRAD_CAM.model_copy(update={"for_label": {"error": scale, "break": scale}, "against_label": {"good": scale}})
    return replace(subject, spec=spec)


def test_good_images_have_false_heat_where_their_maps_are_not_empty(
    scaled: Subject, subject: Subject, tmp_path: Path
) -> None:
    good = []
    for number, shade in enumerate([0, 0, 4, 255]):
        image = painted("black", 48, 64)
        image[8:20, 8:20, 0] = shade
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
        good.append(MarkedImage(tmp_path / f"{number}.png", str(number), {}))
    found = score_heatmaps(scaled, [], good).false_heat
    assert found
    assert found.images == 4
    assert found.share.value == 0.25, "one of four has a bright blue spot"
    assert {label: share.value for label, share in found.labels.items()} == {"good": 0.25, "error": 0.25, "break": 0}
    assert found.share.high > 0.5, "four images say little"
    unscaled = score_heatmaps(subject, [], good).false_heat
    assert unscaled
    assert unscaled.share.value == 1, "without a scale, every heatmap is hot at its own peak"
    assert score_heatmaps(scaled, []).false_heat is None


def test_the_hits_are_counted_by_the_size_of_the_defect_and_maps_without_heat_apart(
    scaled: Subject, subject: Subject, spots: Path
) -> None:
    label = _scores(scaled, spots).labels["error"]
    assert label.empty.value == 0
    (large,) = label.by_size
    assert (large.smallest, large.largest, large.images, large.pointing.value) == (0.02, 1.0, 14, 1.0)
    rare = HeatScale(images=40, rare=90.0, rarest=99.0)
    label = _scores(replace(subject, spec=GRAD_CAM.model_copy(update={"for_label": {"error": rare}})), spots).labels[
        "error"
    ]
    assert label.empty.value == 1
    assert label.pointing.value == 1, "the strongest evidence is where it was"


def _command(model: Path, data: Path, *words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["score", "--model", str(model), "--data", str(data), "--curves", "1", *words])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_prints_a_table_and_writes_a_report_without_the_images_that_were_learned(
    spots: Path, bundle: Bundle, tmp_path: Path
) -> None:
    learned = "name,good,error,break,length\n0.png,False,True,False,False\n2.png,False,True,False,False\n"
    model = pack({**bundle.files, "train.csv": learned.encode()}, bundle.recipe, "v1", "features")
    assert training_images(model) == {"0.png", "2.png"}
    write_bundle_folder(tmp_path / "model", model)
    code, out, _ = _command(tmp_path / "model", spots, "--report", str(tmp_path / "reports/scores.json"))
    assert code == 0
    assert "| error | 12 | 1.00 (1.00 – 1.00) |" in out
    written = json.loads((tmp_path / "reports/scores.json").read_text())
    assert HeatmapScores.model_validate(written).labels["error"].trustworthy


def test_several_models_are_scored_on_the_same_random_images(spots: Path, bundle: Bundle, tmp_path: Path) -> None:
    for version, learned in (("v1", "0.png"), ("v2", "2.png")):
        table = f"name,good,error,break,length\n{learned},False,True,False,False\n".encode()
        model = pack({**bundle.files, "train.csv": table}, bundle.recipe, version, "features")
        write_bundle_folder(tmp_path / version, model)
    report = tmp_path / "scores.json"
    words = ("--model", str(tmp_path / "v2"), "--report", str(report), "--images")
    code, out, _ = _command(tmp_path / "v1", spots, *words, "12")
    assert code == 0
    assert out.count("| error | ") == 2
    some = {version: HeatmapScores.model_validate(each) for version, each in json.loads(report.read_text()).items()}
    assert set(some) == {"v1", "v2"}
    assert some["v1"] == some["v2"], "the same network on the same images"
    assert some["v1"].labels["good"].images == 12
    _command(tmp_path / "v1", spots, *words, "100")
    assert json.loads(report.read_text())["v1"]["labels"]["good"]["images"] == 24, "of 26, each model learned one"
    code, _, err = _command(tmp_path / "v1", spots, "--model", str(tmp_path / "v1"))
    assert (code, err) == (2, "two of these models have the same version: give each once\n")


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (None, "no table: put labels.csv there"),
        ("name,good,error\n1.png,True,False\n", "no column for break, length"),
        ("name,good,error,break,length\n1.png,True\n", "labels.csv, line 2: error is ''"),
        (
            "name,good,error,break,length\n1.png,False,True,False,False\n",
            "no image that the model was",
        ),
    ],
)
def test_a_folder_that_says_nothing_about_heatmaps_is_refused(
    tmp_path: Path, bundle: Bundle, table: str | None, complaint: str
) -> None:
    write_bundle_folder(tmp_path / "model", bundle)
    cv2.imwrite(str(tmp_path / "1.png"), painted("black"))
    if table:
        (tmp_path / "labels.csv").write_text(table)
    code, _, err = _command(tmp_path / "model", tmp_path)
    assert code == 2
    assert complaint in err
    assert len(err.strip().splitlines()) == 1


def test_a_recipe_without_masks_is_no_reason_to_guess(tmp_path: Path) -> None:
    recipe: Recipe = paint_recipe()
    (tmp_path / "1.png").touch()
    (tmp_path / "labels.csv").write_text("name,good,error,break,length\n1.png,True,False,False,True\n")
    with pytest.raises(MarkedFolderError, match="white where the defect is"):
        marked_images(tmp_path, recipe)
