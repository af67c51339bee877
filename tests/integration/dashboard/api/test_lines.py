"""Lines, their accounting and their rates, over a real HTTP server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from shared.contracts.live import LiveFrame, LiveImage, live_key
from shared.messages import CameraState
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from tests.dashboards import inspected, problem, publish, soon
from tests.verdicts import Line, explanation_of


def test_every_frame_is_accounted_for(client: httpx.Client, broker: Broker) -> None:
    line = Line()
    verdicts = list(line.verdicts(120))
    flagged = [verdict for verdict in verdicts if verdict.flagged]
    report = line.report(captured=125, dropped=3, waiting=2, unreadable=9, state=CameraState.FINISHED)
    publish(broker, *verdicts, *map(explanation_of, flagged), report, *verdicts[:10])
    soon(lambda: client.get("/api/lines/line-1/accounting").json().get("explained") == len(flagged))
    soon(lambda: client.get("/api/lines/line-1/accounting").json().get("captured") == 125)
    soon(lambda: client.get("/api/lines/line-1/accounting").json().get("waiting") == 2)  # stored after the counts
    soon(lambda: inspected(client) == 120)
    accounting = client.get("/api/lines/line-1/accounting").json()
    assert accounting["captured"] == accounting["inspected"] + accounting["dropped"] + accounting["in_flight"]
    assert (accounting["dropped"], accounting["parked"], accounting["in_flight"], accounting["waiting"]) == (3, 0, 2, 2)
    assert accounting["unreadable"] == 9
    assert accounting["flagged"] == accounting["explained"] == accounting["ng"] == len(flagged)
    breaks = sum(verdict.reason == "break" for verdict in verdicts)
    assert accounting["defect_rates"]["break"] == pytest.approx(breaks / 120)
    assert set(accounting["defect_rates"]) == {"good", "error", "break", "length"}
    assert accounting["labels"]["break"]["faults"] == breaks
    assert accounting["model_versions"] == ["model-1"]


def test_a_line_has_a_state(client: httpx.Client, broker: Broker) -> None:
    line = Line()
    publish(broker, line.verdict(), line.report(), line.verdict("break"))
    soon(lambda: inspected(client) == 2)
    soon(lambda: client.get("/api/lines/line-1").json()["cameras"])
    soon(lambda: client.get("/api/lines/line-1").json()["state"] == "ng")  # stored after the counts
    state = client.get("/api/lines/line-1").json()
    assert state["state"] == "ng"
    assert state["reason"] == "break"
    assert state["last_frame"]["verdict"] == "ng"
    assert (state["recipe"], state["model_version"]) == ("seam", "model-1")
    assert state["cameras"][0]["camera"] == "camera-1"
    assert [state["line"] for state in client.get("/api/lines").json()["lines"]] == ["line-1"]


def test_rates_are_given_by_minute_and_in_total(client: httpx.Client, broker: Broker) -> None:
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=3)
    line = Line(start=start)
    publish(broker, *(line.verdict("break" if second == 70 else None, after=second) for second in (10, 70, 80, 130)))
    soon(lambda: inspected(client) == 4)
    window = {"from": start.isoformat(), "to": (start + timedelta(minutes=3)).isoformat(), "step": "minute"}
    rates = client.get("/api/lines/line-1/rates", params=window).json()
    assert [(bucket["inspected"], bucket["ng"]) for bucket in rates["buckets"]] == [(1, 0), (2, 1), (1, 0)]
    assert rates["total"]["defect_rate"]["value"] == 0.25
    assert rates["total"]["labels"]["break"] == {
        "scored": 4,
        "present": 1,
        "faults": 1,
        "fault_rate": rates["total"]["defect_rate"],
        "presence_rate": rates["total"]["defect_rate"],
    }
    assert rates["total"]["defect_rate"]["low"] < 0.25 < rates["total"]["defect_rate"]["high"]


SENSELESS = [
    ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "before `to`"),
    ({"from": "2020-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "longer step"),
    ({"from": "1990-01-01T00:00:00Z", "to": "2200-12-31T23:59:59Z", "step": "day"}, "longer step"),
    ({"from": "2026-01-01T00:00:00"}, "query.from"),
    ({"step": "second"}, "query.step"),
]


def test_an_invalid_window_is_refused(client: httpx.Client, broker: Broker) -> None:
    publish(broker, Line().verdict())
    soon(lambda: inspected(client) == 1)
    for query, says in SENSELESS:
        problem(client.get("/api/lines/line-1/rates", params=query), 422, says)


def test_the_newest_image_of_a_camera_is_served_with_its_frame(
    client: httpx.Client, broker: Broker, store: ObjectStore
) -> None:
    verdict = Line().verdict("break")
    publish(broker, verdict)
    soon(lambda: inspected(client) == 1)
    path = "/api/lines/line-1/cameras/camera-1/image"
    problem(client.get(path), 404, "no image of camera 'camera-1'")
    problem(client.get("/api/lines/line-9/cameras/camera-1/image"), 404, "there is no line")
    about = LiveFrame(frame=verdict.frame, verdict=verdict.verdict, reason="a break", encoding="jpeg")
    store.put(live_key("line-1", "camera-1"), LiveImage(about, b"the image").encode())
    answer = client.get(path)
    assert (answer.content, answer.headers["content-type"]) == (b"the image", "image/jpeg")
    assert (answer.headers["Frame-Id"], answer.headers["Reason"]) == (verdict.frame.frame_id, "a%20break")
    assert client.get(path, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
