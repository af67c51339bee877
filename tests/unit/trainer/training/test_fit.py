import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from services.trainer.architectures.architecture import Architecture
from services.trainer.architectures.registry import ARCHITECTURES
from services.trainer.cli.train_and_evaluate import evaluate_folder
from services.trainer.datasets.pixels import PixelStore, decode_images
from services.trainer.evaluation.epoch_validation import DivergedTraining, Validator
from services.trainer.training import precision
from services.trainer.training.build import Built, build
from services.trainer.training.checkpoint import CheckpointError, decode_checkpoint
from services.trainer.training.cluster import SINGLE, Rank
from services.trainer.training.feeding import Feed, UnevenBatch
from services.trainer.training.fit import fit
from services.trainer.training.loss import loss_of
from services.trainer.training.model_spec import ModelSpec
from services.trainer.training.options import WrongOption, read_options
from services.trainer.training.precision import BFLOAT16, FLOAT16, Hardware, compute_config
from services.trainer.training.trained import Trained
from shared.contracts.bundle import (
    EVALUATION,
    HISTORY,
    OPENVINO,
    OPENVINO_INT8,
    OPENVINO_WEIGHTS,
    Variant,
    read_bundle_folder,
    write_bundle_folder,
)
from shared.contracts.operating_points import OperatingPointName
from shared.contracts.scores import read_scores
from shared.contracts.training import Precision, Shares, TrainingOptions
from shared.datasets.reading import read_dataset
from shared.engines.openvino import OpenVinoEngine
from shared.recipe import Augmentation, ImageSpec, Task
from tests.strokes import draw_strokes, strokes_recipe

pytestmark = pytest.mark.xdist_group("fit")  # its fixtures take long: one worker makes them

OPTIONS = TrainingOptions(epochs=6, batch_size=16, learning_rate=5e-3, shares=Shares(train=0.6, valid=0.2, test=0.2))


def build_tiny(image: ImageSpec, labels: int) -> keras.Model:
    """Return a network that is trained in a moment."""
    inputs = keras.layers.Input(image.shape)
    features = keras.layers.Conv2D(4, 4, 4, activation="relu", name="features")(inputs)
    pooled = keras.layers.GlobalMaxPooling2D()(features)
    return keras.Model(inputs, keras.layers.Dense(labels, name="logits")(pooled))


TINY = Architecture("tiny", "a moment's network", build_tiny, 16, 1e-2, 0.0)


class Killed(Exception):
    """Stands for a power failure."""


