"""Heatmaps on request: requested by a POST, made by the explainer, shown once they are there."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from services.dashboard.web.callers import LOCAL
from shared.messages import ExplanationRequested, FrameInspected, Heatmap, decode
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from shared.topology import EXPLAINER_REQUESTS
from tests.dashboards import inspected, problem, publish, put_model, soon
from tests.verdicts import Line, explanation_of


@pytest.fixture
def passed(client: httpx.Client, broker: Broker, store: ObjectStore) -> FrameInspected:
    """A frame found ok, whose image was kept."""
    verdict = Line().verdict()
    verdict = verdict.model_copy(update={"image_key": f"{verdict.frame.storage_key}/image.jpg"})
    store.put(str(verdict.image_key), b"an image")
    publish(broker, verdict)
    soon(lambda: inspected(client) == 1)
    return verdict


def _address(verdict: FrameInspected) -> str:
    return f"/api/frames/{verdict.frame.frame_id}/explanation"


def _asked(broker: Broker) -> list[ExplanationRequested]:
    subscription = broker.subscribe(EXPLAINER_REQUESTS, 10)
    deliveries = subscription.receive(10, 60.0)
    subscription.acknowledge(deliveries)
    subscription.close()
    messages = [decode(delivery.body) for delivery in deliveries]
    return [message for message in messages if isinstance(message, ExplanationRequested)]


def test_a_frame_that_passed_is_explained_on_request(
    client: httpx.Client, broker: Broker, passed: FrameInspected
) -> None:
    problem(client.get(_address(passed)), 404, "were not requested")
    first = client.post(_address(passed))
    assert first.status_code == 202
    assert first.headers["location"] == f"/api/frames/{passed.frame.frame_id}"
    assert first.json()["state"] == "under way"
    assert client.post(_address(passed)).status_code == 202
    assert client.get(_address(passed)).status_code == 202
    (request,) = _asked(broker)
    assert request.verdict == passed
    assert (request.labels, request.by) == ((), LOCAL.name)

    heatmap = Heatmap(
        key=f"{passed.frame.storage_key}/heatmap.length.png", for_label=True, peak=(1, 2), box=(0, 0, 5, 5)
    )
    answer = explanation_of(passed).model_copy(update={"heatmaps": {"length": heatmap}, "flagged": False})
    publish(broker, answer)
    soon(lambda: client.get(_address(passed)).status_code == 200)
    shown = client.get(_address(passed)).json()
    assert shown["state"] == "ready"
    assert shown["heatmaps"]["length"]["peak"] == [1, 2]
    assert shown["reason"] == ""
    assert broker.depth(EXPLAINER_REQUESTS.name).total == 0


def test_requested_explanations_do_not_count_in_the_accounting(
    client: httpx.Client, broker: Broker, passed: FrameInspected
) -> None:
    publish(broker, explanation_of(passed).model_copy(update={"flagged": False}))
    soon(lambda: client.get(f"/api/frames/{passed.frame.frame_id}").json()["explained"])
    assert client.get("/api/lines/line-1/accounting").json()["explained"] == 0


def test_a_further_label_is_requested_together_with_the_present_ones(
    client: httpx.Client, broker: Broker, store: ObjectStore
) -> None:
    verdict = Line().verdict("break")
    store.put(str(verdict.image_key), b"an image")
    publish(broker, verdict, explanation_of(verdict))
    soon(lambda: client.get(f"/api/frames/{verdict.frame.frame_id}").json().get("explained"))
    assert client.get(_address(verdict)).status_code == 200
    assert client.get(_address(verdict), params={"label": "break"}).status_code == 200
    problem(client.get(_address(verdict), params={"label": "length"}), 404, "were not requested")
    assert client.post(_address(verdict), params={"label": "length"}).status_code == 202
    (request,) = _asked(broker)
    assert set(request.labels) == {"good", "break", "length"}


def test_the_reason_for_missing_heatmaps_is_shown_without_a_second_request(
    client: httpx.Client, broker: Broker, passed: FrameInspected
) -> None:
    assert client.post(_address(passed)).status_code == 202
    gone = explanation_of(passed).model_copy(
        update={
            "heatmaps": {},
            "reason": "model model-1, of this frame, is gone",
            "at": datetime.now(UTC),
        }
    )
    publish(broker, gone)
    soon(lambda: client.get(_address(passed)).status_code == 200)
    assert client.post(_address(passed)).json()["reason"] == "model model-1, of this frame, is gone"
    assert len(_asked(broker)) == 1


def test_an_impossible_explanation_is_refused(
    client: httpx.Client, broker: Broker, store: ObjectStore, passed: FrameInspected
) -> None:
    problem(client.post(_address(passed), params={"label": "mood"}), 422, "the model of this frame has no mood")
    store.delete(str(passed.image_key))
    problem(client.post(_address(passed)), 404, "the image of this frame is not stored")
    problem(client.post("/api/frames/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042/explanation"), 404, "no such frame")
    assert broker.depth(EXPLAINER_REQUESTS.name).total == 0


def test_a_page_of_another_site_cant_request_heatmaps(
    client: httpx.Client, broker: Broker, passed: FrameInspected
) -> None:
    strange = {"Sec-Fetch-Site": "cross-site"}
    problem(client.post(_address(passed), headers=strange), 403, "a page of another site")
    problem(client.get(_address(passed), headers=strange), 404, "were not requested")
    assert broker.depth(EXPLAINER_REQUESTS.name).total == 0


def test_heatmaps_that_are_not_trustworthy_are_marked_everywhere(
    client: httpx.Client, broker: Broker, store: ObjectStore
) -> None:
    why = "its peaks do not point better than the middle of the image does"
    measured = {
        "break": {"for_label": True, "trustworthy": False, "reason": why},
        "good": {"for_label": False, "trustworthy": True, "reason": ""},
    }
    put_model(store, heatmaps={"method": "grad-cam", "labels": measured})
    verdict = Line().verdict("break")
    publish(broker, verdict, explanation_of(verdict))
    soon(lambda: client.get(f"/api/frames/{verdict.frame.frame_id}").json().get("explained"))
    model = client.get("/api/models/seam/versions/model-1").json()
    assert {label["name"]: (label["trustworthy"], label["heatmap_problem"]) for label in model["labels"]} == {
        "good": (True, ""),
        "error": (None, ""),
        "break": (False, why),
        "length": (None, ""),
    }
    for address in (f"/api/frames/{verdict.frame.frame_id}", _address(verdict)):
        heatmaps = client.get(address).json()["heatmaps"]
        assert {label: heatmap["trustworthy"] for label, heatmap in heatmaps.items()} == {"good": True, "break": False}
    page = client.get(f"/frames/{verdict.frame.frame_id}").text
    assert page.count("localisation not verified") == 1
    assert why in page


def test_trust_in_one_direction_of_heatmaps_does_not_hold_for_the_other(
    client: httpx.Client, broker: Broker, store: ObjectStore
) -> None:
    why = "its peaks do not point better than the middle of the image does"
    measured = {
        "good": {"for_label": False, "trustworthy": True, "reason": ""},
        "break": {"for_label": True, "trustworthy": False, "reason": why},
        "error": {"trustworthy": True, "reason": ""},
    }
    put_model(store, heatmaps={"method": "grad-cam", "labels": measured})
    verdict = Line().verdict("break")
    answer = explanation_of(verdict)
    turned = {
        label: answer.heatmaps["break"].model_copy(update={"for_label": for_label})
        for label, for_label in {"good": True, "break": False, "error": True}.items()
    }
    publish(broker, verdict, answer.model_copy(update={"heatmaps": turned}))
    soon(lambda: client.get(f"/api/frames/{verdict.frame.frame_id}").json().get("explained"))
    heatmaps = client.get(f"/api/frames/{verdict.frame.frame_id}").json()["heatmaps"]
    assert {label: heatmap["trustworthy"] for label, heatmap in heatmaps.items()} == dict.fromkeys(turned)
    page = client.get(f"/frames/{verdict.frame.frame_id}").text
    assert page.count("localisation not measured") == 3
    assert "localisation not verified" not in page
    model = client.get("/api/models/seam/versions/model-1").json()
    assert {label["name"]: label["measured_for_label"] for label in model["labels"]} == {
        "good": False,
        "error": None,
        "break": True,
        "length": None,
    }


@pytest.mark.parametrize("heatmaps", [None, {}, {"labels": {"break": 3}}, "unheard of"])
def test_an_evaluation_without_heatmaps_marks_none(client: httpx.Client, store: ObjectStore, heatmaps: object) -> None:
    put_model(store, heatmaps=heatmaps)
    model = client.get("/api/models/seam/versions/model-1").json()
    assert [label["trustworthy"] for label in model["labels"]] == [None] * 4
