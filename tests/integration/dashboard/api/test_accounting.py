"""The accounting of frames, and the decisions about parked messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from shared.messages import TrainingRequested, decode
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from shared.topology import INFERENCE_FRAMES, TRAINER_COMMANDS
from tests.dashboards import captured, inspected, park, problem, publish, soon
from tests.verdicts import Line

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)


def _parked(client: httpx.Client) -> list[dict[str, Any]]:
    """What the last look found: a look is shown again for some seconds."""
    found: list[dict[str, Any]] = client.get("/api/parked").json()["parked"]
    return found


def test_frames_are_accounted_for_by_camera_and_hour(client: httpx.Client, broker: Broker) -> None:
    left, right = Line(camera="left", start=HOUR), Line(camera="right", start=HOUR + timedelta(hours=1))
    verdicts = [*left.verdicts(20), *right.verdicts(10)]
    park(broker, INFERENCE_FRAMES, [captured(left)], "the worker died of it")
    reports = [
        left.report(
            captured=25, dropped=2, unreadable=7, triggers=28, missed_triggers=3, at=HOUR + timedelta(minutes=5)
        ),
        right.report(at=HOUR + timedelta(minutes=65)),
    ]
    publish(broker, *verdicts, *reports)
    soon(lambda: inspected(client) == 30)
    soon(lambda: client.get("/api/lines/line-1/accounting").json()["captured"] == 35)
    soon(lambda: client.get("/api/lines/line-1/accounting").json()["missed_triggers"] == 3)
    soon(lambda: len(_parked(client)) == 1)

    account = client.get("/api/accounting", params={"line": "line-1"}).json()
    one = {"captured": 25, "inspected": 20, "dropped": 2, "parked": 1, "in_flight": 2, "unreadable": 7}
    one |= {"triggers": 28, "missed_triggers": 3}
    other = {**dict.fromkeys(one, 0), "captured": 10, "inspected": 10}
    cameras = {row["camera"]: {name: row[name] for name in one} for row in account["cameras"]}
    assert cameras == {"left": one, "right": other}
    hours = {(row["camera"], datetime.fromisoformat(row["start"])): row["captured"] for row in account["hours"]}
    assert hours == {("left", HOUR): 25, ("right", HOUR + timedelta(hours=1)): 10}
    assert account["total"] == {name: one[name] + other[name] for name in one}
    assert account["complete"]
    none = client.get("/api/accounting", params={"to": (HOUR - timedelta(hours=1)).isoformat()}).json()
    assert none["total"]["captured"] == 0


def test_a_camera_of_which_no_image_was_readable_is_accounted_for(client: httpx.Client, broker: Broker) -> None:
    blind = Line(camera="blind", start=HOUR)
    publish(broker, blind.report(captured=0, unreadable=12, at=HOUR), blind.report(captured=0, unreadable=40, at=HOUR))
    soon(lambda: client.get("/api/accounting").json()["total"]["unreadable"] == 40)
    account = client.get("/api/accounting").json()
    assert [(row["camera"], row["captured"], row["unreadable"]) for row in account["cameras"]] == [("blind", 0, 40)]
    assert client.get("/api/lines/line-1/accounting").json()["unreadable"] == 40


def test_a_parked_message_is_replayed_once_with_the_name_of_the_person(client: httpx.Client, broker: Broker) -> None:
    frame = captured(Line())
    park(broker, INFERENCE_FRAMES, [frame, captured(Line(camera="camera-2"))], "not an image")
    soon(lambda: len(_parked(client)) == 2)
    found = client.get("/api/parked").json()
    assert found["waiting"] == {"inference.frames": 2}
    assert found["complete"]
    assert {each["author"] for each in found["parked"]} == {"line-1, camera-1", "line-1, camera-2"}
    parked = next(each for each in found["parked"] if each["frame_id"] == frame.frame.frame_id)
    assert (parked["reason"], parked["message"]) == ("not an image", "FrameCaptured")

    address = f"/api/parked/inference.frames/{parked['id']}/replay"
    answer = client.post(address, json={"note": "the worker is repaired"})
    assert (answer.status_code, answer.json()["by"]) == (200, "local")
    # RabbitMQ gives the other one back a moment later
    soon(lambda: broker.depth(INFERENCE_FRAMES.parked).total == 1)
    subscription = broker.subscribe(INFERENCE_FRAMES, 10)
    (delivery,) = subscription.receive(1, 60.0)
    assert decode(delivery.body) == frame
    subscription.acknowledge([delivery])
    subscription.close()

    problem(client.post(address, json={}), 404, "no such message is parked")
    (decision,) = client.get("/api/parked/decisions").json()["decisions"]
    assert (decision["action"], decision["note"], decision["parked"]["id"]) == (
        "replay",
        "the worker is repaired",
        parked["id"],
    )


def test_a_discarded_message_leaves_the_broker_and_stays_in_storage(
    client: httpx.Client, broker: Broker, store: ObjectStore
) -> None:
    order = TrainingRequested(training_id="t-1", recipe="seam", dataset="x", by="eva", at=datetime.now(UTC))
    park(broker, TRAINER_COMMANDS, [order], "no such data set")
    soon(lambda: len(_parked(client)) == 1)
    (parked,) = _parked(client)
    assert parked["author"] == "eva"
    answer = client.post(f"/api/parked/trainer.commands/{parked['id']}/discard", json={})
    assert answer.status_code == 200
    assert broker.depth(TRAINER_COMMANDS.parked).total == broker.depth(TRAINER_COMMANDS.name).total == 0
    (key,) = store.keys("parked/")
    assert b"no such data set" in store.get(key)
    found = client.get("/api/parked").json()
    assert datetime.fromisoformat(found.pop("at")) <= datetime.now(UTC)
    assert found == {"parked": [], "waiting": {}, "complete": True, "next": None}


def test_an_impossible_decision_is_refused(client: httpx.Client) -> None:
    nobody = "0" * 24
    problem(client.post(f"/api/parked/no.queue/{nobody}/replay", json={}), 404, "no queue")
    problem(client.post(f"/api/parked/inference.frames/{nobody}/replay", json={"why": 1}), 422, "body.why")
    problem(client.post("/api/parked/inference.frames/..%2F/discard", json={}), 404, "Not Found")
    week = {"from": "2026-01-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"}
    problem(client.get("/api/accounting", params=week), 422, "at most 31 days")
    problem(client.get("/api/accounting", params={"line": "line-9"}), 404, "there is no line")
