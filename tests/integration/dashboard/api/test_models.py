"""Models: listed, promoted, and shown with the trainer's answers."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx

from shared.contracts import bundle
from shared.contracts.promotion import store_decision
from shared.messages import ComparisonRequested, ModelPromoted, PromotionRefused, PromotionRequested
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from tests.dashboards import commands, problem, publish, put_in_production, put_model, soon


def test_models_are_listed_with_labels_and_evaluation(client: httpx.Client, store: ObjectStore) -> None:
    for version in ("model-1", "model-2"):
        put_model(store, version)
    put_in_production(store, "model-1", None)
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
    assert client.get("/api/models", params={"recipe": "other"}).json() == {"models": [], "next": None}
    problem(client.get("/api/models/other/production"), 404, "no models")
    assert client.get("/api/models/seam/versions/model-2").json()["architecture"] == "compact"
    problem(client.get("/api/models/seam/versions/model-9"), 404, "no version")
    for page in ("/models?recipe=seam", "/models/seam/model-1", "/models/seam/model-1/thresholds"):
        assert client.get(page).status_code == 200, "an evaluation may lack figures that the page would show"


def test_a_promotion_is_requested_and_shown_with_its_answer(
    client: httpx.Client, broker: Broker, store: ObjectStore
) -> None:
    for version in ("model-1", "model-2"):
        put_model(store, version)
    first = client.post("/api/models/seam/model-1/promotion", json={"reason": "better"})
    second = client.post("/api/models/seam/model-2/promotion", json={})
    assert (first.status_code, first.json()["state"]) == (202, "requested")
    asked = commands(broker, 2)
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
        by="operator",
        at=now,
    )
    refused = PromotionRefused(
        promotion_id=second.json()["promotion_id"],
        recipe="seam",
        model_version="model-2",
        reason="escapes too much",
        at=now,
    )
    publish(broker, promoted, refused)

    def states() -> dict[str, str]:
        promotions = client.get("/api/models/seam/promotions").json()["promotions"]
        return {promotion["version"]: promotion["state"] for promotion in promotions}

    soon(lambda: states() == {"model-1": "promoted", "model-2": "refused"})


def test_a_bundle_that_changed_after_its_promotion_is_marked(
    client: httpx.Client, broker: Broker, store: ObjectStore
) -> None:
    put_model(store, verdict_accuracy=0.9, escape_rate=0.1, overkill_rate=0.1)
    promoted = ModelPromoted(
        promotion_id="promotion-1",
        recipe="seam",
        model_version="model-1",
        digest=bundle.digest_of(store, "seam", "model-1"),
        previous_version=None,
        reason="better",
        by="eva",
        at=datetime.now(UTC),
    )
    publish(broker, promoted)
    soon(lambda: client.get("/api/models/seam/promotions").json()["promotions"])
    assert client.get("/api/models/seam/versions/model-1").json()["differs_from_promoted"] is False
    manifest = store.get("models/seam/model-1/manifest.json")
    store.put("models/seam/model-1/manifest.json", manifest.replace(b"{", b"{ ", 1))
    assert client.get("/api/models/seam/versions/model-1").json()["differs_from_promoted"] is True
    assert client.get("/models?recipe=seam").text.count("changed since its promotion") == 1


def test_an_impossible_promotion_is_refused(client: httpx.Client, store: ObjectStore) -> None:
    put_model(store)
    problem(client.post("/api/models/seam/model-7/promotion", json={}), 404, "no version")
    problem(client.post("/api/models/seam/model-1/promotion", json={"force": True}), 422, "reason")


def test_a_rollback_leads_to_the_version_before(client: httpx.Client, broker: Broker, store: ObjectStore) -> None:
    for version in ("model-1", "model-2"):
        put_model(store, version)
    put_in_production(store, "model-1", None)
    problem(client.post("/api/models/seam/rollback"), 409, "no other model of recipe 'seam' was in production before")
    put_in_production(store, "model-2", "model-1")
    answer = client.post("/api/models/seam/rollback", json={"reason": "too many alarms"})
    assert (answer.status_code, answer.json()["state"], answer.json()["version"]) == (202, "requested", "model-1")
    (asked,) = commands(broker)
    assert isinstance(asked, PromotionRequested)
    assert (asked.rollback, asked.model_version, asked.reason) == (True, "model-1", "too many alarms")


def test_the_history_has_every_promotion_and_every_refusal(client: httpx.Client, store: ObjectStore) -> None:
    assert client.get("/api/models/seam/history").json() == {"recipe": "seam", "history": [], "next": None}
    put_in_production(store, "model-1", None)
    refused = PromotionRefused(
        promotion_id="promotion-2",
        recipe="seam",
        model_version="model-2",
        reason="worse than model-1",
        at=datetime.now(UTC),
        by="ada",
        production_version="model-1",
    )
    store_decision(store, refused)
    put_in_production(store, "model-3", "model-1", forced=True)
    put_in_production(store, "model-1", "model-3", rollback=True)
    history = client.get("/api/models/seam/history").json()["history"]
    assert [(entry["outcome"], entry["previous"], entry["version"], entry["by"]) for entry in history] == [
        ("rolled back", "model-3", "model-1", "eva"),
        ("promoted", "model-1", "model-3", "eva"),
        ("refused", "model-1", "model-2", "ada"),
        ("promoted", None, "model-1", "eva"),
    ]
    assert (history[1]["forced"], history[2]["reason"]) == (True, "worse than model-1")


def test_a_comparison_is_requested_and_found(client: httpx.Client, broker: Broker, store: ObjectStore) -> None:
    for version in ("model-1", "model-2"):
        put_model(store, version)
    order = {"baseline": "model-1", "candidate": "model-2"}
    answer = client.post("/api/models/seam/comparisons", json=order)
    assert answer.status_code == 202
    (asked,) = commands(broker)
    assert isinstance(asked, ComparisonRequested)
    assert (asked.baseline, asked.candidate) == ("model-1", "model-2")
    address = answer.headers["location"]
    problem(client.get(address), 404, "no result yet")
    key = bundle.comparison_key("seam", "model-1", "model-2")
    store.put(key, b'{"reason": "one judges more labels"}')
    assert client.get(address).json() == {
        "recipe": "seam",
        **order,
        "reason": "one judges more labels",
        "comparison": None,
    }
    store.put(key, b'{"images": 60}')
    assert client.get(address).json()["comparison"] == {"images": 60}
    missing = client.post("/api/models/seam/comparisons", json={**order, "candidate": "model-9"})
    problem(missing, 404, "no version 'model-9'")


def test_a_version_that_appears_later_or_is_restored_is_found(client: httpx.Client, store: ObjectStore) -> None:
    problem(client.get("/api/models/seam/versions/model-1"), 404, "no version 'model-1'")
    put_model(store)
    assert len(client.get("/api/models/seam/versions/model-1").json()["labels"]) == 4
    manifest = f"{bundle.folder_of('seam', 'model-2')}/{bundle.MANIFEST}"
    store.put(manifest, b"damaged")
    problem(client.get("/api/models/seam/versions/model-2"), 404, "no version 'model-2'")
    assert [model["version"] for model in client.get("/api/models").json()["models"]] == ["model-1"]
    store.delete(manifest)
    put_model(store, "model-2")
    assert [model["version"] for model in client.get("/api/models").json()["models"]] == ["model-2", "model-1"]
