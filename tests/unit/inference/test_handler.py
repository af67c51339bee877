"""Frames in, verdicts out: judged by a real engine, kept in a real folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from services.inference import metrics
from services.inference.deferred import DeferredWork
from services.inference.handler import Inspector, ModelSource
from services.inference.image_store import ImageStore
from services.inference.live_images import LiveImages
from services.inference.model import Model, load_model
from services.inference.models import Models
from shared.contracts.frame_files import FrameFile
from shared.contracts.retention_rules import DataKind
from shared.imaging.codec import encode
from shared.messages import (
    CheckFrame,
    CheckFrameInspected,
    FrameDeferred,
    FrameInspected,
    ImageDeferred,
    Message,
    Verdict,
    challenge_folder,
)
from shared.messaging.loop import Reject, RetryLater
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import ObjectStore, StorageUnavailable
from tests.images import BOMBS
from tests.inspection import OneModel
from tests.models import captured, paint_bundle, paint_recipe, painted, promote
from tests.processes import wait_until


class AwayStore(FilesystemStore):
    """A folder whose disk can be taken away."""

    away = False

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fetched = threading.Event()

    def put(self, key: str, content: bytes, content_type: str = "") -> None:
        self._check()
        super().put(key, content, content_type)

    def get(self, key: str, most_bytes: int | None = None) -> bytes:
        self._check()
        self.fetched.set()
        return super().get(key, most_bytes)

    def exists(self, key: str) -> bool:
        self._check()
        return super().exists(key)

    def keys(self, prefix: str) -> Iterator[str]:
        self._check()
        return super().keys(prefix)

    def _check(self) -> None:
        if self.away:
            raise StorageUnavailable("the disk was taken away")


class Held:
    """A network that is held while it runs."""

    name = "held"

    def __init__(self, model: Model) -> None:
        self._model = model
        self.runs, self.goes_on = threading.Event(), threading.Event()
        self.closed = False

    def logits(self, images: np.ndarray) -> np.ndarray:
        assert not self.closed
        self.runs.set()
        assert self.goes_on.wait(60)
        return self._model.engine.logits(images)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(paint_bundle("v1"), "openvino", threads=1, largest_batch=4)


@pytest.fixture
def store(tmp_path: Path) -> AwayStore:
    return AwayStore(tmp_path / "objects")


def _inspecting(models: ModelSource, store: ObjectStore, live: LiveImages | None = None) -> Inspector:
    return Inspector(models, ImageStore(store, wait_seconds=60, pause_seconds=60), live or LiveImages(store, 0))


def _inspector(model: Model, store: ObjectStore) -> Callable[[Sequence[Message]], Sequence[Message]]:
    inspector = _inspecting(OneModel(model), store)
    return lambda frames: inspector.inspect(frames).result(60)


def _verdicts(answers: Sequence[Message]) -> list[FrameInspected]:
    return [answer for answer in answers if isinstance(answer, FrameInspected)]


def test_each_frame_gets_its_own_verdict_in_the_order_of_the_batch(model: Model, store: AwayStore) -> None:
    colours = ["black", "blue", "red", "green", "black"]
    frames = [captured(number, painted(colour)) for number, colour in enumerate(colours)]
    answers = _verdicts(_inspector(model, store)(frames))
    assert [answer.frame for answer in answers] == [frame.frame for frame in frames]
    assert [answer.verdict for answer in answers] == [Verdict.OK, Verdict.NG, Verdict.OK, Verdict.NG, Verdict.OK]
    assert [answer.reason for answer in answers] == [
        "no fault",
        "not good, error",
        "no fault",
        "not good, break",
        "no fault",
    ]
    assert answers[2].findings["length"].present
    assert answers[1].findings["error"].score > 0.99
    assert {answer.model_version for answer in answers} == {"v1"}
    assert {answer.recipe for answer in answers} == {"paint"}
    assert all(answer.latency_ms > 0 for answer in answers)


def test_a_verdict_does_not_depend_on_the_neighbours(model: Model, store: AwayStore) -> None:
    inspector = _inspector(model, store)
    frames = [captured(number, painted(colour)) for number, colour in enumerate(["black", "blue", "green", "red"])]
    together = _verdicts(inspector(frames))
    alone = [_verdicts(inspector([frame]))[0] for frame in frames]
    for one, other in zip(together, alone, strict=True):
        assert one.findings.keys() == other.findings.keys()
        for label, found in one.findings.items():
            assert found.score == pytest.approx(other.findings[label].score, abs=1e-5)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an image: the image has zero bytes"),
        (b"hello", "neither a JPEG nor a PNG"),
        (encode(painted("blue"), "png")[:100], "not an image: broken"),
        (BOMBS["PNG that claims 100 megapixels"], "100 megapixels, and the limit is 50"),
    ],
    ids=["empty", "text", "cut off", "100 megapixels"],
)
def test_a_frame_that_cant_be_decoded_gets_an_error_verdict(
    model: Model, store: AwayStore, content: bytes, reason: str
) -> None:
    frames = [captured(0, painted("blue")), captured(1, content), captured(2, painted("black"))]
    before, broken, after = _verdicts(_inspector(model, store)(frames))
    assert broken.verdict is Verdict.ERROR
    assert reason in broken.reason
    assert not broken.flagged
    assert broken.findings == {}
    assert broken.image_key is None
    assert (before.verdict, after.verdict) == (Verdict.NG, Verdict.OK)


@pytest.fixture
def models(store: AwayStore) -> Models:
    """The models of two recipes that are in production; frames without a recipe are inspected by `paint`."""
    promote(store, paint_bundle("paint-1"))
    promote(store, paint_bundle("bolt-1", recipe=paint_recipe(name="bolt")))
    models = Models(store, "paint", partial(load_model, kind="openvino", threads=1, largest_batch=4), most=2)
    models.usual.check()
    return models


def test_each_frame_of_a_batch_is_inspected_by_the_recipe_that_it_names(models: Models, store: AwayStore) -> None:
    recipes = [None, "bolt", "paint", "nut", "bolt", None]
    frames = [captured(number, painted("blue"), recipe=recipe) for number, recipe in enumerate(recipes)]
    answers = sorted(
        _verdicts(_inspecting(models, store).inspect(frames).result(60)), key=lambda each: each.frame.sequence
    )
    assert [answer.frame for answer in answers] == [frame.frame for frame in frames]
    assert [(answer.recipe, answer.model_version) for answer in answers if answer.verdict is Verdict.NG] == [
        ("paint", "paint-1"),
        ("bolt", "bolt-1"),
        ("paint", "paint-1"),
        ("bolt", "bolt-1"),
        ("paint", "paint-1"),
    ]
    assert answers[3].verdict is Verdict.ERROR
    assert answers[3].reason == "no model of recipe nut is in production: train one and promote it"


def test_while_storage_is_away_a_frame_waits_for_the_model_of_its_recipe_and_its_neighbours_do_not(
    models: Models, store: AwayStore
) -> None:
    inspector = _inspecting(models, store)
    store.away = True
    named = captured(0, painted("green"), recipe="bolt")
    verdict, deferred = inspector.inspect([named, captured(1, painted("black"))]).result(60)
    assert isinstance(verdict, FrameInspected)
    assert (verdict.frame.sequence, verdict.verdict) == (1, Verdict.OK)
    assert isinstance(deferred, FrameDeferred)
    with pytest.raises(RetryLater):
        DeferredWork(store).finish([deferred])
    store.away = False
    (returned,) = DeferredWork(store).finish([deferred])
    wait_until(lambda: bool(_verdicts(inspector.inspect([returned]).result(60))), 60, "the verdict by its model")


def test_a_batch_of_nothing_but_broken_images_is_answered(model: Model, store: AwayStore) -> None:
    answers = _verdicts(_inspector(model, store)([captured(0, b""), captured(1, b"x")]))
    assert [answer.verdict for answer in answers] == [Verdict.ERROR, Verdict.ERROR]


def test_a_model_that_answers_no_number_gives_error_verdicts(model: Model, store: AwayStore) -> None:
    class Broken:
        name = "broken"

        def logits(self, images: np.ndarray) -> np.ndarray:
            answer = model.engine.logits(images)
            answer[0] = np.nan
            return answer

        def close(self) -> None: ...

    broken = Model("v2", model.recipe, Broken())
    first, second = _verdicts(_inspector(broken, store)([captured(0, painted("blue")), captured(1, painted("blue"))]))
    assert first.verdict is Verdict.ERROR
    assert "model v2 answers with numbers that are not finite" in first.reason
    assert second.verdict is Verdict.NG


def test_the_image_of_a_flagged_frame_is_kept_as_it_came_and_of_a_passed_one_not(
    model: Model, store: AwayStore
) -> None:
    frames = [captured(0, painted("blue")), captured(1, painted("black"))]
    flagged, passed = _verdicts(_inspector(model, store)(frames))
    assert flagged.flagged
    assert flagged.image_key == f"{frames[0].frame.storage_key}/image.ng.png"
    assert store.get(flagged.image_key) == frames[0].image
    assert passed.image_key is None
    assert list(store.keys("frames/")) == [flagged.image_key]


def test_the_image_of_every_nth_ok_frame_is_stored(model: Model, store: AwayStore) -> None:
    sampling = Model("v1", paint_recipe("stored_images: {every_nth_ok: 3}"), model.engine)
    inspector = _inspector(sampling, store)
    frames = [captured(number, painted("black")) for number in range(7)]
    answers = _verdicts([*inspector(frames[:2]), *inspector(frames[2:])])
    assert [answer.frame.sequence for answer in answers if answer.image_key] == [0, 3, 6]
    assert {answer.route for answer in answers} == {"passed"}
    assert len(list(store.keys("frames/"))) == 3


def test_while_storage_is_away_frames_are_inspected_and_the_broker_gets_their_images(
    model: Model, store: AwayStore
) -> None:
    store.away = True
    frames = [captured(0, painted("blue")), captured(1, painted("black")), captured(2, painted("green"))]
    answers = _inspector(model, store)(frames)
    assert [answer.verdict for answer in _verdicts(answers)] == [Verdict.NG, Verdict.OK, Verdict.NG]
    deferred = [answer for answer in answers if isinstance(answer, ImageDeferred)]
    assert [one.key for one in deferred] == [answer.image_key for answer in _verdicts(answers) if answer.flagged]
    assert [one.image for one in deferred] == [frames[0].image, frames[2].image]


def test_a_flagged_frame_whose_image_waits_for_storage_is_explained_when_the_image_is_there(
    model: Model, store: AwayStore
) -> None:
    store.away = True
    answers = _inspector(model, store)([captured(0, painted("blue"))])
    (verdict,) = _verdicts(answers)
    assert verdict.flagged
    assert verdict.route == "passed", "the explainer does not hear of it yet"
    store.away = False
    (again,) = DeferredWork(store).finish([answer for answer in answers if isinstance(answer, ImageDeferred)])
    assert isinstance(again, FrameInspected)
    assert again.route == "flagged"
    assert again.model_copy(update={"image_waits": True}) == verdict
    assert verdict.image_key
    assert store.exists(verdict.image_key)


def test_the_key_of_an_image_names_the_kind_by_which_it_is_removed(model: Model, store: AwayStore) -> None:
    sampling = Model("v1", paint_recipe("stored_images: {every_nth_ok: 1}"), model.engine)
    unsure = Model("v1", paint_recipe("unsure_margin: 0.5"), model.engine)
    ok, ng = _verdicts(_inspector(sampling, store)([captured(0, painted("black")), captured(1, painted("blue"))]))
    (near,) = _verdicts(_inspector(unsure, store)([captured(2, painted("black"))]))
    assert near.verdict is Verdict.OK
    kinds = [FrameFile.of(answer.image_key).kind for answer in (ok, ng, near)]  # type: ignore[arg-type,union-attr]
    assert kinds == [DataKind.OK, DataKind.NG, DataKind.UNSURE]


def test_a_flagged_large_image_is_stored_by_its_kind_as_well(model: Model, store: AwayStore) -> None:
    frame = captured(0, b"", stored_as="large.png")
    assert frame.image_key
    store.put(frame.image_key, encode(painted("blue"), "png"))
    answers = _inspector(model, store)([frame])
    assert len(answers) == 1
    (verdict,) = _verdicts(answers)
    assert verdict.verdict is Verdict.NG
    assert verdict.image_key == f"{frame.frame.storage_key}/image.ng.png"
    assert store.get(verdict.image_key) == store.get(frame.image_key)


def test_a_passed_large_image_stays_where_it_is(model: Model, store: AwayStore) -> None:
    frame = captured(0, b"", stored_as="large.png")
    assert frame.image_key
    store.put(frame.image_key, encode(painted("black"), "png"))
    (verdict,) = _verdicts(_inspector(model, store)([frame]))
    assert verdict.verdict is Verdict.OK
    assert verdict.image_key == frame.image_key
    assert list(store.keys("")) == [frame.image_key]


def test_a_flagged_large_image_that_can_not_be_stored_is_inspected_again_later(
    model: Model, store: AwayStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = captured(0, b"", stored_as="large.png")
    assert frame.image_key
    store.put(frame.image_key, encode(painted("blue"), "png"))

    def away(*_: object) -> None:
        raise StorageUnavailable("the disk is full")

    monkeypatch.setattr(store, "put", away)
    (answer,) = _inspector(model, store)([frame])
    assert isinstance(answer, FrameDeferred)
    assert answer.frame == frame.frame


def test_a_large_image_that_is_gone_gets_an_error_verdict(model: Model, store: AwayStore) -> None:
    (verdict,) = _verdicts(_inspector(model, store)([captured(0, b"", stored_as="gone.png")]))
    assert verdict.verdict is Verdict.ERROR
    assert "gone" in verdict.reason


def test_a_large_image_waits_for_storage_and_its_neighbours_do_not(model: Model, store: AwayStore) -> None:
    store.away = True
    large = captured(1, b"", stored_as="large.png")
    answers = _inspector(model, store)([captured(0, painted("black")), large, captured(2, painted("black"))])
    assert [answer.frame.sequence for answer in _verdicts(answers)] == [0, 2]
    (deferred,) = [answer for answer in answers if isinstance(answer, FrameDeferred)]
    assert deferred.model_dump() == large.model_dump()


def test_another_message_than_a_frame_is_rejected(model: Model, store: AwayStore) -> None:
    frame = captured(0, b"").frame
    key = f"{frame.storage_key}/image.png"
    image = ImageDeferred(frame=frame, key=key, content_type="image/png", image=b"x")
    with pytest.raises(Reject, match="ImageDeferred is not a frame"):
        _inspector(model, store)([image])


def test_the_images_of_a_batch_are_prepared_while_the_network_runs_on_the_batch_before(
    model: Model, store: AwayStore
) -> None:
    network = Held(model)
    held = replace(model, engine=network)
    inspector = _inspecting(OneModel(held), store)
    key = captured(1, b"", stored_as="large.png").image_key
    assert key
    store.put(key, encode(painted("blue"), "png"))
    first = inspector.inspect([captured(0, painted("black"))])
    assert network.runs.wait(60)
    second = inspector.inspect([captured(1, b"", stored_as="large.png")])
    assert store.fetched.wait(60), "fetched while the network runs"
    assert not first.done()
    network.goes_on.set()
    assert [_verdicts(answer.result(60))[0].verdict for answer in (first, second)] == [Verdict.OK, Verdict.NG]


def test_a_batch_keeps_its_model_and_the_model_is_unloaded_after_it(model: Model, store: AwayStore) -> None:
    network = Held(model)
    current = replace(model, version="v1", engine=network)
    models = OneModel(current)
    inspector = _inspecting(models, store)
    before = [inspector.inspect([captured(number, painted("black"))]) for number in range(2)]
    assert network.runs.wait(60)
    models.model = replace(model, version="v2")
    models.retired.append(current)
    after = inspector.inspect([captured(2, painted("black"))])
    assert not network.closed
    network.goes_on.set()
    versions = [_verdicts(answer.result(60))[0].model_version for answer in (*before, after)]
    assert versions == ["v1", "v1", "v2"]
    assert network.closed


def of_check(sequence: int, colour: str, store: FilesystemStore) -> CheckFrame:
    """A frame of a check, whose image is in the challenge set."""
    frame = captured(sequence, b"")
    key = f"{challenge_folder('line-1')}/{colour}.png"
    store.put(key, encode(painted(colour), "png"))
    check = frame.frame.model_copy(update={"check": "check-1"})
    return CheckFrame(frame=check, encoding="png", width=64, height=48, image_key=key)


def frames_counted() -> float:
    return sum(
        sample.value
        for metric in metrics.FRAMES.collect()
        for sample in metric.samples
        if sample.name == "seamline_inference_frames_total"
    )


def test_a_frame_of_a_check_gets_a_verdict_of_its_own_kind_and_leaves_no_trace(model: Model, store: AwayStore) -> None:
    frames = [of_check(0, "green", store), of_check(1, "black", store)]
    stored, counted = sorted(store.keys("")), frames_counted()
    live = LiveImages(store, 0.001)
    inspector = _inspecting(OneModel(model), store, live)
    answers = inspector.inspect([*frames, captured(2, painted("black"))]).result(60)
    assert [type(answer) for answer in answers] == [CheckFrameInspected, CheckFrameInspected, FrameInspected]
    assert [answer.verdict for answer in _verdicts(answers)] == [Verdict.NG, Verdict.OK, Verdict.OK]
    assert [answer.frame.check for answer in _verdicts(answers)] == ["check-1", "check-1", None]
    assert frames_counted() == counted + 1
    assert set(store.keys("")) - set(stored) <= {"live/line-1/camera-1"}


def test_a_frame_of_a_check_whose_image_cannot_be_fetched_is_an_error_at_once(model: Model, store: AwayStore) -> None:
    frame = of_check(0, "green", store)
    store.away = True
    (answer,) = _inspector(model, store)([frame])
    assert isinstance(answer, CheckFrameInspected)
    assert (answer.verdict, answer.reason) == (Verdict.ERROR, "its image is gone: the disk was taken away")
