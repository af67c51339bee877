"""The outputs of a line to the factory: shown as the gateway reports them, and tested by a person."""

from __future__ import annotations

import httpx

from shared.messages import CheckCause, DueCheck, GatewayReported, OutputReport, OutputTestRequested, decode
from shared.messaging.port import Broker
from shared.topology import GATEWAY_COMMANDS
from tests.dashboards import inspected, problem, publish, soon
from tests.messages import MOMENT
from tests.verdicts import Line, decision_of

ERROR = "the PLC did not acknowledge a result in time"
GATE = OutputReport(
    name="gate", type="modbus", failing=False, decisions=9, filtered=6, sent=2, missed=1, waiting=0, last_error=ERROR
)
REPORT = GatewayReported(gateway="gateway-1", line="line-1", online=True, outputs=(GATE,), at=MOMENT)


def test_the_line_shows_its_outputs_and_a_test_reaches_the_gateway(client: httpx.Client, broker: Broker) -> None:
    publish(broker, Line().verdict(), REPORT)
    soon(lambda: inspected(client) == 1)
    soon(lambda: client.get("/api/lines/line-1").json()["gateway"])
    gateway = client.get("/api/lines/line-1").json()["gateway"]
    assert (gateway["gateway"], gateway["online"], gateway["lost"]) == ("gateway-1", True, False)
    assert gateway["outputs"] == [GATE.model_dump(mode="json")]
    answer = client.post("/api/lines/line-1/outputs/gate/tests")
    assert answer.status_code == 202
    (delivery,) = broker.subscribe(GATEWAY_COMMANDS, 1).receive(1, 60)
    request = decode(delivery.body)
    assert isinstance(request, OutputTestRequested)
    assert (request.line, request.output, request.test_id) == ("line-1", "gate", answer.json()["test_id"])
    problem(client.post("/api/lines/line-1/outputs/other/tests"), 404, "its outputs are gate")


def test_the_line_says_which_check_is_due_and_counts_the_parts_of_this_time(
    client: httpx.Client, broker: Broker
) -> None:
    line = Line()
    decisions = [decision_of(line.verdict(), unchecked=True), decision_of(line.verdict())]
    due = DueCheck(cause=CheckCause.SHIFT, since=MOMENT)
    publish(broker, line.verdict(), *decisions, REPORT.model_copy(update={"due_check": due}))
    soon(lambda: inspected(client) == 1)
    soon(lambda: (client.get("/api/lines/line-1").json()["accounting"]["parts"] or {}).get("decided") == 2)
    soon(lambda: client.get("/api/lines/line-1").json()["gateway"])
    found = client.get("/api/lines/line-1").json()
    assert found["accounting"]["parts"]["unchecked"] == 1
    gateway = found["gateway"]
    assert (gateway["online"], gateway["ready"], gateway["due_check"]) == (True, False, due.model_dump(mode="json"))
    assert client.get("/api/lines/line-1/checks").json()["due"] == gateway["due_check"]
    assert "Not ready: a check is due since" in client.get("/checks/line-1").text


def test_a_line_without_a_gateway_has_no_outputs(client: httpx.Client, broker: Broker) -> None:
    publish(broker, Line().verdict())
    soon(lambda: inspected(client) == 1)
    assert client.get("/api/lines/line-1").json()["gateway"] is None
    problem(client.post("/api/lines/line-1/outputs/gate/tests"), 404, "no gateway has reported outputs")
