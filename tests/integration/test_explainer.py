"""Flagged frames in, heatmaps out: with a real network, in a real folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.explainer.handler import Explainer
from services.explainer.image_store import ImageStore
from services.explainer.loading import load_model
from services.explainer.models import Models
from shared.contracts.bundle import Bundle, HeatmapSpec, HeatScale, write_bundle
from shared.imaging.codec import Image, decode, encode
from shared.messages import ExplanationRequested, FrameExplained, FrameInspected, Message
from shared.messaging.loop import Reject, RetryLater
from shared.recipe import Recipe
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from shared.verdict import judge
from tests.models import captured, paint_bundle, paint_recipe, painted

pytestmark = pytest.mark.xdist_group("tensorflow")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return paint_bundle("v1", keras=True)


class Disk(FilesystemStore):
    away = False

    def get(self, key: str, most_bytes: int | None = None) -> bytes:
        if self.away:
            raise StorageUnavailable("the disk was taken away")
        return super().get(key, most_bytes)

    def put(self, key: str, content: bytes, content_type: str = "") -> None:
        if self.away:
            raise StorageUnavailable("the disk was taken away")
        super().put(key, content)


@pytest.fixture
def store(tmp_path: Path, bundle: Bundle) -> Disk:
    store = Disk(tmp_path)
    write_bundle(store, bundle.manifest, bundle.files)
    return store


@pytest.fixture
def explainer(store: Disk) -> Explainer:
    return Explainer(Models(store, 2, load_model), ImageStore(store, image_wait_seconds=0))


def _flagged(
    sequence: int, scores: list[float], *, recipe: Recipe | None = None, version: str = "v1"
) -> FrameInspected:
    frame, recipe = captured(sequence, b"").frame, recipe or paint_recipe()
    judgement = judge(recipe, scores)
    return FrameInspected(
        frame=frame,
        verdict=judgement.verdict,
        reason=judgement.reason,
        findings=judgement.findings,
        flagged=judgement.flagged,
        recipe=recipe.name,
        model_version=version,
        at=datetime.now(UTC),
        latency_ms=1,
        image_key=f"{frame.storage_key}/image.png",
    )


def _kept(store: Disk, frame: FrameInspected, image: Image) -> FrameInspected:
    assert frame.image_key
    store.put(frame.image_key, encode(image, "png"))
    return frame


def _with_spots(*spots: tuple[str, int, int], height: int = 48, width: int = 96) -> Image:
    """A black image with squares of 12 pixels, by colour and corner."""
    image = painted("black", height, width)
    for colour, x, y in spots:
        image[y : y + 12, x : x + 12] = painted(colour, 12, 12)
    return image


def _over(image: Image, map_: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stretch a heatmap over an image, as a page does."""
    return np.asarray(cv2.resize(map_, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR), np.uint8)


def _explained(answers: list[Message]) -> list[FrameExplained]:
    return [answer for answer in answers if isinstance(answer, FrameExplained)]


def test_each_label_that_flagged_a_frame_is_hot_where_its_colour_is(explainer: Explainer, store: Disk) -> None:
    image = _with_spots(("blue", 6, 6), ("green", 72, 30))
    frame = _kept(store, _flagged(0, [0.1, 0.9, 0.9, 0.1]), image)
    (answer,) = _explained(explainer.explain([frame]))
    assert answer.reason == ""
    assert answer.method == "grad-cam at features"
    assert answer.model_version == "v1"
    assert {label: heatmap.for_label for label, heatmap in answer.heatmaps.items()} == {
        "good": False,
        "error": True,
        "break": True,
    }
    for label, (x, y) in {"error": (6, 6), "break": (72, 30)}.items():
        heatmap = answer.heatmaps[label]
        assert heatmap.peak is not None
        assert x <= heatmap.peak[0] < x + 12
        assert y <= heatmap.peak[1] < y + 12
        map_ = decode(store.get(heatmap.key))[..., 0]
        assert map_.shape == (32, 32), "the size of the network's input, which is smaller than the image"
        assert map_.max() == 255
        assert _over(image, map_)[y + 6, x + 6] > 200
    against_good = _over(image, decode(store.get(answer.heatmaps["good"].key))[..., 0])
    assert against_good[12, 12] > 200
    assert against_good[36, 78] > 200


