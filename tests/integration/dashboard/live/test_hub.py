"""The live stream."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.dashboard.live import hub as live
from services.dashboard.settings import DashboardSettings
from shared.messaging.port import Broker
from tests.dashboards import embedded_settings, open_dashboard, problem, publish, redis_of, soon
from tests.verdicts import Line, explanation_of


@pytest.fixture
def client(settings: DashboardSettings, broker: Broker) -> Iterator[httpx.Client]:
    with open_dashboard(settings, broker) as opened:
        yield opened


def events(stream: httpx.Response) -> Iterator[tuple[str, Any]]:
    name = ""
    for row in stream.iter_lines():
        if row.startswith("event: "):
            name = row.removeprefix("event: ")
        elif row.startswith("data: "):
            yield name, json.loads(row.removeprefix("data: "))


def first(stream: Iterator[tuple[str, Any]], wanted: str, **fields: object) -> Any:
    """The first event of a name with such fields, within a while."""
    deadline = time.monotonic() + 200
    for name, data in stream:
        assert time.monotonic() < deadline, f"no {wanted} with {fields}"
        if name == wanted and all(data[field] == value for field, value in fields.items()):
            return data
    raise AssertionError("the stream ended")


def test_a_new_ng_frame_arrives_and_again_when_it_is_explained(client: httpx.Client, broker: Broker) -> None:
    line = Line()
    with client.stream("GET", "/api/events") as stream:
        arriving = events(stream)
        first(arriving, "beat")
        verdict = line.verdict("break")
        publish(broker, line.verdict(), verdict)
        frame = first(arriving, "frame", frame_id=verdict.frame.frame_id)
        assert (frame["verdict"], frame["explained"]) == ("ng", False)
        publish(broker, explanation_of(verdict))
        frame = first(arriving, "frame", frame_id=verdict.frame.frame_id, explained=True)
        assert set(frame["heatmaps"]) == {"good", "break"}


def test_the_states_are_sent_first_after_every_connection(client: httpx.Client, broker: Broker) -> None:
    publish(broker, Line().verdict("break"))
    for _ in range(2):
        with client.stream("GET", "/api/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            state = first(events(stream), "line", line="line-1")
            assert state["accounting"]["ng"] == 1


def test_a_line_is_sent_when_it_changes(client: httpx.Client, broker: Broker) -> None:
    line = Line()
    publish(broker, line.verdict())
    with client.stream("GET", "/api/events") as stream:
        arriving = events(stream)
        first(arriving, "line", state="ok")
        publish(broker, line.verdict("error"))
        assert first(arriving, "line", state="ng")["reason"] == "error"


def test_each_of_several_dashboards_sends_every_frame(tmp_path: Path, broker: Broker, redis_url: str) -> None:
    one, other = (embedded_settings(tmp_path, **redis_of(redis_url)) for _ in range(2))
    verdicts = [Line().verdict("break") for _ in range(6)]
    with open_dashboard(one, broker) as here, open_dashboard(other, broker) as there:
        both_listen = threading.Barrier(3)
        heard: dict[str, set[str]] = {"here": set(), "there": set()}

        def listen(name: str, client: httpx.Client) -> None:
            with client.stream("GET", "/api/events") as stream:
                arriving = events(stream)
                next(arriving)
                both_listen.wait(120)
                for event, data in arriving:
                    if event == "frame":
                        heard[name].add(data["frame_id"])
                    if len(heard[name]) == len(verdicts):
                        return

        threads = [threading.Thread(target=listen, args=pair) for pair in (("here", here), ("there", there))]
        for thread in threads:
            thread.start()
        both_listen.wait(120)
        for verdict in verdicts:
            publish(broker, verdict)
        for thread in threads:
            thread.join(200)
    assert heard["here"] == heard["there"] == {verdict.frame.frame_id for verdict in verdicts}


def test_a_page_that_does_not_read_delays_no_other(client: httpx.Client, broker: Broker) -> None:
    with client.stream("GET", "/api/events"), client.stream("GET", "/api/events") as reading:
        line = Line()
        publish(broker, *(line.verdict("break") for _ in range(300)))
        arriving = events(reading)
        while first(arriving, "line")["accounting"]["inspected"] < 300:
            pass


def test_too_many_pages_of_a_person_are_refused_at_once_until_one_closes(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_OF_ONE", 2)
    with client.stream("GET", "/api/events") as one, client.stream("GET", "/api/events") as other:
        listening = [events(one), events(other)]  # one that is dropped closes its connection
        for stream in listening:
            next(stream)
        answer = client.get("/api/events")
        problem(answer, 503, "2 pages open that listen")
        assert "retry-after" in answer.headers
    soon(lambda: listens(client), "a place to be free")


def listens(client: httpx.Client) -> bool:
    with client.stream("GET", "/api/events") as stream:
        return stream.status_code == 200
