"""Models: listed, promoted, and shown with the trainer's answers."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import httpx
from markupsafe import escape

from shared.contracts import bundle
from shared.contracts.promotion import store_decision
from shared.messages import (
    ComparisonRequested,
    ModelPromoted,
    PromotionRefused,
    PromotionRequested,
    ThresholdsRequested,
    TrainingRequested,
)
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from tests.dashboards import commands, problem, publish, put_in_production, put_model, soon
from tests.verdicts import RECIPE


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


NAME = 'Spring seams, <new> "camera"'


def test_a_version_is_named_and_the_name_is_shown_beside_its_id(client: httpx.Client, store: ObjectStore) -> None:
    put_model(store)
    path = "/api/models/seam/versions/model-1"
    assert client.get(path).json()["name"] == ""
    assert client.put(f"{path}/name", json={"name": f" {NAME} "}).json()["name"] == NAME
    assert client.get("/api/models").json()["models"][0]["name"] == NAME
    for page in ("/models?recipe=seam", "/models/seam/model-1", "/models/seam/model-1/thresholds", "/audit"):
        shown = client.get(page).text
        assert str(escape(NAME)) in shown
        assert NAME not in shown, "a name is text, not HTML"
        assert "model-1" in shown
    assert client.post("/models/seam/model-1/name", data={"name": ""}).status_code == 303
    assert client.get(path).json()["name"] == ""
    audited = [json.loads(store.get(key)) for key in sorted(store.keys("audit/"))]
    assert [(each["action"], each["subject"], each["by"], each["details"]["name"]) for each in audited] == [
        ("model.name", "seam/model-1", "local", NAME),
        ("model.name", "seam/model-1", "local", ""),
    ]


def test_an_impossible_name_is_refused(client: httpx.Client, store: ObjectStore) -> None:
    put_model(store)
    path = "/api/models/seam/versions/model-1/name"
    problem(client.put(path, json={"name": "x" * 81}), 422, "80 characters at most")
    problem(client.put(path, json={"name": "a\u202eb"}), 422, "can't be seen")
    problem(client.put(path, json={}), 422, "body.name")
    problem(client.put("/api/models/seam/versions/model-9/name", json={"name": "x"}), 404, "no version")
    assert list(store.keys("model-names/")) == []


def test_the_name_of_a_version_is_given_with_its_order(
    client: httpx.Client, broker: Broker, store: ObjectStore
) -> None:
    put_model(store)
    order = {"recipe": "seam", "dataset": "seam", "name": "Spring seams"}
    training = client.post("/api/trainings", json=order).json()
    assert (training["name"], training["model_version"]) == ("Spring seams", None)
    assert client.get("/api/trainings").json()["trainings"][0]["name"] == "Spring seams"
    change = {"thresholds": {"break": 0.35}, "reason": "two breaks got through", "name": "Strict"}
    assert client.post("/api/models/seam/model-1/thresholds", json=change).status_code == 202
    trained, changed = commands(broker, 2)
    assert isinstance(trained, TrainingRequested)
    assert isinstance(changed, ThresholdsRequested)
    made = [(trained.training_id, trained.at, "Spring seams"), (changed.thresholds_id, changed.at, "Strict")]
    for request_id, moment, name in made:
        version = bundle.version_name(moment, request_id)  # by which the trainer names it
        manifest = bundle.Manifest(
            recipe="seam",
            version=version,
            architecture="compact",
            heatmaps=bundle.HeatmapSpec(method="grad-cam", layers=("features",)),
            created_at=moment,
            dataset="seam",
            files={},
        )
        bundle.write_bundle(store, manifest, {"recipe.yaml": RECIPE.encode()})
        assert client.get(f"/api/models/seam/versions/{version}").json()["name"] == name
    wrong = client.post("/trainings/new", data={"recipe": "seam", "dataset": "seam", "name": "x" * 81})
    assert wrong.status_code == 422
    assert "80 characters at most" in wrong.text


def evaluation_of(images: int, ng: int) -> dict[str, Any]:
    """The evaluation of a perfect model."""
    label = {
        "n": images,
        "positives": ng,
        "threshold": 0.5,
        **dict.fromkeys(("accuracy", "precision", "recall", "f1", "average_precision"), 1.0),
        "confusion": {"true_positive": ng, "false_positive": 0, "false_negative": 0, "true_negative": images - ng},
        "intervals": {},
    }
    return {
        "split": "test",
        "images": images,
        "groups": images,
        "ng": ng,
        "labels": dict.fromkeys(("good", "error", "break", "length"), label),
        "macro_labels": ["good", "error", "break", "length"],
        "macro_average_precision": 1.0,
        "verdict_accuracy": 1.0,
        "escape_rate": 0.0,
        "overkill_rate": 0.0,
        "intervals": {},
    }


def test_no_figure_is_shown_of_few_images_and_none_without_its_counts(client: httpx.Client, store: ObjectStore) -> None:
    put_model(store, "model-1", **evaluation_of(images=6, ng=3))
    put_model(store, "model-2", **evaluation_of(images=40, ng=15))
    few, enough = (client.get(f"/models/seam/{version}").text for version in ("model-1", "model-2"))
    assert "100.0%" not in few
    assert "1.000" not in few
    assert all(counts in few for counts in ("6 of 6", "0 of 3", "3 of 6 have it", "too few images"))
    assert all(shown in enough for shown in ("100.0%", "1.000", "40 of 40", "0 of 15", "0 of 25", "15 of 40 have it"))
    row = re.findall(r"<tr>.*?</tr>", client.get("/models?recipe=seam").text, re.DOTALL)
    (listed,) = [each for each in row if "/models/seam/model-1" in each]
    assert "6 of 6" in listed
    assert "100.0%" not in listed
    assert "1.000" not in listed