@dataclass
class RecordingListener:
    """Records the progress of a training, and may end it after an epoch."""

    killed_after: int | None = None
    epochs: list[dict[str, float]] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)

    def on_stage(self, stage: str) -> None:
        self.stages.append(stage)

    def on_share(self, share: float) -> None: ...

    def on_batch(self, epoch: int, share: float, loss: float) -> None:
        self.shares.append(epoch - 1 + share)

    def on_epoch(self, epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        self.epochs.append(metrics)
        if epoch == self.killed_after:
            raise Killed


@dataclass
class MemoryCheckpoint:
    """Stores a checkpoint in memory."""

    content: bytes | None = None

    def load(self) -> bytes | None:
        return self.content

    def save(self, content: bytes) -> None:
        self.content = content


@pytest.fixture(scope="module")
def store(strokes: Path, tmp_path_factory: pytest.TempPathFactory) -> PixelStore:
    return decode_images(read_dataset(strokes), strokes_recipe().image, tmp_path_factory.mktemp("pixels"))[1]


def train(
    store: PixelStore, options: TrainingOptions, listener: RecordingListener, checkpoint: MemoryCheckpoint | None = None
) -> Trained:
    rows = np.arange(len(store.labels))
    return fit(
        TINY,
        strokes_recipe(),
        store,
        train=rows[:60],
        valid=rows[60:90],
        options=options,
        listener=listener,
        checkpoints=checkpoint,
    )


@pytest.fixture(scope="module")
def built(strokes: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A model that was really trained."""
    images = read_dataset(strokes, strokes_recipe().label_names)
    spec = ModelSpec("v1", images, strokes_recipe(), "compact", OPTIONS, datetime(2026, 11, 23, tzinfo=UTC))
    listener = RecordingListener()
    built = build(spec, tmp_path_factory.mktemp("scratch"), listener)
    assert listener.stages[0] == "reading the images"
    assert "choosing and measuring heatmaps" in listener.stages, "work that takes minutes after the epochs is reported"
    return built


def test_a_training_really_learns(built: Built) -> None:
    assert (built.evaluation.macro_average_precision or 0) > 0.9
    assert (built.evaluation.labels["dark"].accuracy or 0) > 0.8


def test_the_least_cost_needs_a_defect_rate(strokes: Path, tmp_path: Path) -> None:
    images = read_dataset(strokes, strokes_recipe().label_names)
    options = TrainingOptions(operating_point=OperatingPointName.LEAST_COST)
    spec = ModelSpec("v1", images, strokes_recipe(), "compact", options, datetime(2026, 11, 23, tzinfo=UTC))
    with pytest.raises(WrongOption, match="least-cost needs a defect_rate in the recipe"):
        build(spec, tmp_path, RecordingListener())


def test_a_bundle_that_was_read_again_judges_as_before(built: Built, tmp_path: Path) -> None:
    write_bundle_folder(tmp_path / "model", built.bundle)
    again = read_bundle_folder(tmp_path / "model")
    images = np.random.default_rng(0).random((5, 32, 32, 3), np.float32)
    engines = [OpenVinoEngine(each.file(OPENVINO), each.file(OPENVINO_WEIGHTS)) for each in (built.bundle, again)]
    assert engines[0].logits(images) == pytest.approx(engines[1].logits(images), abs=1e-4)
    assert again.recipe == built.bundle.recipe


def test_a_model_is_measured_on_images_that_it_never_saw(built: Built, tmp_path: Path) -> None:
    write_bundle_folder(tmp_path / "model", built.bundle)
    unseen = draw_strokes(tmp_path / "unseen", 61, seed=9)
    (unseen / "images" / "stroke_0060.png").write_bytes(b"")
    with evaluate_folder(tmp_path / "model", unseen, skip_problems=True) as evaluation:
        assert (
            "left out: labels.csv, line 62: stroke_0060.png can't be used: the image has zero bytes" in evaluation.notes
        )
        assert evaluation.bundle.version == "v1"
        assert evaluation.evaluation.images == 60
        assert (evaluation.evaluation.macro_average_precision or 0) > 0.85
        told = json.loads(evaluation.as_json())
        page = evaluation.as_html()
    assert told["learned"]["known_by"] == "name", "other images, of the same names"
    assert "have the names of some that the model was trained or validated on" in page
    numbers = {"accuracy", "precision", "recall", "f1", "roc_auc", "average_precision"}
    for label in told["labels"].values():
        assert {"n", *numbers} <= set(label)
        assert numbers <= set(label["intervals"])
    whole = {"verdict_accuracy", "escape_rate", "overkill_rate", "macro_average_precision"}
    assert whole <= set(told)
    assert whole <= set(told["intervals"])
    assert "Worst mistakes" in page or not told["mistakes"]
    assert "Training" in page


def test_a_measurement_on_the_images_of_the_training_says_so(built: Built, strokes: Path, tmp_path: Path) -> None:
    write_bundle_folder(tmp_path / "model", built.bundle)
    with evaluate_folder(tmp_path / "model", strokes) as evaluation:
        (note,) = evaluation.notes
    held_back = built.bundle.files["test.csv"].decode().splitlines()[1:]
    assert f"was trained or validated on {200 - len(held_back)} of these 200 images" in note


def test_a_bundle_names_its_training_data_and_settings(built: Built) -> None:
    manifest = built.bundle.manifest
    assert manifest.dataset.startswith("sha256:")
    assert manifest.options["seed"] == 0
    computed = compute_config(Precision.AUTO, ARCHITECTURES["compact"])
    assert manifest.options["computed_in"] == [{**asdict(computed), "from_epoch": 1}]
    assert {"keras", "numpy", "openvino"} <= set(manifest.libraries)
    assert len(json.loads(built.bundle.file(HISTORY))) == 6
    scored = read_scores(built.bundle)
    assert [len(part.names) for part in scored.splits.values()] == [
        len(built.bundle.files[f"{part}.csv"].splitlines()) - 1 for part in scored.splits
    ]
    assert len(scored.variants[Variant.FP32]) == len(scored.splits["valid"].names)
    groups = [set(built.bundle.file(f"{part}.csv").decode().split("\n")[1:-1]) for part in ("train", "valid", "test")]
    assert sum(len(rows) for rows in groups) == 200 == len(set.union(*groups))


def test_a_bundle_holds_the_proof_of_its_compiled_variant(built: Built) -> None:
    report = json.loads(built.bundle.file(EVALUATION))
    proof = report["compiled"]["openvino_fp32"]
    assert proof["images"] >= 35
    assert proof["changed_verdicts"] == 0
    assert proof["largest_score_difference"] < 1e-3
    assert report["split"] == "test"
    assert report["verdict_accuracy"] == built.evaluation.verdict_accuracy


def test_a_bundle_says_of_its_int8_variant_that_it_judges_alike_or_why_it_is_not_there(built: Built) -> None:
    report = json.loads(built.bundle.file(EVALUATION))
    offered, left_out = report["compiled"].get("openvino_int8"), report["not_offered"].get("openvino_int8")
    assert (offered is None) != (left_out is None)
    assert (OPENVINO_INT8 in built.bundle.files) == (offered is not None)
    assert (offered or left_out["proof"])["images"] >= 35


def test_a_bundle_keeps_its_report_its_worst_mistakes_and_their_images(built: Built) -> None:
    document = json.loads(built.bundle.file(EVALUATION))
    listed = [mistake["image"] for mistake in document["mistakes"]]
    assert listed == sorted(name for name in built.bundle.files if name.startswith("mistake_"))
    assert len(listed) <= OPTIONS.mistakes
    assert set(document["threshold_curves"]) == {"good", "dark", "bright"}
    assert document["operating_points"]["chosen"] == "balanced"
    assert set(document["operating_points"]["points"]) == {"few-escapes", "balanced", "few-false-rejects"}
    page = built.bundle.file("report.html").decode()
    assert f"strokes, model {built.bundle.version}" in page
    assert page.count("data:image/jpeg") == len(listed)


def test_progress_is_reported_by_batch_and_epoch(store: PixelStore) -> None:
    listener = RecordingListener()
    train(store, TrainingOptions(epochs=2, batch_size=16), listener)
    assert listener.shares == pytest.approx([0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2])
    assert [set(metrics) for metrics in listener.epochs] == [
        {"loss", "val_loss", "val_average_precision", "val_images"}
    ] * 2


def test_a_killed_training_continues_where_it_was(store: PixelStore) -> None:
    options = TrainingOptions(epochs=4, batch_size=16, seed=3)
    whole = train(store, options, RecordingListener())
    checkpoint, listener = MemoryCheckpoint(), RecordingListener()
    with pytest.raises(Killed):
        train(store, options, RecordingListener(killed_after=2), checkpoint)
    resumed = train(store, options, listener, checkpoint)
    assert listener.stages == ["continuing after epoch 2"]
    assert len(listener.epochs) == 2
    assert resumed.best_epoch == whole.best_epoch
    assert [row["loss"] for row in resumed.history] == pytest.approx([row["loss"] for row in whole.history], rel=2e-2)


def test_a_training_in_mixed_precision_keeps_a_plain_network_and_is_taken_up_in_any_other(
    store: PixelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainingOptions(epochs=4, batch_size=16, seed=3, precision=Precision.FLOAT32)
    whole = train(store, options, RecordingListener())
    checkpoint = MemoryCheckpoint()
    for name, policy, killed_after in (("gpu", FLOAT16, 2), ("plain", None, 3), ("cpu", BFLOAT16, None)):
        hardware = Hardware(name, policy)
        monkeypatch.setattr(precision, "hardware_of_this_machine", lambda hardware=hardware: hardware)
        asked = options.model_copy(update={"precision": Precision.MIXED if policy else Precision.AUTO})
        with nullcontext() if killed_after is None else pytest.raises(Killed):
            resumed = train(store, asked, RecordingListener(killed_after), checkpoint)
    assert {layer.dtype_policy.name for layer in resumed.network.layers} == {"float32"}
    assert [row["loss"] for row in resumed.history] == pytest.approx([row["loss"] for row in whole.history], rel=5e-2)
    assert [(run["precision"], run["hardware"], run["from_epoch"]) for run in resumed.runs] == [
        (FLOAT16, "gpu", 1),
        ("float32", "plain", 3),
        (BFLOAT16, "cpu", 4),
    ]


def test_a_training_that_was_killed_after_its_last_epoch_is_not_trained_again(store: PixelStore) -> None:
    checkpoint, listener = MemoryCheckpoint(), RecordingListener()
    with pytest.raises(Killed):
        train(store, TrainingOptions(epochs=1), RecordingListener(killed_after=1), checkpoint)
    train(store, TrainingOptions(epochs=1), listener, checkpoint)
    assert listener.epochs == []


def test_a_checkpoint_of_another_training_is_refused(store: PixelStore) -> None:
    checkpoint = MemoryCheckpoint()
    train(store, TrainingOptions(epochs=1), RecordingListener(), checkpoint)
    state = decode_checkpoint(checkpoint.content or b"")
    state.network = state.network[:-1]
    with pytest.raises(CheckpointError, match="of another network"):
        train(store, TrainingOptions(epochs=1), RecordingListener(), MemoryCheckpoint(state.encode()))
    with pytest.raises(CheckpointError, match="with other images, weights, recipe or options"):
        train(store, TrainingOptions(epochs=2), RecordingListener(), checkpoint)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        train(store, TrainingOptions(epochs=2), RecordingListener(), MemoryCheckpoint(b"weights"))


def test_a_training_stops_early_and_keeps_its_best_epoch(store: PixelStore) -> None:
    listener = RecordingListener()
    trained = train(store, TrainingOptions(epochs=30, patience=1, learning_rate=0.3, batch_size=16), listener)
    assert len(listener.epochs) < 30
    scores = [row["val_average_precision"] for row in trained.history]
    assert scores[trained.best_epoch - 1] == max(scores)
    assert len(scores) == trained.best_epoch + 1


def test_a_diverging_training_reports_a_remedy(store: PixelStore) -> None:
    with pytest.raises(DivergedTraining, match="choose a smaller learning_rate"):
        train(store, TrainingOptions(epochs=3, learning_rate=1e38, batch_size=16), RecordingListener())


def test_a_network_whose_weights_are_lost_in_the_last_step_of_an_epoch_has_diverged(store: PixelStore) -> None:
    recipe = strokes_recipe()
    network = build_tiny(recipe.image, len(recipe.labels))
    network.get_layer("logits").bias.assign([0.0, np.nan, 0.0])
    with pytest.raises(DivergedTraining, match="choose a smaller learning_rate"):
        Validator(store, np.arange(30), recipe.task)(network)


def test_every_epoch_shows_every_image_once_and_in_another_order(store: PixelStore) -> None:
    numbered = PixelStore(store.pixels, np.arange(200, dtype=np.float32)[:, np.newaxis], store.image, "")
    feed = Feed(numbered, np.arange(50), Augmentation(), batch=16, seed=1)
    batches = [labels.numpy().ravel() for _, labels in feed.epochs(0, 2)]
    first, second = np.concatenate(batches[:4]), np.concatenate(batches[4:])
    assert [len(batch) for batch in batches] == [16, 16, 16, 2] * 2
    assert sorted(first) == sorted(second) == list(range(50))
    assert not np.array_equal(first, second)


def test_workers_share_each_batch_evenly_and_all_get_an_indivisible_one(store: PixelStore) -> None:
    numbered = PixelStore(store.pixels, np.arange(200, dtype=np.float32)[:, np.newaxis], store.image, "")
    fed = []
    for rank in (SINGLE, *(Rank(index, ("a:1", "b:2")) for index in range(2))):
        feed = Feed(numbered, np.arange(21), Augmentation(), batch=6, seed=1, rank=rank)
        assert feed.batch_sizes == [6, 6, 6, 3]
        fed.append([labels.numpy().ravel().tolist() for _, labels in feed.epochs(0, 1)])
    for whole, mine, yours in zip(*(batches[:3] for batches in fed), strict=True):
        assert len(mine) == len(yours)
        assert sorted(mine + yours) == sorted(whole)
    assert fed[0][3] == fed[1][3] == fed[2][3]


def test_an_indivisible_batch_is_refused_with_a_remedy(store: PixelStore) -> None:
    with pytest.raises(UnevenBatch, match="2 workers can't share 15 images: give a multiple as batch_size"):
        Feed(store, np.arange(20), Augmentation(), batch=15, seed=1, rank=Rank(0, ("a:1", "b:2")))


def test_the_same_seed_feeds_the_same_images_from_any_epoch_on(store: PixelStore) -> None:
    feed = Feed(store, np.arange(20), Augmentation(noise=True, shift=0.1), batch=8, seed=5)
    whole = [images.numpy() for images, _ in feed.epochs(0, 3)]
    later = [images.numpy() for images, _ in feed.epochs(2, 3)]
    assert all(np.array_equal(before, after) for before, after in zip(whole[6:], later, strict=True))


def _one(value: float) -> NDArray[np.float32]:
    return np.array([[value]], np.float32)


def test_a_rare_label_weighs_more_when_it_is_missed() -> None:
    truth = np.zeros((100, 1), np.float32)
    truth[:4] = 1
    loss = loss_of(Task.MULTI_LABEL, truth)
    missed, alarmed = (float(loss(_one(true), _one(3 - 6 * true))[0]) for true in (1, 0))
    assert missed / alarmed == pytest.approx(np.sqrt(96 / 4), rel=1e-4)


def test_a_rare_class_weighs_more() -> None:
    truth = np.eye(2, dtype=np.float32)[[0] * 90 + [1] * 10]
    loss = loss_of(Task.EXCLUSIVE, truth)
    common, rare = np.asarray(loss(np.eye(2, dtype=np.float32), np.zeros((2, 2), np.float32)))
    assert rare / common == pytest.approx(3, rel=1e-4)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"epoch": 3}, "option epoch: .*; the options are epochs, minutes, patience"),
        ({"variants": ["int8"]}, "option variants: fp32 is always made"),
        ({"variants": ["fp32", "int4"]}, "option variants.1: give 'fp32' or 'int8'"),
        ({"epochs": -1}, "option epochs: give 0 or more"),
        ({"operating_point": "cheap"}, "option operating_point: give 'few-escapes', 'balanced'"),
        ({"epochs": "many"}, "option epochs: give a whole number"),
        ({"shares": {"train": 0.9}}, "option shares: .*make 1 together"),
    ],
)
def test_a_wrong_option_is_named(given: dict[str, object], expected: str) -> None:
    with pytest.raises(WrongOption, match=expected):
        read_options(given)  # type: ignore[arg-type]
