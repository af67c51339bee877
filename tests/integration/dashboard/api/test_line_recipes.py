"""The recipe of a line: what the gateway announces, a change by a person, and who made it in the audit log."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest
from ulid import ULID

from shared.messages import RecipeAnnounced, RecipeChange, RecipeChangeRequested, decode
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from shared.topology import GATEWAY_COMMANDS
from tests.dashboards import inspected, problem, publish, put_in_production, put_model, soon
from tests.verdicts import Line

RECIPE, PAGE = "/api/lines/line-1/recipe", "/lines/line-1/recipe"


def announced(change: RecipeChange | None = None, refusal: str = "") -> RecipeAnnounced:
    return RecipeAnnounced(
        line="line-1",
        change=change,
        recipes=("collar", "seam"),
        answered=change.change_id if change else None,
        refusal=refusal,
        at=datetime.now(UTC),
    )


@pytest.fixture
def line(client: httpx.Client, broker: Broker, store: ObjectStore) -> Line:
    line = Line()
    publish(broker, line.verdict())
    soon(lambda: inspected(client) == 1)
    put_model(store)
    put_in_production(store, "model-1", None)
    return line


def test_a_change_is_requested_shown_and_in_the_audit_log_once(
    client: httpx.Client, broker: Broker, line: Line
) -> None:
    assert client.get(RECIPE).json()["recipe"] is None
    problem(client.put(RECIPE, json={"recipe": "seam"}), 409, "no gateway has announced the recipe of line-1")
    publish(broker, announced())
    soon(lambda: client.get(RECIPE).json()["recipes"] == ["collar", "seam"])
    problem(client.put(RECIPE, json={"recipe": "collar"}), 409, "no model of recipe collar is in production")
    problem(client.put(RECIPE, json={"recipe": "a/b"}), 422, "recipe")

    change_id = client.put(RECIPE, json={"recipe": "seam"}).json()["change_id"]
    subscription = broker.subscribe(GATEWAY_COMMANDS, 10)
    (delivery,) = subscription.receive(10, 60)
    subscription.acknowledge([delivery])
    request = decode(delivery.body)
    assert isinstance(request, RecipeChangeRequested)
    assert (request.change_id, request.line, request.recipe) == (change_id, "line-1", "seam")

    change = RecipeChange(change_id=change_id, recipe="seam", previous="collar", by="eva", at=datetime.now(UTC))
    publish(broker, announced(change), announced(change))
    soon(lambda: client.get(RECIPE).json()["recipe"] == "seam")
    publish(broker, announced(change, "no model of recipe cuff is in production"))
    soon(lambda: client.get(RECIPE).json()["refusal"])
    entries = [each for each in client.get("/api/audit").json()["entries"] if each["action"] == "recipe.change"]
    assert [(each["id"], each["by"], each["subject"], each["details"]) for each in entries] == [
        (change_id, "eva", "line-1/seam", {"previous": "collar"})
    ]


def test_the_page_shows_the_recipe_and_waits_for_a_change_that_was_requested(
    client: httpx.Client, broker: Broker, line: Line
) -> None:
    assert "no gateway has announced" in client.get(PAGE).text.lower()
    change = RecipeChange(change_id=str(ULID()), recipe="collar", by="eva", at=datetime.now(UTC))
    publish(broker, announced(change))
    soon(lambda: client.get(RECIPE).json()["recipe"] == "collar")
    page = client.get(PAGE)
    assert "changed by eva" in page.text
    assert "Refresh" not in page.headers
    assert client.post(PAGE, data={"recipe": "collar"}).status_code == 409
    answer = client.post(PAGE, data={"recipe": "seam"})
    assert answer.status_code == 303
    assert client.get(answer.headers["Location"]).headers["Refresh"] == "2"
    assert "Refresh" not in client.get(f"{PAGE}?requested={change.change_id}").headers
