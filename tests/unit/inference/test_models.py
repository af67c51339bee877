"""The models of several recipes: loaded on demand, given up when others are needed, followed all alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.inference.model import Model
from services.inference.models import MOST_UNKNOWN, Models
from services.inference.production import RETRY_SECONDS, NoModel
from shared.contracts.bundle import Bundle
from shared.engines.port import Images, Logits
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from tests.models import paint_bundle, paint_recipe, promote
from tests.processes import wait_until


class Engine:
    """A network that is never run here."""

    name = "none"

    def logits(self, images: Images) -> Logits:
        raise NotImplementedError

    def close(self) -> None: ...


class Store(FilesystemStore):
    """A folder that can be away."""

    away = False

    def keys(self, prefix: str) -> Iterator[str]:
        if self.away:
            raise StorageUnavailable("the disk was taken away")
        return super().keys(prefix)


@dataclass
class Plant:
    """Models in production, what was loaded of them, and a clock."""

    store: Store
    loaded: list[str] = field(default_factory=list)
    now: float = 0.0

    def load(self, bundle: Bundle) -> Model:
        self.loaded.append(bundle.version)
        return Model(bundle.version, bundle.recipe, Engine())

    def promote(self, recipe: str, version: str) -> None:
        promote(self.store, paint_bundle(version, recipe=paint_recipe(name=recipe)))


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    plant = Plant(Store(tmp_path))
    for recipe in ("paint", "bolt", "nut"):
        plant.promote(recipe, f"{recipe}-1")
    return plant


@pytest.fixture
def models(plant: Plant) -> Models:
    models = Models(plant.store, "paint", plant.load, most=3, clock=lambda: plant.now)
    models.usual.check()
    return models


def versions(models: Models, *recipes: str | None) -> list[str]:
    """Return the version, or the reason why there is none, of each recipe in turn."""
    found = [models.of(recipe) for recipe in recipes]
    return [each.version if isinstance(each, Model) else each.reason for each in found]


def test_a_model_is_loaded_when_its_recipe_is_named_first_and_stays(plant: Plant, models: Models) -> None:
    assert plant.loaded == ["paint-1"]
    assert models.name == ("paint", "paint-1")
    assert versions(models, "bolt", None, "paint", "bolt") == ["bolt-1", "paint-1", "paint-1", "bolt-1"]
    assert plant.loaded == ["paint-1", "bolt-1"]
    assert models.name == ("bolt", "bolt-1"), "the one that inspected last"
    assert models.take_retired() == []


def test_the_model_that_no_frame_needed_for_the_longest_time_is_given_up_and_never_the_usual_one(
    plant: Plant, models: Models
) -> None:
    plant.promote("seal", "seal-1")
    versions(models, "bolt", "nut", "bolt")
    assert models.take_retired() == []
    versions(models, "seal")
    assert [model.version for model in models.take_retired()] == ["nut-1"]
    assert versions(models, None, "nut") == ["paint-1", "nut-1"]
    assert [model.version for model in models.take_retired()] == ["bolt-1"]
    assert plant.loaded == ["paint-1", "bolt-1", "nut-1", "seal-1", "nut-1"]


def test_a_promotion_replaces_the_model_of_its_recipe_alone(plant: Plant, models: Models) -> None:
    versions(models, None, "bolt")
    plant.promote("bolt", "bolt-2")
    models.check()
    assert versions(models, None, "bolt", "bolt") == ["paint-1", "bolt-2", "bolt-2"]
    assert [model.version for model in models.take_retired()] == ["bolt-1"]


def test_a_recipe_without_a_model_says_so_until_one_is_promoted(plant: Plant, models: Models) -> None:
    reason = "no model of recipe seal is in production: train one and promote it"
    assert models.of("seal") == NoModel(reason, temporary=False)
    plant.promote("seal", "seal-1")
    assert models.of("seal") == NoModel(reason, temporary=False), "storage is not asked for each frame"
    models.check()
    assert versions(models, "seal") == ["seal-1"]


def test_storage_that_is_away_is_asked_again_for_the_model_that_a_frame_needs(plant: Plant, models: Models) -> None:
    plant.store.away = True
    missing = models.of("bolt")
    assert isinstance(missing, NoModel)
    assert missing.temporary
    assert "the disk was taken away" in missing.reason
    plant.store.away = False
    assert models.of("bolt") == missing, "not at each frame"
    plant.now += RETRY_SECONDS
    wait_until(lambda: isinstance(models.of("bolt"), Model), 60, "the model of bolt")
    assert versions(models, None, "bolt") == ["paint-1", "bolt-1"]


def test_many_names_without_a_model_displace_no_model(plant: Plant, models: Models) -> None:
    versions(models, "bolt", *(f"typo-{number}" for number in range(2 * MOST_UNKNOWN)))
    assert versions(models, None, "bolt") == ["paint-1", "bolt-1"]
    assert plant.loaded == ["paint-1", "bolt-1"]
