"""The recipe of a line at the gateway: changed, refused, stored, and announced to the cameras."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import publish
from pymodbus.client import ModbusTcpClient
from ulid import ULID

from services.gateway.journal import Journal
from services.gateway.line_recipes import LineRecipes, RecipeOfLine
from services.gateway.outputs.modbus_registers import LINE_RECIPE, RECIPE, STATUS_END, RecipeAnswer
from services.gateway.outputs.opening import open_output
from services.gateway.outputs.port import LineStatus, Output, Trouble
from services.gateway.recipes import Recipes
from shared.messages import CameraReported, CameraState, RecipeAnnounced, RecipeChangeRequested
from shared.messaging.sqlite import SqliteBroker
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import StorageUnavailable
from shared.topology import LINE_RECIPES
from tests.integration.gateway.conftest import ANY
from tests.models import paint_bundle, paint_recipe, promote
from tests.mosquitto import PASSWORD, USER, Mosquitto
from tests.plc_server import BASE, UNIT, PlcServer
from tests.processes import free_port, wait_until


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

    def output(self, **settings: Any) -> Output:
        """An output of the line, whose receiver may change the recipe."""
        self.gateway.list_recipes()
        return open_output(ANY.validate_python(settings), "line-1", RecipeOfLine(self.gateway, "line-1"))

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


NUMBERS = ["bolt", "paint", "nut"]
"""The recipes that the PLC may choose; nut has no model in production."""


class Plc:
    """The side of the PLC: it requests recipes, and sees that of the line."""

    def __init__(self, write: Callable[[int], object], read: Callable[[], list[int]]) -> None:
        self._write = write
        self._read = read

    def requests(self, number: int, seen: int, answer: RecipeAnswer) -> None:
        """Request a recipe by its number, and wait for the number of the line's recipe and the answer."""
        self._write(number)
        self.sees(seen, number, answer)

    def sees(self, *shown: int) -> None:
        wait_until(lambda: self._read() == list(shown), 120, f"{shown}, not {self._read()}")


@pytest.fixture(params=["modbus", "modbus_client"])
def plc(request: pytest.FixtureRequest, plant: Plant) -> Iterator[tuple[Plc, Output, int]]:
    """A PLC that is a client, or a server; the output that it is connected to, and the port."""
    port = free_port()
    if request.param == "modbus":
        with closing(plant.output(type="modbus", port=port, recipe_numbers=NUMBERS)) as output:
            output.check()
            client = ModbusTcpClient("127.0.0.1", port=port, timeout=60)
            assert client.connect()

            def read() -> list[int]:
                answer = client.read_holding_registers(LINE_RECIPE, count=STATUS_END - LINE_RECIPE)
                return list(answer.registers)

            yield Plc(lambda number: client.write_register(RECIPE, number), read), output, port
            client.close()
        return
    server = PlcServer(port)
    server.registers[BASE + RECIPE] = 2  # of the gateway before
    server.server.start()
    where = {"host": "127.0.0.1", "port": port, "unit": UNIT, "address": BASE, "timeout_seconds": 60}
    with closing(plant.output(type="modbus_client", recipe_numbers=NUMBERS, **where)) as output:
        server.registers[BASE + LINE_RECIPE] = 9
        output.show(LineStatus(Trouble.NONE))
        memory = Plc(
            lambda number: server.registers.__setitem__(BASE + RECIPE, number),
            lambda: server.registers[BASE + LINE_RECIPE : BASE + STATUS_END],
        )
        memory.sees(0, 0, 0)
        yield memory, output, port
    server.server.close()


def test_a_plc_changes_the_recipe_of_the_line_by_its_number(plant: Plant, plc: tuple[Plc, Output, int]) -> None:
    machine, output, port = plc
    machine.requests(1, 1, RecipeAnswer.DONE)
    change = plant.heard().change
    assert change is not None
    assert (change.recipe, change.by) == ("bolt", f"modbus:127.0.0.1:{port}")
    machine.requests(3, 1, RecipeAnswer.REFUSED)
    machine.requests(4, 1, RecipeAnswer.REFUSED)
    machine.requests(0, 1, RecipeAnswer.NONE)
    assert plant.heard().change == change, "a refused change leaves the line as it is"
    plant.gateway.take(request("paint"))
    output.show(LineStatus(Trouble.NONE))
    machine.sees(2, 0, RecipeAnswer.NONE)


def test_the_plant_changes_the_recipe_of_the_line_over_mqtt(plant: Plant, mosquitto: Mosquitto) -> None:
    topic = "recipes/line-1/recipe"
    login = {"username": USER, "password": PASSWORD}
    publish.single(f"{topic}/set", '{"recipe": "paint"}', 1, retain=True, port=mosquitto.port, auth=login)  # too old
    with (
        closing(plant.output(**mosquitto.settings, topic="recipes")) as output,
        mosquitto.subscriber(topic) as listener,
    ):
        output.check()
        line = {"recipe": None, "recipes": ["bolt", "paint"], "id": None, "refusal": ""}
        listener.until(lambda received: received[-1:] == [(topic, line)])
        for document, id, refused in (
            ('{"recipe": "bolt", "id": "7"}', "7", ""),
            ('{"recipe": "nut", "id": "8"}', "8", "no model of recipe nut is in production"),
            ("bolt", None, "not understood: publish a document such as"),
        ):
            listener.messages.clear()
            listener.publish(f"{topic}/set", document)
            listener.until(bool)
            answer = listener.messages[-1][1]
            assert (answer["recipe"], answer["id"]) == ("bolt", id)
            assert answer["refusal"].startswith(refused)
            assert bool(answer["refusal"]) == bool(refused)
    change = plant.heard().change
    assert change is not None
    assert (change.recipe, change.by) == ("bolt", f"mqtt:{USER}")
