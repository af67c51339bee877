"""The model in production: followed, proven, swapped between batches, refused when it can't be used."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from services.inference.model import Model, load_model
from services.inference.models import Models
from services.inference.production import REFUSAL_SECONDS, NoModel, Production
from shared.contracts.bundle import Bundle, write_bundle
from shared.engines.port import EngineError
from shared.health import Health
from shared.messaging.sqlite import SqliteBroker
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from shared.topology import PROMOTIONS
from tests.models import BIAS, paint_bundle, paint_recipe, promote
from tests.processes import wait_until

LOAD = partial(load_model, kind="openvino", threads=1, largest_batch=2)


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path / "objects")


@pytest.fixture
def production(store: FilesystemStore) -> Production:
    return Production(store, "paint", LOAD)


def model_of(production: Production) -> Model:
    """The model for the next batch, which there is."""
    model = production.model()
    assert isinstance(model, Model)
    return model


def test_before_the_first_promotion_there_is_no_model_and_it_says_so(production: Production) -> None:
    production.check()
    assert production.version is None
    assert production.trouble == "no model of recipe paint is in production: train one and promote it"
    assert production.model() == NoModel(production.trouble, temporary=False)


def test_a_promoted_model_judges_the_next_batch_and_the_batch_at_hand_keeps_its_model(
    production: Production, store: FilesystemStore
) -> None:
    promote(store, paint_bundle("v1"))
    production.check()
    first = model_of(production)
    promote(store, paint_bundle("v2"))
    production.check()
    assert model_of(production).version == "v2"
    assert len(first.judge(first.run(np.zeros((1, 32, 32, 3), np.float32)))) == 1
    assert production.trouble == ""


def test_rolling_back_is_a_promotion_too(production: Production, store: FilesystemStore) -> None:
    first, second = paint_bundle("v1"), paint_bundle("v2")
    for bundle in (first, second, first):
        promote(store, bundle)
        production.check()
    assert model_of(production).version == "v1"


def test_a_model_is_loaded_once_however_often_one_looks(store: FilesystemStore) -> None:
    loaded: list[str] = []

    def load(bundle: Bundle) -> Model:
        loaded.append(bundle.version)
        return LOAD(bundle)

    production = Production(store, "paint", load)
    promote(store, paint_bundle("v1"))
    production.check()
    production.check()
    model_of(production)
    production.check()
    assert loaded == ["v1"]


def _replaced_whole(store: FilesystemStore) -> None:
    """A bundle of an author who may write models and makes manifest and digests fit."""
    promote(store, paint_bundle("v2"))
    other = paint_bundle("v2", bias=-BIAS)
    elsewhere = FilesystemStore(store._root.parent / "elsewhere")
    write_bundle(elsewhere, other.manifest, other.files)
    for key in elsewhere.keys("models/paint/v2/"):
        store.put(key, elsewhere.get(key))


def _changed(store: FilesystemStore) -> None:
    promote(store, paint_bundle("v2"))
    store.put("models/paint/v2/openvino_fp32.bin", b"changed")


def _incomplete(store: FilesystemStore) -> None:
    promote(store, paint_bundle("v2"))
    store.delete("models/paint/v2/openvino_fp32.xml")


def _answers_no_number(store: FilesystemStore) -> None:
    promote(store, paint_bundle("v2", bias=np.full(4, np.nan, np.float32)))


def _answers_too_few_labels(store: FilesystemStore) -> None:
    recipe = paint_recipe("  more: {key: m, colour: cyan, role: defect}\n")
    promote(store, paint_bundle("v2", recipe=recipe, bias=BIAS))


def _never_was(store: FilesystemStore) -> None:
    promote(store, paint_bundle("v2"))
    for key in list(store.keys("models/paint/v2/")):
        store.delete(key)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_changed, "openvino_fp32.bin has changed"),
        (_incomplete, "is incomplete"),
        (_replaced_whole, "has changed since it was promoted"),
        (_answers_no_number, "numbers that are not finite"),
        (_answers_too_few_labels, "outputs"),
        (_never_was, "there is no object"),
    ],
)
def test_a_model_that_cant_be_used_is_refused_and_the_old_one_goes_on(
    production: Production, store: FilesystemStore, spoil: object, reason: str
) -> None:
    promote(store, paint_bundle("v1"))
    production.check()
    assert callable(spoil)
    spoil(store)
    production.check()
    assert model_of(production).version == "v1"
    assert production.trouble.startswith("model v2 can't be used: ")
    assert reason in production.trouble
    promote(store, paint_bundle("v3"))
    production.check()
    assert model_of(production).version == "v3"
    assert production.trouble == ""


def test_a_bundle_that_was_damaged_is_used_as_soon_as_it_is_whole_again(
    production: Production, store: FilesystemStore
) -> None:
    whole = paint_bundle("v2")
    promote(store, paint_bundle("v1"))
    production.check()
    _changed(store)
    for _ in range(2):
        production.check()
        assert model_of(production).version == "v1"
    store.put("models/paint/v2/openvino_fp32.bin", whole.file("openvino_fp32.bin"))
    production.check()
    assert model_of(production).version == "v2"
    assert production.trouble == ""


def test_a_network_that_could_not_be_run_is_tried_again_after_a_while(store: FilesystemStore) -> None:
    now, out_of_memory = 0.0, True

    def load(bundle: Bundle) -> Model:
        loaded.append(bundle.version)
        if out_of_memory:
            raise EngineError("no memory for the network")
        return LOAD(bundle)

    loaded: list[str] = []
    production = Production(store, "paint", load, clock=lambda: now)
    promote(store, paint_bundle("v1"))
    production.check()
    production.check()
    assert loaded == ["v1"], "not at each look"
    out_of_memory = False
    now = REFUSAL_SECONDS
    production.check()
    assert model_of(production).version == "v1"
    assert production.trouble == ""


def test_storage_that_is_away_changes_nothing_and_is_asked_again(tmp_path: Path) -> None:
    class Away(FilesystemStore):
        away = False

        def keys(self, prefix: str) -> Iterator[str]:
            if self.away:
                raise StorageUnavailable("the disk was taken away")
            return super().keys(prefix)

    store = Away(tmp_path)
    production = Production(store, "paint", LOAD)
    promote(store, paint_bundle("v1"))
    production.check()
    promote(store, paint_bundle("v2"))
    store.away = True
    production.check()
    assert model_of(production).version == "v1"
    assert "the disk was taken away" in production.trouble
    store.away = False
    production.check()
    assert model_of(production).version == "v2"


def test_a_network_that_judges_an_image_by_its_neighbours_is_refused() -> None:
    from services.inference.model import prove

    class ByTheBatch:
        name = "by the batch"

        def logits(self, images: np.ndarray) -> np.ndarray:
            mean = images.mean(axis=(1, 2, 3), keepdims=True)
            return np.repeat((mean - mean.mean()).reshape(-1, 1) * 1000, 4, axis=1)

        def close(self) -> None: ...

    with pytest.raises(EngineError, match="depends on the other images"):
        prove(ByTheBatch(), paint_recipe(), largest_batch=4)


def test_a_network_has_run_every_size_of_batch_before_it_judges() -> None:
    from services.inference.model import prove

    class Counted:
        name = "counted"

        def __init__(self) -> None:
            self.sizes: set[int] = set()

        def logits(self, images: np.ndarray) -> np.ndarray:
            self.sizes.add(len(images))
            return np.zeros((len(images), 4), np.float32)

        def close(self) -> None: ...

    recipe = paint_recipe()
    prove(engine := Counted(), recipe, largest_batch=16)
    assert engine.sizes == {1, 2, 4, 8, 16}
    for frames in range(17):
        assert len(Model("v1", recipe, engine).run(np.zeros((frames, *recipe.image.shape), np.float32))) == frames
    assert engine.sizes == {1, 2, 4, 8, 16}, "no size that was not run before"
    prove(engine, recipe, largest_batch=64)
    assert engine.sizes == {1, 2, 4, 8, 16, 32}


@contextmanager
def _following(models: Models, broker: SqliteBroker, every_seconds: float) -> Iterator[threading.Event]:
    stop = threading.Event()
    follower = threading.Thread(
        target=models.follow, args=(broker.subscribe(PROMOTIONS, 10), every_seconds, stop, Health()), daemon=True
    )
    follower.start()
    yield stop
    stop.set()
    follower.join(120)
    assert not follower.is_alive()


@pytest.mark.parametrize(("every_seconds", "is_broadcast"), [(60.0, True), (0.2, False)])
def test_a_promotion_is_applied_from_its_message_or_from_storage(
    store: FilesystemStore, tmp_path: Path, every_seconds: float, is_broadcast: bool
) -> None:
    from tests.models import promoted

    models = Models(store, "paint", LOAD, most=2)
    production = models.usual
    broker = SqliteBroker(tmp_path / "broker")
    with _following(models, broker, every_seconds) as stop:
        wait_until(lambda: "no model" in production.trouble, 60, "the first look")
        promote(store, paint_bundle("v1"))
        if is_broadcast:
            broker.publisher().publish(promoted("paint", "v1")).result(60)
        patience = threading.Timer(200, stop.set)
        patience.start()
        production.wait(stop, Health())
        patience.cancel()
        assert production.version == "v1"
    broker.close()
