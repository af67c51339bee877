"""Trainings: requested, followed and cancelled."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx

from shared.messages import (
    PromotionRefused,
    TrainingCancelled,
    TrainingProgressed,
    TrainingRequested,
    TrainingState,
)
from shared.messaging.port import Broker
from tests.dashboards import commands, problem, publish, soon
from tests.verdicts import RECIPE


def test_a_training_is_requested_followed_and_cancelled(client: httpx.Client, broker: Broker) -> None:
    order = {"recipe": "seam", "dataset": "datasets/seam", "options": {"epochs": 3}, "recipe_yaml": RECIPE}
    answer = client.post("/api/trainings", json=order)
    assert answer.status_code == 202
    training = answer.json()
    assert training["state"] == "queued"
    assert answer.headers["location"] == f"/api/trainings/{training['training_id']}"
    (request,) = commands(broker)
    assert isinstance(request, TrainingRequested)
    assert (request.training_id, request.options, request.recipe_yaml) == (
        training["training_id"],
        {"epochs": 3},
        RECIPE,
    )

    progress = TrainingProgressed(
        training_id=request.training_id,
        recipe="seam",
        state=TrainingState.RUNNING,
        epoch=1,
        epochs=3,
        metrics={"loss": 0.5},
        at=datetime.now(UTC),
    )
    publish(broker, progress.model_copy(update={"epoch": 0, "epochs": 0, "metrics": {}}), progress)
    soon(lambda: client.get(f"/api/trainings/{request.training_id}").json()["state"] == "running")
    followed = client.get("/api/trainings").json()["trainings"][0]
    assert (followed["metrics"], followed["started_at"]) == ({"loss": 0.5}, followed["changed_at"])

    assert client.delete(f"/api/trainings/{request.training_id}").status_code == 202
    (cancelled,) = commands(broker)
    assert isinstance(cancelled, TrainingCancelled)
    publish(broker, progress.model_copy(update={"state": TrainingState.CANCELLED, "at": datetime.now(UTC)}))
    soon(lambda: client.get(f"/api/trainings/{request.training_id}").json()["state"] == "cancelled")
    problem(client.delete(f"/api/trainings/{request.training_id}"), 409, "nothing to cancel")


REFUSED: list[tuple[object, str]] = [
    ({"recipe": "seam"}, "body.dataset"),
    ({"recipe": "../seam", "dataset": "x"}, "body.recipe"),
    ({"recipe": "seam", "dataset": "x", "promot": True}, "body.promot"),
    ({"recipe": "seam", "dataset": "x", "recipe_yaml": "name: seam\nlabels: 3"}, "recipe_yaml, line 1"),
    ({"recipe": "other", "dataset": "x", "recipe_yaml": RECIPE}, "give both one name"),
    ([], "body"),
]


def test_an_impossible_training_is_refused(client: httpx.Client) -> None:
    for order, says in REFUSED:
        problem(client.post("/api/trainings", json=order), 422, says)
    assert client.get("/api/trainings").json() == {"trainings": [], "next": None}


def test_a_training_shows_its_promotion(client: httpx.Client, broker: Broker) -> None:
    order = {"recipe": "seam", "dataset": "seam", "recipe_yaml": RECIPE, "promote": True}
    training_id = client.post("/api/trainings", json=order).json()["training_id"]
    assert client.get(f"/api/trainings/{training_id}").json()["promotion"] is None
    refused = PromotionRefused(
        promotion_id=training_id,
        recipe="seam",
        model_version="model-2",
        reason="worse than model-1 in production",
        at=datetime.now(UTC),
        by="ada",
    )
    publish(broker, refused)
    soon(lambda: client.get(f"/api/trainings/{training_id}").json()["promotion"])
    promotion = client.get(f"/api/trainings/{training_id}").json()["promotion"]
    assert (promotion["state"], promotion["by"], promotion["refusal"]) == (
        "refused",
        "ada",
        "worse than model-1 in production",
    )


def test_unknown_options_of_a_training_are_refused_by_name(client: httpx.Client) -> None:
    order = {"recipe": "seam", "dataset": "seam", "options": {"epochs": -1, "speed": "high"}}
    answer = client.post("/api/trainings", json=order)
    problem(answer, 422, "options.epochs: give 0 or more")
    assert [error["where"] for error in answer.json()["errors"]] == ["options.epochs", "options.speed"]
    names = [each["name"] for each in client.get("/api/trainings/architectures").json()["architectures"]]
    assert names[0] == "lite0-depths"


def test_the_curves_of_a_training_have_a_point_per_epoch(client: httpx.Client, broker: Broker) -> None:
    def progress(epoch: int, state: TrainingState = TrainingState.RUNNING, **metrics: float) -> TrainingProgressed:
        return TrainingProgressed(
            training_id="training-1",
            recipe="seam",
            state=state,
            epoch=epoch,
            epochs=3 if epoch else 0,
            metrics=metrics,
            at=datetime.now(UTC),
        )

    publish(broker, progress(1, loss=0.5), progress(2, loss=0.25), progress(0, TrainingState.FAILED))
    soon(lambda: [each["state"] for each in client.get("/api/trainings").json()["trainings"]] == ["failed"])
    history = client.get("/api/trainings/training-1/history").json()
    assert history["epochs"] == [{"epoch": 1, "metrics": {"loss": 0.5}}, {"epoch": 2, "metrics": {"loss": 0.25}}]
    training = client.get("/api/trainings/training-1").json()
    assert (training["epoch"], training["epochs"], training["metrics"]) == (2, 3, {"loss": 0.25})
    problem(client.get("/api/trainings/training-9/history"), 404, "no such training")


def test_the_pages_of_a_training_with_a_folder_of_the_trainer_are_shown(client: httpx.Client, broker: Broker) -> None:
    html, folder = {"accept": "text/html"}, "/data/Nähte 2026"
    order = {"recipe": "seam", "dataset": folder, "recipe_yaml": RECIPE}
    training_id = client.post("/api/trainings", json=order).json()["training_id"]
    running = TrainingProgressed(
        training_id=training_id, recipe="seam", state=TrainingState.RUNNING, at=datetime.now(UTC)
    )
    publish(broker, running)
    soon(lambda: client.get(f"/api/trainings/{training_id}").json()["state"] == "running")
    assert client.get(f"/trainings/{training_id}", headers=html).status_code == 200
    silly = {**order, "epochs": "9" * 5000}
    assert client.get("/trainings/new", params=silly, headers=html).status_code == 200
    assert client.post("/trainings/new", data=silly, headers=html).status_code == 422