def test_the_overlay_shows_each_label_in_the_colour_of_the_recipe(explainer: Explainer, store: Disk) -> None:
    recipe = paint_recipe()
    image = _with_spots(("blue", 6, 6), ("green", 72, 30))
    frame = _kept(store, _flagged(0, [0.9, 0.9, 0.9, 0.1]), image)
    (answer,) = _explained(explainer.explain([frame]))
    assert answer.overlay_key == f"{frame.frame.storage_key}/overlay.jpg"
    shown = decode(store.get(answer.overlay_key)).astype(int)
    assert shown.shape == image.shape
    red, green, blue = recipe.label("break").colour
    at_the_break = shown[36, 78]
    assert np.abs(at_the_break - np.array([0, 255, 0]) * 0.4 - np.array([blue, green, red]) * 0.6).max() < 40
    assert shown[24, 48].max() < 40


def test_frames_of_a_batch_are_answered_in_order_each_by_the_model_that_inspected_it(
    explainer: Explainer, store: Disk, bundle: Bundle
) -> None:
    for version in ("v2", "v3"):
        write_bundle(store, bundle.manifest.model_copy(update={"version": version}), bundle.files)
    frames = [
        _kept(store, _flagged(number, [0.1, 0.9, 0.1, 0.1], version=version), _with_spots(("blue", 6 * number, 6)))
        for number, version in enumerate(["v2", "v1", "v3", "v2"])
    ]
    answers = _explained(explainer.explain(frames))
    assert [answer.frame for answer in answers] == [frame.frame for frame in frames]
    assert [answer.model_version for answer in answers] == ["v2", "v1", "v3", "v2"]
    peaks = [answer.heatmaps["error"].peak for answer in answers]
    assert [6 * number <= peak[0] < 6 * number + 12 for number, peak in enumerate(peaks) if peak] == [True] * 4


def test_a_frame_whose_model_is_gone_is_answered_with_the_reason(explainer: Explainer, store: Disk) -> None:
    old = _kept(store, _flagged(0, [0.1, 0.9, 0.1, 0.1], version="v0"), painted("blue"))
    new = _kept(store, _flagged(1, [0.1, 0.9, 0.1, 0.1]), painted("blue"))
    gone, explained = _explained(explainer.explain([old, new]))
    assert gone.heatmaps == {}
    assert gone.overlay_key is None
    assert gone.reason == "model v0, which judged it, is gone"
    assert explained.heatmaps


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("model.keras", b"changed", "model.keras has changed"),
        ("recipe.yaml", b"name: paint", "recipe.yaml has changed"),
        ("manifest.json", b"{}", "is not a manifest"),
    ],
)
def test_a_frame_whose_model_cant_be_used_is_answered_with_the_reason(
    explainer: Explainer, store: Disk, file: str, content: bytes, reason: str
) -> None:
    store.put(f"models/paint/v1/{file}", content)
    (answer,) = _explained(explainer.explain([_kept(store, _flagged(0, [0.1, 0.9, 0.1, 0.1]), painted("blue"))]))
    assert reason in answer.reason


def test_a_frame_without_any_activation_gets_an_empty_map(explainer: Explainer, store: Disk) -> None:
    frame = _kept(store, _flagged(0, [0.9, 0.9, 0.1, 0.1]), painted("black"))
    (answer,) = _explained(explainer.explain([frame]))
    heatmap = answer.heatmaps["error"]
    assert heatmap.peak is None
    assert heatmap.box is None
    assert not decode(store.get(heatmap.key)).any()


def test_heat_is_the_rarity_of_the_score_and_an_ordinary_score_has_none(store: Disk, bundle: Bundle) -> None:
    scale = HeatScale(images=40, rare=0.0, rarest=4.0)
    spec = HeatmapSpec(method="grad-cam", layers=("features",), for_label={"error": scale})
    write_bundle(store, bundle.manifest.model_copy(update={"version": "v2", "heatmaps": spec}), bundle.files)
    image = _with_spots(("blue", 6, 6))
    frames = [
        _kept(store, _flagged(number, [0.9, score, 0.1, 0.1], version="v2"), image)
        for number, score in enumerate([0.5, 0.88, 0.999])
    ]
    answers = _explained(Explainer(Models(store, 1, load_model), ImageStore(store, 0)).explain(frames))
    heatmaps = [answer.heatmaps["error"] for answer in answers]
    assert [heatmap.rarity for heatmap in heatmaps] == pytest.approx([1, 0.0071, 0.001], abs=1e-4)
    hottest = [int(decode(store.get(heatmap.key)).max()) for heatmap in heatmaps]
    assert hottest[0] == 0
    assert 120 < hottest[1] < 135
    assert hottest[2] == 255
    assert len({heatmap.peak for heatmap in heatmaps}) == 1, "the place is the same, be it rare or not"


