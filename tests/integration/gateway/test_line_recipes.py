"""The recipe of a line at the gateway: changed, refused, stored, and announced to the cameras."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ulid import ULID

from services.gateway.journal import Journal
from services.gateway.line_recipes import LineRecipes
from services.gateway.recipes import Recipes
from shared.messages import CameraReported, CameraState, RecipeAnnounced, RecipeChangeRequested
from shared.messaging.sqlite import SqliteBroker
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from shared.topology import LINE_RECIPES
from tests.models import paint_bundle, paint_recipe, promote


class Store(FilesystemStore):
    """A folder that can be away."""

    away = False

    def keys(self, prefix: str) -> Iterator[str]:
        if self.away:
            raise StorageUnavailable("the disk was taken away")
        return super().keys(prefix)


class Plant:
    """A gateway that owns the recipes, and a camera of line-1 that listens."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.store = Store(folder / "objects")
        self.broker = SqliteBroker(folder / "broker")
        self._recipes = Recipes(self.store, journal, {})
        self.inspects = ("", "")
        self._camera = self.broker.subscribe(LINE_RECIPES.about("line-1"), 100)
        self.gateway = self.start()

    def start(self) -> LineRecipes:
        """A gateway that was just started, and to which the camera reports."""
        gateway = LineRecipes(self.store, self.broker.publisher(), self._recipes, lambda _line: self.inspects)
        gateway.note_report(report())
        return gateway

    def put(self, recipe: str, version: str, parts: str = "") -> None:
        promote(self.store, paint_bundle(version, recipe=paint_recipe(parts, name=recipe)))

    def heard(self, gateway: LineRecipes | None = None) -> RecipeAnnounced:
        """What the camera gets when the gateway announces."""
        gateway = gateway or self.gateway
        gateway.list_recipes()
        gateway.announce()
        (delivery,) = self._camera.receive(1, 60)
        self._camera.acknowledge([delivery])
        announced = delivery.read()
        assert isinstance(announced, RecipeAnnounced)
        return announced


def report(recipe: str | None = None) -> CameraReported:
    return CameraReported(
        session=str(ULID()),
        line="line-1",
        camera="camera-1",
        state=CameraState.RUNNING,
        captured=0,
        dropped=0,
        waiting=0,
        recipe=recipe,
        frames_per_second=0,
        at=datetime.now(UTC),
    )


def request(recipe: str, *, age: float = 0) -> RecipeChangeRequested:
    at = datetime.now(UTC) - timedelta(seconds=age)
    return RecipeChangeRequested(change_id=str(ULID()), line="line-1", recipe=recipe, by="eva", at=at)


@pytest.fixture
def plant(tmp_path: Path, journal: Journal) -> Iterator[Plant]:
    plant = Plant(tmp_path, journal)
    plant.put("paint", "paint-1")
    plant.put("bolt", "bolt-1")
    yield plant
    plant.broker.close()


def test_a_change_is_announced_stored_and_known_to_the_next_gateway(plant: Plant) -> None:
    first = plant.heard()
    assert (first.change, first.recipes) == (None, ("bolt", "paint"))
    plant.inspects = ("paint", "paint-1")
    plant.gateway.take(change := request("bolt"))
    announced = plant.heard()
    assert announced.change is not None
    assert (announced.recipe, announced.change.previous, announced.change.by) == ("bolt", "paint", "eva")
    assert (announced.answered, announced.refusal) == (change.change_id, "")
    plant.gateway.take(change)
    plant.gateway.take(request("bolt"))
    assert plant.heard().change == announced.change, "the same recipe again is no change"
    assert plant.heard(plant.start()).change == announced.change


def no_model(_plant: Plant) -> RecipeChangeRequested:
    return request("nut")


def storage_away(plant: Plant) -> RecipeChangeRequested:
    plant.store.away = True
    return request("bolt")


def too_old(_plant: Plant) -> RecipeChangeRequested:
    return request("bolt", age=100)


@pytest.mark.parametrize(
    ("of", "reason"),
    [
        (no_model, "no model of recipe nut is in production: promote one, or choose another recipe"),
        (storage_away, "object storage is unavailable, so nothing changed: the disk was taken away"),
        (too_old, "no gateway took the request for 100 s: change the recipe again"),
    ],
)
def test_a_refused_change_leaves_the_line_as_it_is(
    plant: Plant, of: Callable[[Plant], RecipeChangeRequested], reason: str
) -> None:
    plant.gateway.take(request("paint"))
    before = plant.heard().change
    refused = of(plant)
    plant.gateway.take(refused)
    announced = plant.heard()
    assert announced.change == before
    assert (announced.answered, announced.refusal) == (refused.change_id, reason)
    plant.store.away = False
    assert plant.heard(plant.start()).change == before


@pytest.mark.parametrize(
    ("before", "after", "at_part", "every"),
    [
        ("{of: frame}", "{of: frame}", False, 1),
        ("{of: frames, frames: 4}", "{of: frames, frames: 6}", False, 12),
        ("{of: frame}", "{of: frames, frames: 6}", False, 6),
        ("{of: identity, frames: 4}", "{of: frame}", True, 1),
    ],
)
def test_a_change_takes_effect_where_parts_begin_by_both_recipes(
    plant: Plant, before: str, after: str, at_part: bool, every: int
) -> None:
    plant.put("seal", "seal-1", f"parts: {before}\n")
    plant.put("nut", "nut-1", f"parts: {after}\n")
    plant.inspects = ("seal", "seal-1")
    plant.gateway.take(request("nut"))
    announced = plant.heard()
    assert (announced.recipe, announced.at_part, announced.every) == ("nut", at_part, every)
