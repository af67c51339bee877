"""A model with labels also says which frames are unlike anything good, with one network, verdict and heatmap."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from services.explainer.handler import Case, compute_heatmaps
from services.explainer.loading import load_model as load_explained
from services.inference.model import Model, load_model
from services.trainer.architectures.lite0_depths import build_lite0_depths
from services.trainer.architectures.registry import architecture_of
from services.trainer.cli.commands import app
from services.trainer.cli.train_and_evaluate import read_images, spec_of
from services.trainer.datasets.pixels import decode_images
from services.trainer.evaluation.threshold_choice import point_of
from services.trainer.training.build import with_memory_of_good
from services.trainer.training.out_of_fold import OutOfFold
from services.trainer.training.own_model import load_initial_weights
from services.trainer.training.split_images import Folds, read_split_images
from services.trainer.training.trained import Trained
from services.trainer.training.tried import image_in_words
from services.trainer.variants.quantise import anomaly_operations, quantise
from shared.contracts.bundle import EVALUATION, OPENVINO, OPENVINO_WEIGHTS, Bundle, read_bundle_folder
from shared.contracts.operating_points import OperatingPoints
from shared.contracts.training import TrainingOptions
from shared.datasets.reading import read_for_recipe
from shared.engines.batch_check import SAME_SCORE
from shared.engines.compile import CompiledVariant
from shared.engines.openvino import OpenVinoEngine, openvino
from shared.explain.network import read_network
from shared.messages import Verdict
from shared.recipe import Explanation
from shared.verdict import judge, scores_by
from tests.messages import inspected
from tests.strokes import draw_strokes, strokes_recipe
from tests.unit.trainer.training.test_last_layer import Silent

pytestmark = pytest.mark.xdist_group("tensorflow")
SIDE = 64


def with_a_checkered_square() -> NDArray[np.uint8]:
    """A grey image with a defect that no image of the training has, in its lower left quarter."""
    image = np.random.default_rng(7).normal(128, 4, (32, 32, 3)).clip(0, 255).astype(np.uint8)
    square = np.indices((10, 10)).sum(axis=0) % 4 // 2 * 60 + 98
    image[20:30, 2:12] = square[..., np.newaxis]
    return image


@pytest.fixture(scope="module")
def strokes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_strokes(tmp_path_factory.mktemp("labelled") / "strokes", 40)


@pytest.fixture(scope="module")
def bundle(strokes: Path) -> Bundle:
    out, recipe = strokes.parent / "model", strokes.parent / "recipe.yaml"
    image = strokes_recipe().image.model_copy(update={"height": SIDE, "width": SIDE})
    explanation = Explanation(method="layer-cam", layer="block4_sum")  # so that no time goes into choosing it
    recipe.write_text(strokes_recipe().model_copy(update={"image": image, "explanation": explanation}).to_yaml())
    options = ["--recipe", recipe, "--minutes", "1000", "--variants", "fp32", "--mistakes", "0", "--no-report"]
    result = CliRunner().invoke(app, [str(word) for word in ("train", "--data", strokes, "--out", out, *options)])
    assert result.exit_code == 0, result.output
    return read_bundle_folder(out)


@pytest.fixture(scope="module")
def worker(bundle: Bundle) -> Model:
    return load_model(bundle, "openvino", 1, 4, "fp32")


def test_a_frame_that_is_unlike_anything_good_is_flagged_where_no_label_finds_a_fault(worker: Model) -> None:
    good = np.random.default_rng(3).normal(128, 4, (32, 32, 3)).clip(0, 255).astype(np.uint8)
    scratched = good.copy()
    cv2.line(scratched, (8, 8), (24, 20), (20, 20, 20), 4)
    images = [worker.prepare(image) for image in (good, with_a_checkered_square(), scratched)]
    passed, unknown, known = worker.judge(worker.run(np.stack(images)))
    assert (passed.verdict, passed.flagged, passed.reason) == (Verdict.OK, False, "no fault")
    assert unknown.findings["anomaly"].present
    assert unknown.flagged
    assert known.verdict is Verdict.NG
    assert known.findings["dark"].fault
    assert not known.findings["anomaly"].fault


def test_the_line_runs_the_network_that_explains(bundle: Bundle) -> None:
    images = np.random.default_rng(0).normal(size=(3, SIDE, SIDE, 3)).astype(np.float32)
    engine = OpenVinoEngine(bundle.file(OPENVINO), bundle.file(OPENVINO_WEIGHTS))
    by_keras = np.asarray(read_network(bundle).predict_on_batch(images))
    assert by_keras.shape == (3, 4)
    on_the_line = engine.logits(images)
    assert np.abs(on_the_line - by_keras)[:, :-1].max() < 0.001 * np.abs(by_keras).max()
    scores, expected = (scores_by(bundle.recipe, logits) for logits in (on_the_line, by_keras))
    assert np.abs(scores - expected).max() < SAME_SCORE


def test_another_training_starts_from_the_layers_before_the_labels(strokes: Path, bundle: Bundle) -> None:
    network = build_lite0_depths(bundle.recipe.image, 3)
    origin = load_initial_weights(architecture_of("lite0-depths"), network, strokes.parent / "model")
    assert origin
    assert bundle.manifest.version in origin.source


def test_the_heatmap_of_an_anomaly_is_the_map_of_distances(bundle: Bundle, worker: Model) -> None:
    model, image = load_explained(bundle), with_a_checkered_square()
    (judgement,) = worker.judge(worker.run(worker.prepare(image)[np.newaxis]))
    frame = inspected(0, flagged=True).model_copy(update={"findings": judgement.findings})
    case = Case(frame, ("anomaly", "good"), image)
    compute_heatmaps(model, [case])
    heats = {question.label.name: heat for question, heat, _ in case.heatmaps}
    assert heats.keys() == {"anomaly", "good"}
    row, column = np.unravel_index(int(heats["anomaly"].pixels.argmax()), heats["anomaly"].pixels.shape)
    assert row > 16 > column
    assert case.method == f"{bundle.manifest.heatmaps.in_words}; distance at distances"
    assert bundle.manifest.heatmaps.scale_of("anomaly", for_label=True)


def test_what_it_finds_beside_the_labels_is_measured_out_of_fold(bundle: Bundle) -> None:
    evaluation = json.loads(bundle.file(EVALUATION))
    anomaly, dark = (evaluation["valid"]["labels"][name] for name in ("anomaly", "dark"))
    assert anomaly["positives"] > dark["positives"]
    assert anomaly["roc_auc"] > 0.9
    assert evaluation["anomaly"] == "anomaly"
    assert evaluation["macro_labels"] == ["good", "dark", "bright"]
    assert any("NG images that the labels miss" in each and "AUROC" in each for each in evaluation["warnings"])
    points = OperatingPoints.model_validate(evaluation["operating_points"])
    assert point_of(bundle.recipe, points) == points.chosen
    assert {each["label"] for each in evaluation["doubtful_labels"]} <= {"good", "dark", "bright"}


def test_other_features_and_images_were_tried_before(bundle: Bundle) -> None:
    tried = json.loads(bundle.file(EVALUATION))["tried"]
    assert [each["head"] for each in tried if each["image"].endswith("normalisation unit")] == [
        "linear",
        "linear, without the deepest features",
        "kernel",
    ]
    assert {each["image"] for each in tried} == {
        f"{SIDE} x {SIDE} pixels, normalisation {name}" for name in ("unit", "image")
    }
    (chosen,) = (each["image"] for each in tried if each["chosen"])
    assert chosen == image_in_words(bundle.recipe.image)


def test_images_are_read_with_the_labels_that_people_give(bundle: Bundle, strokes: Path, tmp_path: Path) -> None:
    assert read_for_recipe(strokes, bundle.recipe).label_names == ("good", "dark", "bright")
    report = tmp_path / "report.json"
    command = ["evaluate", "--model", strokes.parent / "model", "--data", strokes, "--report", report]
    result = CliRunner().invoke(app, [str(word) for word in command])
    assert result.exit_code == 0, result.output
    assert "macro average precision" in result.output
    assert "of 3 labels" in result.output
    assert json.loads(report.read_text())["labels"]["anomaly"]["positives"] > 0


def test_int8_measures_distances_in_full_precision(bundle: Bundle, strokes: Path, tmp_path: Path) -> None:
    dataset = read_for_recipe(strokes, bundle.recipe)
    _, store = decode_images(dataset, bundle.recipe.image, tmp_path)
    whole = CompiledVariant(bundle.file(OPENVINO), bundle.file(OPENVINO_WEIGHTS))
    spared = anomaly_operations(whole)
    small = quantise(whole, store, np.arange(4), spared)
    operations = openvino.Core().read_model(small.xml, small.weights).get_ordered_ops()
    convolutions = [each for each in operations if each.get_type_name() == "Convolution"]
    quantised = {
        each.get_friendly_name()
        for each in convolutions
        if each.input_value(0).get_node().get_type_name() == "FakeQuantize"
    }
    whole_ones = {each.get_friendly_name() for each in convolutions} & spared
    assert len(whole_ones) == 3, "to directions, to squares, and to the patches in memory"
    assert quantised
    assert not quantised & spared


def test_a_recipe_may_leave_it_out(strokes: Path, tmp_path: Path) -> None:
    images, recipe = read_images(strokes, None, None, SIDE)
    spec = spec_of(images, recipe.model_copy(update={"unlike_good": "off"}), "lite0-depths", TrainingOptions())
    split = read_split_images(spec.images, spec.recipe, spec.options, tmp_path)
    rows = np.arange(len(split.examples))
    divided = Folds(rows, rows % 5, [example.group for example in split.examples])
    network = build_lite0_depths(recipe.image, len(recipe.labels))
    out_of_fold = OutOfFold(rows, np.zeros((len(rows), len(recipe.labels)), np.float32), learning_curve=None)
    trained = Trained(network, None, 0, [], [], out_of_fold)
    assert with_memory_of_good(spec, split, divided, trained, Silent()) is trained


def test_the_recipe_decides_whether_it_is_ng(bundle: Bundle) -> None:
    strict = bundle.recipe.model_copy(update={"unlike_good": "ng"})
    scores = [0.99, 0.01, 0.01, 0.99]
    assert (judge(strict, scores).verdict, judge(strict, scores).reason) == (Verdict.NG, "unlike anything good")
    assert judge(bundle.recipe, scores).verdict is Verdict.OK
