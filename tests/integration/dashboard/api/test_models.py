"""Models: listed, promoted, and told what became of it."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx

from shared.messages import ModelPromoted, PromotionRefused, PromotionRequested
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from shared.vision import bundle
from tests.dashboards import commands, problem, publish, put_model, soon


def test_models_are_listed_with_what_they_are(client: httpx.Client, store: ObjectStore) -> None:
    for version in ("model-1", "model-2"):
        put_model(store, version)
    pointer = bundle.ProductionPointer(
        sequence=1, recipe="seam", version="model-1", previous=None, reason="first", by="eva", at=datetime.now(UTC)
    )
    bundle.move_production(store, pointer)
    models = client.get("/api/models").json()["models"]
    assert [(model["version"], model["in_production"]) for model in models] == [("model-2", False), ("model-1", True)]
    assert models[0]["evaluation"] == {"loss": 0.25}
    assert [(label["name"], label["role"], label["colour"]) for label in models[0]["labels"]][2] == (
        "break",
        "defect",
        "#00aa3c",
    )
    production = client.get("/api/models/seam/production").json()
    assert (production["version"], production["history"][0]["by"]) == ("model-1", "eva")
    assert client.get("/api/models", params={"recipe": "other"}).json() == {"models": []}
    problem(client.get("/api/models/other/production"), 404, "no models")
    assert client.get("/api/models/seam/versions/model-2").json()["architecture"] == "compact"
    problem(client.get("/api/models/seam/versions/model-9"), 404, "no version")


def test_a_promotion_is_ordered_and_its_answer_told(client: httpx.Client, broker: Broker, store: ObjectStore) -> None:
    for version in ("model-1", "model-2"):
        put_model(store, version)
    first = client.post("/api/models/seam/model-1/promotion", json={"reason": "better"})
    second = client.post("/api/models/seam/model-2/promotion", json={})
    assert (first.status_code, first.json()["state"]) == (202, "requested")
    asked = commands(broker)
    assert [command.model_version for command in asked if isinstance(command, PromotionRequested)] == [
        "model-1",
        "model-2",
    ]
    now = datetime.now(UTC)
    promoted = ModelPromoted(
        promotion_id=first.json()["promotion_id"],
        recipe="seam",
        model_version="model-1",
        previous_version=None,
        reason="better",
        promoted_by="operator",
        promoted_at=now,
    )
    refused = PromotionRefused(
        promotion_id=second.json()["promotion_id"],
        recipe="seam",
        model_version="model-2",
        reason="escapes too much",
        refused_at=now,
    )
    publish(broker, promoted, refused)

    def states() -> dict[str, str]:
        promotions = client.get("/api/models/seam/promotions").json()["promotions"]
        return {promotion["version"]: promotion["state"] for promotion in promotions}

    soon(lambda: states() == {"model-1": "promoted", "model-2": "refused"})


def test_a_promotion_that_cant_be_is_refused(client: httpx.Client, store: ObjectStore) -> None:
    put_model(store)
    problem(client.post("/api/models/seam/model-7/promotion", json={}), 404, "no version")
    problem(client.post("/api/models/seam/model-1/promotion", json={"force": True}), 422, "reason")
