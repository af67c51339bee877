"""The API over a real HTTP server, in both ways to run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from ulid import ULID

from services.dashboard.settings import DashboardSettings
from shared.messages import (
    CameraState,
    ModelPromoted,
    PromotionRefused,
    PromotionRequested,
    TrainingCancelled,
    TrainingProgressed,
    TrainingRequested,
    TrainingState,
    Verdict,
    decode,
)
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from shared.topology import TRAINER_COMMANDS
from shared.vision import bundle
from tests.dashboards import embedded_settings, open_dashboard, publish, server_settings, soon
from tests.verdicts import RECIPE, Line, explanation_of


@pytest.fixture(params=["embedded", "servers"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> DashboardSettings:
    if request.param == "embedded":
        return embedded_settings(tmp_path)
    return server_settings(tmp_path, *(request.getfixturevalue(name) for name in ("rabbitmq", "redis_url", "s3")))


@pytest.fixture
def client(settings: DashboardSettings, broker: Broker) -> Iterator[httpx.Client]:
    with open_dashboard(settings, broker) as opened:
        yield opened


def put_model(store: ObjectStore, version: str = "model-1") -> None:
    manifest = bundle.Manifest(
        recipe="seam",
        version=version,
        architecture="compact",
        target_layer="features",
        created_at=datetime(2026, 1, int(version[-1]), tzinfo=UTC),
        dataset="datasets/seam",
        files={},
    )
    bundle.write_bundle(store, manifest, {"recipe.yaml": RECIPE.encode(), "evaluation.json": b'{"loss": 0.25}'})


def judged(client: httpx.Client, line: str = "line-1") -> int:
    answer = client.get(f"/api/lines/{line}/accounting")
    return int(answer.json()["judged"]) if answer.status_code == 200 else 0


# ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_frame_is_accounted_for(client: httpx.Client, broker: Broker) -> None:
    line = Line()
    verdicts = list(line.verdicts(120))
    flagged = [verdict for verdict in verdicts if verdict.flagged]
    report = line.report(captured=125, refused=3, waiting=2, state=CameraState.FINISHED)
    publish(broker, *verdicts, *map(explanation_of, flagged), report, *verdicts[:10])
    soon(lambda: client.get("/api/lines/line-1/accounting").json().get("explained") == len(flagged))
    soon(lambda: client.get("/api/lines/line-1/accounting").json().get("captured") == 125)
    soon(lambda: judged(client) == 120)
    accounting = client.get("/api/lines/line-1/accounting").json()
    assert accounting["captured"] == accounting["judged"] + accounting["refused"] + accounting["in_flight"]
    assert (accounting["refused"], accounting["parked"], accounting["in_flight"], accounting["waiting"]) == (3, 0, 2, 2)
    assert accounting["flagged"] == accounting["explained"] == accounting["ng"] == len(flagged)
    breaks = sum(verdict.reason == "break" for verdict in verdicts)
    assert accounting["defect_rates"]["break"] == pytest.approx(breaks / 120)
    assert set(accounting["defect_rates"]) == {"good", "error", "break", "length"}
    assert accounting["labels"]["break"]["faults"] == breaks
    assert accounting["model_versions"] == ["model-1"]


def test_a_line_tells_its_state(client: httpx.Client, broker: Broker) -> None:
    line = Line()
    publish(broker, line.verdict(), line.report(), line.verdict("break"))
    soon(lambda: judged(client) == 2)
    soon(lambda: client.get("/api/lines/line-1").json()["cameras"])
    state = client.get("/api/lines/line-1").json()
    assert state["condition"] == "ng"
    assert state["because"] == "break"
    assert state["last_frame"]["verdict"] == "ng"
    assert (state["recipe"], state["model_version"]) == ("seam", "model-1")
    assert state["cameras"][0]["camera"] == "camera-1"
    assert [state["line"] for state in client.get("/api/lines").json()["lines"]] == ["line-1"]


def test_rates_are_told_by_minute_and_over_the_whole(client: httpx.Client, broker: Broker) -> None:
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=3)
    line = Line(start=start)
    publish(broker, *(line.verdict("break" if second == 70 else None, after=second) for second in (10, 70, 80, 130)))
    soon(lambda: judged(client) == 4)
    window = {"from": start.isoformat(), "to": (start + timedelta(minutes=3)).isoformat(), "step": "minute"}
    rates = client.get("/api/lines/line-1/rates", params=window).json()
    assert [(bucket["judged"], bucket["ng"]) for bucket in rates["buckets"]] == [(1, 0), (2, 1), (1, 0)]
    assert rates["total"]["defect_rate"]["value"] == 0.25
    assert rates["total"]["labels"]["break"] == {
        "scored": 4,
        "present": 1,
        "faults": 1,
        "rate": rates["total"]["defect_rate"],
    }
    assert rates["total"]["defect_rate"]["low"] < 0.25 < rates["total"]["defect_rate"]["high"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "before `to`"),
        ({"from": "2020-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "longer step"),
        ({"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z", "step": "day"}, "longer step"),
        ({"from": "2026-01-01T00:00:00"}, "query.from"),
        ({"step": "second"}, "query.step"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(
    client: httpx.Client, broker: Broker, query: dict[str, str], says: str
) -> None:
    publish(broker, Line().verdict())
    soon(lambda: judged(client) == 1)
    problem(client.get("/api/lines/line-1/rates", params=query), 422, says)


# ── frames ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_frame_shows_its_verdict_and_its_pictures(client: httpx.Client, broker: Broker, store: ObjectStore) -> None:
    verdict = Line().verdict("break")
    folder = verdict.frame.storage_key
    store.put(f"{folder}/picture.jpg", b"a picture")
    store.put(f"{folder}/heatmap.break.png", b"a heatmap")
    store.put(f"{folder}/overlay.jpg", b"an overlay")
    publish(broker, verdict, explanation_of(verdict))
    address = f"/api/frames/{verdict.frame.frame_id}"
    soon(lambda: client.get(address).json().get("explained"))
    frame = client.get(address).json()
    assert (frame["verdict"], frame["faults"]) == ("ng", ["good", "break"])
    assert frame["findings"]["break"] == {
        "score": 0.93,
        "threshold": 0.5,
        "present": True,
        "unsure": False,
        "fault": True,
    }
    assert frame["heatmaps"]["break"]["box"] == [30, 20, 20, 20]
    shown = {
        frame["picture_url"]: (b"a picture", "image/jpeg"),
        frame["heatmaps"]["break"]["url"]: (b"a heatmap", "image/png"),
        frame["overlay_url"]: (b"an overlay", "image/jpeg"),
    }
    for url, (content, kind) in shown.items():
        answer = client.get(url)
        assert (answer.content, answer.headers["content-type"]) == (content, kind)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "max-age" in answer.headers["cache-control"]
    problem(client.get(f"{address}/heatmaps/length"), 404, "no heatmap of that label")
    problem(client.get(frame["heatmaps"]["good"]["url"]), 404, "not in object storage")


def test_frames_are_found_by_what_they_are(client: httpx.Client, broker: Broker) -> None:
    line, other = Line(), Line("line-2")
    error = line.verdict(verdict=Verdict.ERROR, reason="zero bytes", findings={})
    frames = [line.verdict(), line.verdict("break"), line.verdict("error"), error, other.verdict("break")]
    publish(broker, *frames)
    soon(lambda: judged(client) == 4)
    soon(lambda: judged(client, "line-2") == 1)

    def found(**query: str) -> set[str]:
        return {frame["frame_id"] for frame in client.get("/api/frames", params=query).json()["frames"]}

    ids = [frame.frame.frame_id for frame in frames]
    assert found() == set(ids)
    assert found(line="line-1", verdict="ng") == {ids[1], ids[2]}
    assert found(label="break") == {ids[1], ids[4]}
    assert found(verdict="error") == {ids[3]}
    assert found(flagged="true", line="line-2") == {ids[4]}
    assert found(flagged="false", line="line-1") == {ids[0], ids[3]}
    assert found(line="line-9") == set()


def test_pages_of_frames_follow_each_other_without_gap_or_repetition(client: httpx.Client, broker: Broker) -> None:
    line = Line(start=datetime.now(UTC))
    verdicts = [line.verdict("break" if number % 3 else None, after=number // 4) for number in range(60)]
    publish(broker, *verdicts)
    soon(lambda: judged(client) == 60)
    seen, query = [], {"limit": "7"}
    while True:
        page = client.get("/api/frames", params=query).json()
        seen += [frame["frame_id"] for frame in page["frames"]]
        if page["next"] is None:
            break
        query["before"] = page["next"]
    newest_first = sorted(
        verdicts, key=lambda verdict: (verdict.frame.captured_at, verdict.frame.frame_id), reverse=True
    )
    assert seen == [verdict.frame.frame_id for verdict in newest_first]


@pytest.mark.parametrize(
    "path",
    [
        "/api/frames/..%2F..%2Fetc%2Fpasswd",
        "/api/frames/../../etc/passwd/picture",
        "/api/frames/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042%00/picture",
        "/api/frames/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042/heatmaps/..%2F..%2Fpicture",
        "/api/frames/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042/heatmaps/a%2Fb",
        "/api/lines/..%2F..%2Fx",
        "/api/lines/*/accounting",
        "/api/docs/..%2F..%2Fserving.py",
        "/api/docs/..%5C..%5Cserving.py",
        "/static/../endpoints.py",
        "/static/..%2Fendpoints.py",
        "/static/%2e%2e/%2e%2e/settings.py",
    ],
)
def test_paths_that_lead_astray_are_no_paths(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_cursor_of_ones_own_making_is_refused(client: httpx.Client) -> None:
    for cursor in ("x", "e30", "bnVsbA", "WzEsMl0x"):
        problem(client.get("/api/frames", params={"before": cursor}), 422, "before")


# ── trainings and models ─────────────────────────────────────────────────────────────────────────────────────────────


def commands(broker: Broker) -> list[object]:
    subscription = broker.subscribe(TRAINER_COMMANDS, 10)
    deliveries = subscription.receive(10, 5.0)
    subscription.acknowledge(deliveries)
    subscription.close()
    return [decode(delivery.body) for delivery in deliveries]


def test_a_training_is_ordered_followed_and_cancelled(client: httpx.Client, broker: Broker) -> None:
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
        progressed_at=datetime.now(UTC),
    )
    publish(broker, progress)
    soon(lambda: client.get(f"/api/trainings/{request.training_id}").json()["state"] == "running")
    assert client.get("/api/trainings").json()["trainings"][0]["metrics"] == {"loss": 0.5}

    assert client.delete(f"/api/trainings/{request.training_id}").status_code == 202
    (cancelled,) = commands(broker)
    assert isinstance(cancelled, TrainingCancelled)
    publish(broker, progress.model_copy(update={"state": TrainingState.CANCELLED, "progressed_at": datetime.now(UTC)}))
    soon(lambda: client.get(f"/api/trainings/{request.training_id}").json()["state"] == "cancelled")
    problem(client.delete(f"/api/trainings/{request.training_id}"), 409, "nothing to cancel")


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({"recipe": "seam"}, "body.dataset"),
        ({"recipe": "../seam", "dataset": "x"}, "body.recipe"),
        ({"recipe": "seam", "dataset": "x", "promot": True}, "body.promot"),
        ({"recipe": "seam", "dataset": "x", "recipe_yaml": "name: seam\nlabels: 3"}, "recipe_yaml, line 1"),
        ({"recipe": "other", "dataset": "x", "recipe_yaml": RECIPE}, "give one name"),
        ([], "body"),
    ],
)
def test_a_training_that_cant_be_is_refused(client: httpx.Client, order: object, says: str) -> None:
    problem(client.post("/api/trainings", json=order), 422, says)
    assert client.get("/api/trainings").json() == {"trainings": []}


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


# ── the whole ────────────────────────────────────────────────────────────────────────────────────────────────────────


def problem(answer: httpx.Response, status: int, says: str) -> None:
    """A problem as RFC 9457 has it."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    details = answer.json()
    assert details["status"] == status
    assert details["title"]
    assert details["type"] == "about:blank"
    assert says in str(details)