def test_grey_images_are_explained(store: Disk) -> None:
    recipe = paint_recipe().model_copy(
        update={"name": "grey", "image": paint_recipe().image.model_copy(update={"colour": "grey", "width": 64})}
    )
    grey = paint_bundle("v1", recipe=recipe, keras=True)
    write_bundle(store, grey.manifest, grey.files)
    frame = _kept(store, _flagged(0, [0.9, 0.1, 0.1, 0.9], recipe=recipe), _with_spots(("red", 60, 20)))
    (answer,) = _explained(Explainer(Models(store, 1, load_model), ImageStore(store, 0)).explain([frame]))
    assert answer.reason == ""
    assert answer.heatmaps["length"].peak is not None
    assert 60 <= answer.heatmaps["length"].peak[0] < 72


def test_an_image_that_is_not_there_yet_is_waited_for_and_then_given_up(store: Disk) -> None:
    class Clock:
        now = 0.0

        def __call__(self) -> float:
            return self.now

    clock = Clock()
    explainer = Explainer(Models(store, 1, load_model), ImageStore(store, image_wait_seconds=30, clock=clock))
    late, never = _flagged(0, [0.1, 0.9, 0.1, 0.1]), _flagged(1, [0.1, 0.9, 0.1, 0.1])
    with pytest.raises(RetryLater, match="is not in object storage yet"):
        explainer.explain([late, never])
    _kept(store, late, painted("blue"))
    clock.now = 29
    with pytest.raises(RetryLater, match="is not in object storage yet"):
        explainer.explain([late, never])
    clock.now = 31
    explained, given_up = _explained(explainer.explain([late, never]))
    assert explained.heatmaps
    assert given_up.heatmaps == {}
    assert "did not arrive" in given_up.reason


def test_the_time_in_which_storage_is_away_does_not_count_as_waiting(store: Disk) -> None:
    now = [0.0]
    image_store = ImageStore(store, image_wait_seconds=30, clock=lambda: now[0])
    frame = _flagged(0, [0.1, 0.9, 0.1, 0.1])
    store.away = True
    for now[0] in (0.0, 20.0, 40.0, 60.0):
        with pytest.raises(RetryLater, match="the disk was taken away"):
            image_store.fetch([frame])
    store.away = False
    for now[0] in (61.0, 89.0):
        with pytest.raises(RetryLater, match="is not in object storage yet"):
            image_store.fetch([frame])
    now[0] = 91.0
    (given_up,) = image_store.fetch([frame])
    assert "did not arrive" in getattr(given_up, "reason", "")


def test_while_storage_is_away_frames_wait(explainer: Explainer, store: Disk) -> None:
    frame = _kept(store, _flagged(0, [0.1, 0.9, 0.1, 0.1]), painted("blue"))
    store.away = True
    with pytest.raises(RetryLater, match="the disk was taken away"):
        explainer.explain([frame])
    store.away = False
    assert _explained(explainer.explain([frame]))[0].heatmaps


def test_an_image_that_cant_be_read_is_answered_with_the_reason(explainer: Explainer, store: Disk) -> None:
    frame = _flagged(0, [0.1, 0.9, 0.1, 0.1])
    assert frame.image_key
    store.put(frame.image_key, b"no image")
    (unreadable,) = _explained(explainer.explain([frame]))
    assert "neither a JPEG nor a PNG" in unreadable.reason


def test_a_frame_that_passed_is_explained_on_demand_for_the_labels_that_were_asked_about(
    explainer: Explainer, store: Disk
) -> None:
    passed = _kept(store, _flagged(0, [0.9, 0.1, 0.1, 0.1]), _with_spots(("green", 72, 30)))
    assert not passed.flagged
    asked = ExplanationRequested(verdict=passed, labels=("break", "good"), by="ada", at=datetime.now(UTC))
    (answer,) = _explained(explainer.explain([asked]))
    assert {label: heatmap.for_label for label, heatmap in answer.heatmaps.items()} == {"good": True, "break": True}
    peak = answer.heatmaps["break"].peak
    assert peak is not None
    assert 72 <= peak[0] < 84
    assert not answer.flagged


def test_a_message_that_is_not_a_verdict_is_rejected(explainer: Explainer) -> None:
    with pytest.raises(Reject, match="FrameCaptured is not a verdict"):
        explainer.explain([captured(0, b"")])


def test_models_that_were_not_used_lately_are_let_go_and_read_again(store: Disk, bundle: Bundle) -> None:
    for version in ("v2", "v3"):
        write_bundle(store, bundle.manifest.model_copy(update={"version": version}), bundle.files)
    models = Models(store, 2, load_model)
    first = models.get("paint", "v1")
    assert models.get("paint", "v2") is not first
    assert models.get("paint", "v1") is first
    models.get("paint", "v3")
    assert models.get("paint", "v1") is first
    assert models.last == ("paint", "v1")
    assert len(models._loaded) == 2
