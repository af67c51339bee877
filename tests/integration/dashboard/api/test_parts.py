"""Decisions about parts are counted beside frames, each once."""

from __future__ import annotations

import httpx

from shared.messages import PartAction, PartVerdict
from shared.messaging.port import Broker
from tests.dashboards import inspected, publish, soon
from tests.verdicts import Line, decision_of


def test_parts_are_ok_or_ng_or_not_inspected_and_counted_once(client: httpx.Client, broker: Broker) -> None:
    line = Line()
    verdicts = [line.verdict("break" if number == 3 else None) for number in range(10)]
    decisions = [decision_of(verdict) for verdict in verdicts]
    missing = {"verdict": PartVerdict.NOT_INSPECTED, "action": PartAction.STOP}
    decisions[9] = decisions[9].model_copy(update=missing)
    publish(broker, *verdicts, *decisions, *decisions[:4], decisions[9])
    soon(lambda: inspected(client) == 10)
    soon(lambda: (client.get("/api/lines/line-1/accounting").json()["parts"] or {}).get("decided") == 10)
    parts = client.get("/api/lines/line-1/accounting").json()["parts"]
    assert (parts["ok"], parts["ng"], parts["not_inspected"]) == (8, 1, 1)
    assert parts["defect_rate"]["value"] == 1 / 9
    soon(lambda: client.get("/api/lines/line-1").json()["last_part"])  # stored after the counts
    last = client.get("/api/lines/line-1").json()["last_part"]
    assert (last["part"], last["action"]) == (decisions[9].part, "stop")
    assert client.get("/api/quality", params={"line": "line-1"}).json()["parts"] == parts
    (batch,) = client.get("/api/lines/line-1/batches").json()["batches"]
    assert batch["parts"] == parts


def test_a_line_without_decisions_has_no_parts(client: httpx.Client, broker: Broker) -> None:
    publish(broker, Line().verdict())
    soon(lambda: inspected(client) == 1)
    line = client.get("/api/lines/line-1").json()
    assert line["last_part"] is line["accounting"]["parts"] is None
