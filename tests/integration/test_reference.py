"""From labelled images with golden samples to verdicts and heatmaps: every service sees the same input."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.explainer.handler import Case, compute_heatmaps
from services.explainer.loading import load_model as load_explaining
from services.inference.handler import Inspector
from services.inference.image_store import ImageStore
from services.inference.live_images import LiveImages
from services.inference.model import load_model
from services.trainer.architectures.architecture import UnfitArchitecture
from services.trainer.cli.train_and_evaluate import evaluate_folder
from services.trainer.datasets.download import DatasetAccess
from services.trainer.datasets.pixels import PixelStore, decode_images
from services.trainer.training.build import Built, build
from services.trainer.training.model_spec import ModelSpec
from services.trainer.training.options import WrongOption
from shared.contracts.bundle import RECIPE, REFERENCES, BundleError, Variant, read_bundle_folder, write_bundle_folder
from shared.contracts.training import TrainingOptions
from shared.datasets.importing import import_dataset
from shared.datasets.reading import read_dataset
from shared.datasets.tables import DatasetError
from shared.imaging.codec import decode
from shared.imaging.preprocessing import prepare
from shared.messages import FrameInspected, Verdict
from shared.storage.filesystem import FilesystemStore
from shared.verdict import scores_of
from tests.boards import board, boards_recipe, draw_boards, part
from tests.inspection import OneModel
from tests.models import captured
from tests.strokes import write_table

pytestmark = pytest.mark.xdist_group("tensorflow")
OPTIONS = TrainingOptions(report=False, mistakes=1, variants=(Variant.FP32,))
NOW = datetime(2026, 11, 30, tzinfo=UTC)
IMAGES = 40


class Silent:
    """A listener that nobody reads."""

    def on_stage(self, stage: str) -> None: ...

    def on_share(self, share: float) -> None: ...

    def on_batch(self, epoch: int, share: float, loss: float) -> None: ...

    def on_epoch(self, epoch: int, epochs: int, metrics: dict[str, float]) -> None: ...


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_boards(tmp_path_factory.mktemp("boards"), IMAGES)


def _spec(folder: Path, architecture: str = "lite0-depths", options: TrainingOptions = OPTIONS) -> ModelSpec:
    recipe = boards_recipe()
    return ModelSpec("v1", read_dataset(folder, recipe.label_names), recipe, architecture, options, NOW)


@pytest.fixture(scope="module")
def built(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(_spec(folder), tmp_path_factory.mktemp("scratch"), Silent())


@pytest.fixture(scope="module")
def model(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bundle, as it is copied to a line."""
    path = tmp_path_factory.mktemp("model")
    write_bundle_folder(path, built.bundle)
    return path