def test_errors_are_problem_details(client: httpx.Client) -> None:
    problem(client.get("/api/lines/line-9"), 404, "nothing was ever heard")
    problem(client.get("/api/nothing"), 404, "Not Found")
    problem(client.put("/api/lines"), 405, "Method Not Allowed")
    problem(client.post("/api/trainings", content=b"{", headers={"Content-Type": "application/json"}), 422, "JSON")
    problem(client.get("/api/frames/x"), 422, "frame_id")


def test_a_person_who_goes_astray_gets_a_page(client: httpx.Client) -> None:
    answer = client.get("/frames/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042", headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "no such frame is known" in answer.text


def test_it_says_that_it_is_ready_and_shows_its_metrics(client: httpx.Client, broker: Broker) -> None:
    line = Line(f"line-{ULID()}")
    publish(broker, line.verdict("break"))
    soon(lambda: judged(client, line.name) == 1)
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"] == dict.fromkeys(("broker", "redis", "storage", "counts", "intake"), "ok")
    assert client.get("/healthz").text == "ok\n"
    assert f'dashboard_verdicts_total{{line="{line.name}",verdict="ng"}} 1.0' in client.get("/metrics").text


def test_the_documents_of_the_api_come_from_this_machine_alone(client: httpx.Client) -> None:
    page = client.get("/api/docs")
    assert "://" not in page.text
    for address in (
        "/api/docs/swagger-ui-bundle.js",
        "/api/docs/swagger-ui.css",
        "/static/documents.js",
        "/static/icon.svg",
    ):
        assert address in page.text
        assert client.get(address).status_code == 200
    document = client.get("/api/openapi.json").json()
    assert document["components"]["schemas"]["ProblemDetails"]
    assert document["components"]["schemas"]["TrainingOrder"]["example"]
    described = [operation for path in document["paths"].values() for operation in path.values()]
    assert all(operation.get("description") for operation in described)
    assert all("HTTPValidationError" not in str(operation) for operation in described)
