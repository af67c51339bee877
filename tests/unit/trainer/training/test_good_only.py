"""A plant without defects trains on good images alone, and gets a model like any other."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from services.explainer.loading import load_model
from services.trainer.architectures.lite0_patches import Memory, Usual, build_patches, with_memory
from services.trainer.cli.commands import app
from services.trainer.cli.train_and_evaluate import read_images, spec_of
from services.trainer.datasets.held_out import version_of
from services.trainer.datasets.pixels import decode_images
from services.trainer.training.memory import (
    EVEN_OUT,
    PATCHES,
    SMALLEST_SHARE,
    coreset,
    directions_of,
    fit_memory,
    largest_of,
    usual_of,
)
from services.trainer.training.model_spec import ModelSpec
from shared.contracts.bundle import (
    DISTANCES,
    EVALUATION,
    OPENVINO,
    OPENVINO_WEIGHTS,
    REPORTS,
    Bundle,
    read_bundle_folder,
)
from shared.contracts.training import TrainingOptions
from shared.datasets.good_only import good_only_recipe
from shared.datasets.importing import import_dataset
from shared.datasets.reading import read_dataset
from shared.engines.openvino import OpenVinoEngine
from shared.explain.network import read_network
from shared.imaging.preprocessing import prepare
from shared.storage.filesystem import FilesystemStore
from shared.verdict import judge, scores_of
from tests.strokes import draw_strokes, strokes_recipe
from tests.unit.trainer.training.test_last_layer import Silent

pytestmark = pytest.mark.xdist_group("tensorflow")


def train(folder: Path, out: Path, *options: str) -> Result:
    command = ["train", "--data", folder, "--out", out, "--size", "64", "--mistakes", "0", "--no-report", *options]
    return CliRunner().invoke(app, [str(word) for word in command])


@pytest.fixture(scope="module")
def strokes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_strokes(tmp_path_factory.mktemp("labelled") / "strokes", 90)


@pytest.fixture(scope="module")
def trained(strokes: Path) -> tuple[Bundle, str]:
    result = train(strokes, strokes.parent / "model", "--good-only", "--overkill", "0.1")
    assert result.exit_code == 0, result.output
    return read_bundle_folder(strokes.parent / "model"), result.stderr


def test_the_model_finds_defects_that_it_never_saw_and_says_how_well(trained: tuple[Bundle, str]) -> None:
    bundle, said = trained
    evaluation = json.loads(bundle.file(EVALUATION))
    assert bundle.recipe.label_names == ("anomaly",)
    assert evaluation["labels"]["anomaly"]["roc_auc"] > 0.95
    assert evaluation["operating_points"]["chosen"] == "allowed-overkill"
    assert "the model learned from the" in said
    assert "AUROC" in said


def test_images_of_ng_parts_are_measured_and_not_learned_from(strokes: Path, trained: tuple[Bundle, str]) -> None:
    with (strokes / "labels.csv").open() as table:
        ng = sum(row["good"] == "False" for row in csv.DictReader(table))
    label = json.loads(trained[0].file(EVALUATION))["valid"]["labels"]["anomaly"]
    assert 0.9 * ng <= label["positives"] <= ng
    assert f"the {ng} images of NG parts measure it" in trained[1]


def test_the_line_runs_the_same_network_as_the_explainer(trained: tuple[Bundle, str]) -> None:
    bundle, _ = trained
    images = np.random.default_rng(0).normal(size=(3, 64, 64, 3)).astype(np.float32)
    engine = OpenVinoEngine(bundle.file(OPENVINO), bundle.file(OPENVINO_WEIGHTS))
    by_keras = np.asarray(read_network(bundle).predict_on_batch(images))
    assert np.abs(engine.logits(images) - by_keras).max() < 0.01 * np.abs(by_keras).max()


def test_the_heatmap_is_the_map_of_distances(trained: tuple[Bundle, str]) -> None:
    bundle, _ = trained
    image = np.random.default_rng(7).normal(128, 4, (32, 32, 3)).clip(0, 255).astype(np.uint8)
    cv2.line(image, (22, 6), (28, 10), (20, 20, 20), 4)
    model = load_model(bundle)
    prepared = prepare(image, bundle.recipe.image)[np.newaxis]
    scores = scores_of(np.asarray(read_network(bundle).predict_on_batch(prepared)), bundle.recipe.task)
    assert judge(bundle.recipe, scores[0]).reason == "anomaly"
    towards, against = model.probe.maps(prepared, [(0, 0, True), (0, 0, False)])
    row, column = np.unravel_index(int(towards.argmax()), towards.shape)
    assert row < 4 <= column  # the upper right quarter of 8 x 8 places
    assert not against.any()
    assert model.heatmaps.in_words == f"distance at {DISTANCES}"


def test_another_folder_is_measured_by_its_own_labels(tmp_path: Path, strokes: Path) -> None:
    report = tmp_path / "report.json"
    other = draw_strokes(tmp_path / "other", 20, seed=1)
    command = ["evaluate", "--model", strokes.parent / "model", "--data", other, "--report", report]
    result = CliRunner().invoke(app, [str(word) for word in command])
    assert result.exit_code == 0, result.output
    assert json.loads(report.read_text())["labels"]["anomaly"]["roc_auc"] > 0.9


def test_photos_without_labels_are_enough_and_the_first_screen_says_what_is_not_known(
    tmp_path: Path, strokes: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    with (strokes / "labels.csv").open() as table:
        for row in csv.DictReader(table):
            if row["good"] == "True":
                (photos / row["name"]).write_bytes((strokes / "images" / row["name"]).read_bytes())
    result = train(photos, tmp_path / "model", "--good-only", "--report")
    assert re.search(r"pasted on \d+ good ones, it finds \d+% \(AUROC 0\.\d\d, ", result.stderr)
    assert result.exit_code == 0, result.output
    assert "nothing can be said about escapes" in result.stderr
    assert "othing can be said about escapes" in read_bundle_folder(tmp_path / "model").file(REPORTS["en"]).decode()
    assert "none of" not in result.stderr


def test_too_few_good_images_say_how_many_are_needed(tmp_path: Path) -> None:
    result = train(draw_strokes(tmp_path / "few", 8), tmp_path / "model", "--good-only")
    assert result.exit_code == 2
    assert "10 of at least two groups are needed" in result.output


@pytest.mark.parametrize(("ng", "is_good_only"), [(0, True), (4, True), (5, False)])
def test_with_few_ng_images_good_ones_alone_are_learned(strokes: Path, ng: int, is_good_only: bool) -> None:
    spec = spec_with(strokes, ng).settled()
    assert spec.is_good_only is is_good_only
    assert spec.recipe.label_names == (("anomaly",) if is_good_only else ("good", "dark", "bright"))
    assert any("labels are learned from 5 on" in note for note in spec.notes) is is_good_only
    assert spec.settled() == spec


def test_what_the_user_says_decides(strokes: Path) -> None:
    assert not spec_with(strokes, 4, TrainingOptions(good_only=False)).settled().is_good_only
    assert not spec_with(strokes, 4, TrainingOptions(epochs=2)).settled().is_good_only
    assert not spec_with(strokes, 4, architecture="compact").settled().is_good_only
    assert spec_with(strokes, 9, TrainingOptions(good_only=True)).settled().is_good_only


def test_a_recipe_of_good_images_alone_learns_the_labels_once_there_are_ng_images(strokes: Path) -> None:
    first = spec_with(strokes, 0).settled()
    later = replace(spec_with(strokes, 9), recipe=first.recipe)
    assert later.settled().recipe.label_names == ("good", "dark", "bright")
    assert any("the model learned the labels good, dark, bright" in note for note in later.settled().notes)
    assert not later.settled().is_good_only
    assert replace(later, options=TrainingOptions(good_only=True)).settled().is_good_only
    assert replace(spec_with(strokes, 4), recipe=first.recipe).settled().is_good_only


def test_labels_that_the_images_lack_are_not_learned(strokes: Path) -> None:
    spec = spec_with(strokes, 9)
    examples = tuple(replace(each, labels=each.labels[:1]) for each in spec.images.examples)
    images = replace(spec.images, label_names=("good",), examples=examples)
    settled = replace(spec, images=images, recipe=good_only_recipe(spec.recipe)).settled()
    assert settled.is_good_only
    assert any("the images have no label dark, bright" in note for note in settled.notes)


def test_an_image_with_a_label_that_the_recipe_lacks_is_not_learned_as_good(strokes: Path, tmp_path: Path) -> None:
    shutil.copytree(strokes, tmp_path / "strokes")
    table = (tmp_path / "strokes" / "labels.csv").read_text().splitlines()
    stained = [number for number, line in enumerate(table) if ",True,False,False" in line][:2]
    rows = [f"{line},{number in stained if number else 'stain'}" for number, line in enumerate(table)]
    (tmp_path / "strokes" / "labels.csv").write_text("\n".join(rows))
    (tmp_path / "recipe.yaml").write_text(strokes_recipe().to_yaml())
    images, recipe = read_images(tmp_path / "strokes", tmp_path / "recipe.yaml", None, None, skip_problems=True)
    options = TrainingOptions(good_only=True, skip_problems=True)
    learned = {each.name for each in spec_of(images, recipe, "lite0-depths", options).settled().images.examples}
    assert learned == {line.split(",")[0] for line in table[1:]} - {table[row].split(",")[0] for row in stained}


def test_no_image_is_compared_with_itself_or_with_its_group(tmp_path: Path, strokes: Path) -> None:
    """Two good images of one part look like no other: compared with themselves, they would be usual."""
    spec = spec_with(strokes, 0)
    dataset, store = decode_images(spec.images, spec.recipe.image, tmp_path)
    for row in (0, 1):
        store.pixels[row][20:44, 20 + row : 44 + row] = np.indices((24, 24, 3)).sum(axis=0) // 6 % 2 * 255
    rows = np.arange(len(store.pixels))
    fold_of = np.where(rows < 2, 0, 1 + rows % 3)
    patches, _ = build_patches(spec.recipe.image, None)
    good = np.ones(len(rows), np.bool_)
    fitted = fit_memory(patches, store, rows, good, fold_of, options=TrainingOptions(), listener=Silent())
    assert fitted.out_of_fold[:2].min() > fitted.out_of_fold[2:].max()
    assert len(dataset.examples) == len(rows)
    every = with_memory(patches, fitted.memory, fitted.usual)
    assert np.asarray(every(store.prepared(rows[:2]))).max() < fitted.out_of_fold[:2].min() / 2


def test_a_folder_that_a_model_learned_from_is_found_as_a_dataset_version(
    strokes: Path, trained: tuple[Bundle, str], tmp_path: Path
) -> None:
    store = FilesystemStore(tmp_path)
    imported = import_dataset(read_dataset(strokes), store, "strokes", by="ada", source="strokes")
    assert version_of(trained[0], store) == imported.version


def spec_with(
    folder: Path, ng: int, options: TrainingOptions | None = None, architecture: str = "lite0-depths"
) -> ModelSpec:
    """What to build of all good images of a folder and some others."""
    images, recipe = read_images(folder, None, None, 64)
    good = [example for example in images.examples if example.labels[0]]
    others = [example for example in images.examples if not example.labels[0]]
    chosen = replace(images, examples=(*good, *others[:ng]))
    return spec_of(chosen, recipe, architecture, options or TrainingOptions())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--good-only", "--architecture", "compact"), "leave out architecture and epochs"),
        (("--good-only", "--epochs", "3"), "leave out architecture and epochs"),
        (("--good-only", "--overkill", "0"), "overkill"),
        (("--operating-point", "allowed-overkill"), "good images alone"),
    ],
)
def test_contradictions_are_refused(strokes: Path, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    result = train(strokes, tmp_path / "model", *options)
    assert result.exit_code == 2
    assert said in result.output


def test_distances_are_those_to_the_nearest_patch_in_memory() -> None:
    rng = np.random.default_rng(0)
    patches, seen = rng.normal(size=(50, 6)).astype(np.float32), rng.normal(size=(2, 3, 5, 4)).astype(np.float32)
    kernel, bias = rng.normal(size=(4, 6)).astype(np.float32), rng.normal(size=6).astype(np.float32)
    mean, deviation = rng.random((3, 5), np.float32), 1 + rng.random((3, 5), np.float32)
    inputs = keras.Input((3, 5, 4))
    given = keras.Model(inputs, keras.layers.Identity()(inputs))
    usual = Usual(mean, deviation, kernel=3.0, bias=-1.0)
    network = with_memory(given, Memory(kernel, bias, patches), usual)
    exact = np.linalg.norm((seen @ kernel + bias)[..., np.newaxis, :] - patches, axis=-1).min(axis=-1)
    maps = np.asarray(keras.Model(network.input, network.get_layer(DISTANCES).output)(seen))[..., 0]
    assert maps == pytest.approx(np.maximum((exact - mean) / deviation, 0), abs=1e-4)
    assert np.asarray(network(seen))[:, 0] == pytest.approx(3 * largest_of(exact, usual) - 1, abs=1e-3)


def test_a_place_that_varies_among_good_images_has_to_differ_more() -> None:
    maps = np.random.default_rng(0).normal(5, 0.1, (100, 12, 12)).astype(np.float32)
    maps[:, :, :6] *= np.random.default_rng(1).normal(1, 0.2, (100, 1, 1)).astype(np.float32)
    usual = usual_of(maps)
    assert usual.deviation[6, 0] > 3 * usual.deviation[6, 11]
    assert usual.mean == pytest.approx(5, abs=0.2)


def test_a_memory_covers_what_is_rare() -> None:
    rng = np.random.default_rng(0)
    pool = np.concatenate([rng.normal(size=(5 * PATCHES, 8)), rng.normal(20, 1, size=(5, 8))]).astype(np.float32)
    memory = coreset(pool, rng)
    assert len(memory) == PATCHES
    assert (memory.mean(axis=1) > 10).any()


def test_directions_are_as_variable_as_each_other() -> None:
    rng = np.random.default_rng(0)
    pool = (rng.normal(size=(2000, 12)) * np.arange(1, 13)).astype(np.float32)
    kernel, bias = directions_of(pool)
    found = pool @ kernel + bias
    assert found.mean(axis=0) == pytest.approx(0, abs=1e-3)
    assert np.cov(found.T) == pytest.approx(np.eye(12), abs=0.05)


def test_a_feature_that_varies_by_rounding_alone_is_not_made_large() -> None:
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(2000, 12)).astype(np.float32)
    pool[:, 0] = 3 + 1e-6 * rng.normal(size=2000)
    kernel, _ = directions_of(pool)
    assert np.abs(kernel[0]).max() < 2 / (SMALLEST_SHARE * np.sqrt(EVEN_OUT))
