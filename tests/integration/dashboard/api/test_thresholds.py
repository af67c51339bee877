"""Thresholds: the effect of a change, and the version with changed thresholds."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import numpy as np

from services.trainer.evaluation.threshold_choice import choose_thresholds
from shared.contracts import bundle
from shared.contracts.dataset import LabelledImage, make_version, put_image, write_version
from shared.contracts.operating_points import OperatingPointName
from shared.contracts.scores import ScoredImages, ScoredSplit
from shared.imaging.codec import encode, size_of
from shared.messages import ThresholdsRefused, ThresholdsRequested, ThresholdsStored
from shared.messaging.port import Broker
from shared.recipe import parse_recipe
from shared.storage.port import ObjectStore
from tests.dashboards import commands, problem, publish, put_model, put_yesterday, soon
from tests.verdicts import RECIPE

LABELS = parse_recipe(RECIPE).label_names


def put_scores(store: ObjectStore, version: str = "model-1") -> None:
    """Of one part with a break, and of one good part."""
    good, broken = ([float(name == true) for name in LABELS] for true in ("good", "break"))
    part = ScoredSplit(
        names=("a", "b"),
        groups=("a", "b"),
        truth=(tuple(broken), tuple(good)),
        scores=(
            tuple(0.6 if name == "break" else 0.3 for name in LABELS),
            tuple(0.9 if name == "good" else 0.1 for name in LABELS),
        ),
    )
    scored = ScoredImages(labels=LABELS, splits={"valid": part, "test": part}, variants={})
    store.put(f"{bundle.folder_of('seam', version)}/{bundle.SCORES}", scored.model_dump_json().encode())


def put_scored_images(store: ObjectStore) -> str:
    """Store the images of `put_scores` as a dataset version, and return its reference."""
    digest = put_image(store, encode(np.full((60, 480, 3), 90, np.uint8), "jpeg"))
    images = [LabelledImage(name=name, digest=digest, labels=(True,), group=name) for name in ("a", "b")]
    version = make_version("seams", 1, ["good"], images, by="eva", source="a test")
    write_version(store, version)
    return version.reference


def test_the_effect_is_computed_for_all_thresholds_together(client: httpx.Client, store: ObjectStore) -> None:
    put_model(store)
    put_scores(store)
    path = "/api/models/seam/versions/model-1/effect"
    told = client.get(path).json()
    assert (told["known"], told["escapes"]["value"], told["overkill"]["value"], told["images"]) == (True, 0, 0, 2)
    alone = client.get(path, params={"threshold": ["break:0.7"]}).json()
    together = client.get(path, params={"threshold": ["break:0.7", "good:0.2"]}).json()
    assert (alone["escapes"]["value"], together["escapes"]["value"]) == (0, 1)
    problem(client.get(path, params={"threshold": ["brake:0.7"]}), 422, "no label 'brake'")
    problem(client.get(path, params={"threshold": ["break:high"]}), 422, "label:number")
    problem(client.get(path, params={"threshold": ["break:1.5"]}), 422, "between 0 and 1")
    problem(client.get("/api/models/seam/versions/model-9/effect"), 404, "no version")


def test_images_that_change_sides_are_named_and_shown(client: httpx.Client, store: ObjectStore) -> None:
    put_model(store)
    put_model(store, "model-2", dataset=put_scored_images(store))
    path = "/api/models/seam/versions"
    for name in ("model-1", "model-2"):
        put_scores(store, name)
        moved = {"threshold": ["break:0.7", "good:0.2"]}
        changed = client.get(f"{path}/{name}/effect", params=moved).json()["changed"]
        assert changed["new_escapes"] == {"count": 1, "first": [{"place": 0, "name": "a"}]}
        assert [each["count"] for each in changed.values()] == [1, 0, 0, 0]
    image = client.get(f"{path}/model-2/images/0")
    assert (image.headers["content-type"], size_of(image.content)[0]) == ("image/jpeg", 240)
    problem(client.get(f"{path}/model-2/images/2"), 404, "2 scored images")
    problem(client.get(f"{path}/model-1/images/0"), 404, "trained on a folder")


def test_yesterdays_frames_are_judged_with_other_thresholds(client: httpx.Client, store: ObjectStore) -> None:
    put_model(store)
    put_yesterday(store, None, "break", None)
    path = "/api/models/seam/versions/model-1/yesterday"
    soon(lambda: client.get(path).json()["counted"])
    told = client.get(path, params={"threshold": ["good:0.95"]}).json()
    assert (told["ok"], told["ng"], told["ok_to_ng"], told["ng_to_ok"], told["lines"]) == (2, 1, 2, 0, ["line-1"])
    problem(client.get(path, params={"threshold": ["brake:0.7"]}), 422, "no label 'brake'")


def test_a_threshold_set_is_requested_audited_and_shown_with_its_answer(
    client: httpx.Client, broker: Broker, store: ObjectStore
) -> None:
    put_model(store)
    order = {"thresholds": {"break": 0.35, "good": 0.5}, "reason": "two breaks got through"}
    answer = client.post("/api/models/seam/model-1/thresholds", json=order)
    assert (answer.status_code, answer.json()["state"]) == (202, "requested")
    refused = client.post("/api/models/seam/model-1/thresholds", json={**order, "reason": "again"}).json()
    first, second = commands(broker, 2)
    assert isinstance(first, ThresholdsRequested)
    assert isinstance(second, ThresholdsRequested)
    assert (first.thresholds, first.reason, first.by) == ({"break": 0.35}, "two breaks got through", "local")
    now = datetime.now(UTC)
    publish(
        broker,
        ThresholdsStored(
            thresholds_id=first.thresholds_id,
            recipe="seam",
            model_version="model-2",
            derived_from="model-1",
            thresholds={**dict.fromkeys(LABELS, 0.5), "break": 0.35},
            reason=first.reason,
            by="local",
            at=now,
        ),
        ThresholdsRefused(
            thresholds_id=second.thresholds_id,
            recipe="seam",
            derived_from="model-1",
            reason="no images",
            by="local",
            at=now,
        ),
    )

    def found() -> dict[str, tuple[str, str | None, str]]:
        sets = client.get("/api/models/seam/thresholds").json()["threshold_sets"]
        return {each["thresholds_id"]: (each["state"], each["model_version"], each["refusal"]) for each in sets}

    soon(
        lambda: (
            found()
            == {
                answer.json()["thresholds_id"]: ("saved", "model-2", ""),
                refused["thresholds_id"]: ("refused", None, "no images"),
            }
        )
    )
    audited = [store.get(key).decode() for key in store.keys("audit/")]
    assert sum('"thresholds.set"' in entry and '"by":"local"' in entry for entry in audited) == 2


def test_an_operating_point_is_requested_by_its_name(client: httpx.Client, broker: Broker, store: ObjectStore) -> None:
    truth = np.array([[float(name == shown) for name in LABELS] for shown in ("good", "break") for _ in range(30)])
    scores = np.clip(truth, 0.2, 0.7) + np.linspace(0, 0.1, 60)[:, np.newaxis]
    _, points = choose_thresholds(
        parse_recipe(RECIPE), truth.astype(np.float32), scores.astype(np.float32), list(map(str, range(60)))
    )
    assert points
    put_model(store, operating_points=points.model_dump(mode="json"))
    order = {"operating_point": "few-false-rejects", "reason": "the bin is full of good parts"}
    told = client.post("/api/models/seam/model-1/thresholds", json=order).json()
    (asked,) = commands(broker, 1)
    assert isinstance(asked, ThresholdsRequested)
    wanted = points.points[OperatingPointName.FEW_FALSE_REJECTS].thresholds
    assert asked.thresholds == told["thresholds"] == {name: value for name, value in wanted.items() if value != 0.5}
    page = client.get("/models/seam/model-1").text
    assert "Few false rejects" in page
    assert "calling every part ok is right for 50.0%" in page
    clicked = client.post("/models/seam/model-1/thresholds", data={**order, "reason": "operating point"})
    assert clicked.status_code == 303
    assert [each.thresholds for each in commands(broker, 1) if isinstance(each, ThresholdsRequested)] == [
        asked.thresholds
    ]
    path = "/api/models/seam/model-1/thresholds"
    problem(client.post(path, json={**order, "operating_point": "least-cost"}), 422, "has no least-cost")
    problem(client.post(path, json={**order, "thresholds": {"break": 0.4}}), 422, "either thresholds or an operating")
    problem(client.post(path, json={"reason": "none of both"}), 422, "either thresholds or an operating")


def test_unchanged_thresholds_are_refused(client: httpx.Client, store: ObjectStore) -> None:
    put_model(store)
    path = "/api/models/seam/model-1/thresholds"
    problem(client.post(path, json={"thresholds": {"break": 0.5}, "reason": "why not"}), 422, "change one")
    problem(client.post(path, json={"thresholds": {"brake": 0.4}, "reason": "why not"}), 422, "no label 'brake'")
    problem(client.post(path, json={"thresholds": {"break": 0.4}, "reason": " "}), 422, "reason")


def test_an_evaluation_that_comes_after_its_model_is_found(client: httpx.Client, store: ObjectStore) -> None:
    put_model(store)
    key = f"{bundle.folder_of('seam', 'model-1')}/{bundle.EVALUATION}"
    kept = store.get(key)
    store.delete(key)
    path = "/api/models/seam/versions/model-1"
    assert client.get(path).json()["evaluation"] is None
    store.put(key, kept)
    assert client.get(path).json()["evaluation"] == {"loss": 0.25}


def test_a_report_is_shown_in_the_callers_language_and_in_a_sandbox(client: httpx.Client, store: ObjectStore) -> None:
    put_model(store)
    path = "/api/models/seam/versions/model-1/report"
    problem(client.get(path), 404, "no report.html")
    for language, name in bundle.REPORTS.items():
        store.put(f"{bundle.folder_of('seam', 'model-1')}/{name}", f"<script>alert('{language}')</script>".encode())
    assert "'de'" in client.get(path, headers={"Accept-Language": "de"}).text
    answer = client.get(path)
    assert "'en'" in answer.text
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox;")
    assert "default-src 'none'" in policy
    assert "allow-scripts" not in policy