@pytest.fixture(scope="module")
def store(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> PixelStore:
    recipe = boards_recipe()
    dataset = read_dataset(folder, recipe.label_names)
    return decode_images(dataset, recipe.image, tmp_path_factory.mktemp("pixels"))[1]


def _file(folder: Path, number: int) -> bytes:
    return (folder / "images" / f"{number:03d}.png").read_bytes()


def test_trainer_worker_and_explainer_give_the_network_the_same_numbers(
    folder: Path, model: Path, store: PixelStore
) -> None:
    bundle = read_bundle_folder(model)
    worker, explainer = load_model(bundle, "openvino", threads=1, largest_batch=2), load_explaining(bundle)
    assert len(store.labels) == IMAGES, "the golden samples are not learned from"
    for number in range(0, IMAGES, 7):
        trained = store.prepared(np.array([number]))[0]
        image = decode(_file(folder, number))
        assert np.array_equal(worker.prepare(image), trained)
        assert np.array_equal(prepare(image, explainer.recipe.image, explainer.references), trained)
    worker.unload()


def test_the_model_finds_holes_and_its_evaluation_of_a_folder_gives_the_scores_of_the_worker(
    folder: Path, model: Path, built: Built
) -> None:
    assert (built.evaluation.macro_average_precision or 0) > 0.8
    worker = load_model(read_bundle_folder(model), "openvino", threads=1, largest_batch=2)
    images = np.stack([worker.prepare(decode(_file(folder, number))) for number in range(8)])
    with evaluate_folder(model, folder) as evaluation:
        assert len(evaluation.run.names) == IMAGES
        assert np.abs(evaluation.run.scores[:8] - scores_of(worker.run(images), worker.recipe.task)).max() < 1e-4
    worker.unload()


def test_a_frame_that_no_reference_fits_gets_the_verdict_error_and_its_neighbours_are_inspected(
    model: Path, tmp_path: Path
) -> None:
    worker = load_model(read_bundle_folder(model), "openvino", threads=1, largest_batch=4)
    store = FilesystemStore(tmp_path)
    inspector = Inspector(OneModel(worker), ImageStore(store, wait_seconds=60, pause_seconds=60), LiveImages(store, 0))
    frames = [captured(0, part(0, 100, hole=False)), captured(1, board(7)), captured(2, part(1, 101, hole=True))]
    first, strange, last = (each for each in inspector.inspect(frames).result(60) if isinstance(each, FrameInspected))
    assert strange.verdict is Verdict.ERROR
    assert strange.reason.startswith("not compared with a reference image: it does not look like the reference image")
    assert not strange.findings
    assert {first.verdict, last.verdict} <= {Verdict.OK, Verdict.NG}
    assert first.findings.keys() == last.findings.keys() == {"good", "hole"}


def test_a_frame_is_explained_beside_its_reference(model: Path, folder: Path) -> None:
    bundle = read_bundle_folder(model)
    explainer, worker = load_explaining(bundle), load_model(bundle, "openvino", threads=1, largest_batch=1)
    cases = []
    for number, image in enumerate((decode(_file(folder, 1)), board(7))):
        judgement = worker.judge(worker.run(worker.prepare(decode(_file(folder, 1)))[np.newaxis]))[0]
        frame = FrameInspected(
            frame=captured(number, b"").frame,
            verdict=judgement.verdict,
            reason=judgement.reason,
            findings=judgement.findings,
            flagged=True,
            recipe="boards",
            model_version="v1",
            at=NOW,
            latency_ms=1,
        )
        cases.append(Case(frame, labels=("hole",), image=image))
    compute_heatmaps(explainer, cases)
    ((question, heat, _),) = cases[0].heatmaps
    assert question.label.name == "hole"
    assert heat.pixels.shape == (64, 64)
    assert not cases[1].heatmaps
    assert "not compared with a reference image" in cases[1].reason


def test_a_bundle_without_its_references_is_not_used(built: Built) -> None:
    bundle = built.bundle
    files = {name: content for name, content in bundle.files.items() if name != REFERENCES}
    with pytest.raises(BundleError, match=f"has no {REFERENCES}"):
        load_model(type(bundle)(bundle.manifest, files), "openvino", threads=1, largest_batch=1)
    assert b"golden/*" in bundle.file(RECIPE)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (
            ("000.png", True, False),
            "no labelled image matches golden/\\*, which image.reference.images of the recipe names",
        ),
        (("golden/0.png", False, True), "golden/0.png is a reference image, and is labelled NG"),
    ],
)
def test_references_that_are_missing_or_ng_are_refused(
    folder: Path, tmp_path: Path, row: tuple[object, ...], complaint: str
) -> None:
    (tmp_path / "images").symlink_to(folder / "images")
    write_table(tmp_path / "labels.csv", ("name", "good", "hole"), [row, ("001.png", False, True)])
    with pytest.raises(DatasetError, match=complaint):
        build(_spec(tmp_path), tmp_path, Silent())


def test_images_that_no_reference_fits_are_named_and_can_be_left_out(folder: Path, tmp_path: Path) -> None:
    for name in ("images", "images/golden"):
        (tmp_path / name).mkdir()
    for source in ("golden/0.png", "golden/1.png", "000.png", "001.png"):
        (tmp_path / "images" / source).symlink_to(folder / "images" / source)
    cv2.imwrite(str(tmp_path / "images" / "strange.png"), board(7))
    rows = [(name, name != "001.png", name == "001.png") for name in ("golden/0.png", "golden/1.png", "000.png")]
    write_table(
        tmp_path / "labels.csv",
        ("name", "good", "hole"),
        [*rows, ("001.png", False, True), ("strange.png", True, False)],
    )
    recipe = boards_recipe()
    dataset = read_dataset(tmp_path, recipe.label_names)
    with pytest.raises(DatasetError, match=r"strange\.png can't be used: it does not look like the reference image"):
        decode_images(dataset, recipe.image, tmp_path)
    left, store = decode_images(dataset, recipe.image, tmp_path, "skip")
    assert [example.name for example in left.examples] == ["000.png", "001.png"]
    assert len(store.labels) == 2


def test_a_dataset_version_carries_the_references(folder: Path, tmp_path: Path) -> None:
    objects, recipe = FilesystemStore(tmp_path / "objects"), boards_recipe()
    import_dataset(read_dataset(folder, recipe.label_names), objects, "boards", by="ada", source=str(folder))
    datasets = DatasetAccess(objects, tmp_path / "dataset", None)
    found = datasets.fetch("boards", recipe, requested_by="ada", on_problem="stop")
    dataset, store = decode_images(found.dataset, recipe.image, tmp_path)
    assert store.references is not None
    assert {*store.references.names} == {"golden/0.png", "golden/1.png"}
    assert len(dataset.examples) == IMAGES
    assert store.digest == found.version.digest, "a model of this folder is known to be of this version"


def test_networks_and_options_that_know_no_reference_say_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnfitArchitecture, match="compact can't compare images with a reference image: use lite0"):
        build(_spec(folder, "compact"), tmp_path, Silent())
    with pytest.raises(WrongOption, match="option epochs: with reference images the last layer alone is trained"):
        build(_spec(folder, options=OPTIONS.model_copy(update={"epochs": 2})), tmp_path, Silent())
