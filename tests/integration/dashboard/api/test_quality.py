"""Quality over time: rates with control limits, signals, the comparison of two windows, and batches."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from io import StringIO

import httpx
import pytest

from shared.messaging.port import Broker
from tests.dashboards import inspected, problem, publish, soon
from tests.verdicts import Line

MINUTE = timedelta(minutes=1)
START = datetime.now(UTC).replace(second=0, microsecond=0) - 60 * MINUTE


def window(first: datetime, last: datetime, **more: str) -> dict[str, str]:
    return {"from": first.isoformat(), "to": last.isoformat(), **more}


def play(broker: Broker, client: httpx.Client) -> None:
    """Forty minutes with a hundred frames each: one in twenty breaks, then every fourth, inspected by another model."""
    line, verdicts = Line(start=START), []
    for minute in range(40):
        often, model = (20, "model-1") if minute < 30 else (4, "model-2")
        verdicts += [
            line.verdict("break" if number % often == 0 else None, after=minute * 60 + number / 2, model_version=model)
            for number in range(100)
        ]
    publish(broker, *verdicts)
    soon(lambda: inspected(client) == 4000)


def test_a_raised_defect_rate_is_signalled_where_it_begins(client: httpx.Client, broker: Broker) -> None:
    play(broker, client)
    asked = window(START, START + 40 * MINUTE, subgroup="minute", line="line-1", label="break")
    view = client.get("/api/quality", params=asked).json()
    chart = view["chart"]
    assert (chart["subgroup"], chart["frames"], chart["hits"]) == ("minute", 4000, 30 * 5 + 10 * 25)
    assert len(chart["points"]) == 40
    assert [point["hits"] for point in chart["points"]] == [5] * 30 + [25] * 10
    signals = [index for index, point in enumerate(chart["points"]) if "beyond" in point["rules"] and point["above"]]
    assert signals == list(range(30, 40))
    assert chart["changes"] == [{"at": (START + 30 * MINUTE).isoformat().replace("+00:00", "Z"), "version": "model-2"}]
    assert [(label["label"], label["faults"]) for label in view["labels"]][:2] == [("break", 400), ("good", 400)]
    assert view["labels"][0]["cumulative"] == 0.5

    before = window(START + 30 * MINUTE, START + 40 * MINUTE, subgroup="minute", limits="before")
    late = client.get("/api/quality", params=before).json()["chart"]
    assert late["centre"] == pytest.approx(0.05)
    assert all("beyond" in point["rules"] for point in late["points"])


def test_slices_of_lines_have_their_own_rates(client: httpx.Client, broker: Broker) -> None:
    play(broker, client)
    other = Line("line-2", camera="camera-9", start=START)
    publish(broker, *(other.verdict("error" if second % 2 else None, after=second) for second in range(20)))
    soon(lambda: inspected(client, "line-2") == 20)

    def counted(**part: str) -> tuple[int, int]:
        chart = client.get("/api/quality", params=window(START, START + 40 * MINUTE, **part)).json()["chart"]
        return chart["hits"], chart["frames"]

    assert counted() == (410, 4020)
    assert counted(line="line-2") == counted(camera="camera-9") == (10, 20)
    assert counted(model="model-2") == (250, 1000)
    assert counted(batch="batch-7", label="error") == (10, 4020)
    assert counted(subgroup="week") == counted(subgroup="shift") == counted(subgroup="day") == (410, 4020)
    choices = client.get("/api/quality/choices").json()
    assert choices["cameras"] == ["camera-1", "camera-9"]
    assert choices["models"] == ["model-1", "model-2"]
    assert choices["labels"] == ["break", "error", "good", "length"]
    assert (choices["lines"], choices["shifts"]) == (["line-1", "line-2"], 3)


def test_the_rates_of_one_shift_are_shown_alone(client: httpx.Client, broker: Broker) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    line = Line(start=midnight - timedelta(days=2))
    hours = (7, 15, 23, 24 + 7)
    publish(broker, *(line.verdict("break" if hour == 15 else None, after=hour * 3600) for hour in hours))
    soon(lambda: inspected(client) == 4)
    asked = window(midnight - timedelta(days=2), midnight - timedelta(hours=1), shift="1")
    points = client.get("/api/quality", params=asked).json()["chart"]["points"]
    assert [(point["shift"], point["frames"], point["hits"]) for point in points] == [(1, 1, 0), (1, 1, 0)]
    second = client.get("/api/quality", params={**asked, "shift": "2"}).json()["chart"]
    assert (second["hits"], second["frames"], second["subgroup"]) == (1, 1, "shift")


def test_two_windows_are_compared_with_an_interval_of_the_difference(client: httpx.Client, broker: Broker) -> None:
    play(broker, client)
    asked = window(START + 30 * MINUTE, START + 40 * MINUTE, subgroup="minute")
    rows = {row["label"]: row for row in client.get("/api/quality/comparison", params=asked).json()["rows"]}
    overall = rows[None]
    assert (overall["window"]["hits"], overall["against"]["hits"]) == (250, 50)
    assert overall["difference"]["value"] == pytest.approx(0.2)
    assert 0.16 < overall["difference"]["low"] < 0.2 < overall["difference"]["high"] < 0.24
    assert overall["difference"]["certain"]
    assert not rows["error"]["difference"]["certain"]
    same = {**asked, "against_from": START.isoformat(), "against_to": (START + 1 * MINUTE).isoformat()}
    assert client.get("/api/quality/comparison", params=same).json()["rows"][0]["against"]["frames"] == 100


def test_the_points_of_a_chart_are_exported_as_csv(client: httpx.Client, broker: Broker) -> None:
    play(broker, client)
    asked = window(START, START + 40 * MINUTE, subgroup="minute", label="break")
    answer = client.get("/api/quality/table.csv", params=asked)
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(StringIO(answer.text)))
    assert len(rows) == 40
    assert (rows[0]["frames"], rows[0]["hits"], float(rows[0]["rate"])) == ("100", "5", 0.05)
    assert "beyond" in rows[30]["rules"].split("; ")
    assert rows[30]["models"] == "model-2: 100"


def test_a_batch_is_reported_with_its_worst_frames(client: httpx.Client, broker: Broker) -> None:
    line = Line(start=START)
    verdicts = [line.verdict("break" if number in (3, 5) else None) for number in range(10)]
    worst = verdicts[5]
    findings = {**worst.findings, "break": worst.findings["break"].model_copy(update={"score": 0.99})}
    verdicts[5] = worst.model_copy(update={"findings": findings})
    publish(broker, *verdicts)
    soon(lambda: inspected(client) == 10)
    (batch,) = client.get("/api/lines/line-1/batches").json()["batches"]
    assert (batch["batch"], batch["inspected"], batch["ng"]) == ("batch-7", 10, 2)
    report = client.get("/api/lines/line-1/batches/batch-7").json()
    assert report["models"] == {"model-1": 10}
    assert report["batch"]["rate"]["low"] < 0.2 < report["batch"]["rate"]["high"]
    assert datetime.fromisoformat(report["batch"]["first_captured_at"]) == verdicts[0].frame.captured_at
    assert [frame["frame_id"] for frame in report["worst"]] == [verdicts[5].frame.frame_id, verdicts[3].frame.frame_id]
    problem(client.get("/api/lines/line-1/batches/batch-8"), 404, "there is no such batch")


SENSELESS = [
    ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "before `to`"),
    ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "subgroup": "minute"}, "are stored for 2 days"),
    ({"from": "1990-01-01T00:00:00Z", "to": "2200-12-31T23:59:59Z"}, "at most 20 years"),
    ({"to": "1990-01-01T00:00:00Z"}, "from 1990"),
    ({"from": "2010-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z", "subgroup": "day"}, "more than 800 points"),
    ({"camera": "a", "batch": "b"}, "give no batch and no model beside it"),
    ({"shift": "1", "subgroup": "hour"}, "points are shifts"),
    ({"subgroup": "second"}, "query.subgroup"),
    ({"label": "x" * 65}, "query.label"),
]


def test_an_inconsistent_filter_is_refused(client: httpx.Client) -> None:
    for query, says in SENSELESS:
        problem(client.get("/api/quality", params=query), 422, says)
        problem(client.get("/api/quality/comparison", params=query), 422, says)


def test_rates_are_compared_by_model_batch_camera_and_shift(client: httpx.Client, broker: Broker) -> None:
    line, other = Line(), Line(camera="camera-2")
    publish(
        broker,
        *(line.verdict("break" if number < 3 else None) for number in range(10)),
        *(other.verdict("error" if number < 1 else None, model_version="model-2") for number in range(5)),
    )
    soon(lambda: inspected(client) == 15)

    def groups(by: str, **query: str) -> dict[str, tuple[int, int]]:
        answer = client.get("/api/quality/breakdown", params={"by": by, **query}).json()
        assert all(
            group["rate"]["low"] <= group["rate"]["value"] <= group["rate"]["high"] for group in answer["groups"]
        )
        return {group["name"]: (group["hits"], group["frames"]) for group in answer["groups"]}

    assert groups("model") == {"model-1": (3, 10), "model-2": (1, 5)}
    assert groups("camera", label="break") == {"camera-1": (3, 10), "camera-2": (0, 5)}
    assert groups("batch") == {"batch-7": (4, 15)}
    assert list(groups("shift").values()) == [(4, 15)]
    table = client.get("/api/quality/breakdown.csv", params={"by": "model", "label": "break", "line": "line-1"})
    assert table.text.splitlines()[0] == "model,label,frames,hits,rate,rate_low,rate_high"
    assert "\nmodel-1,break,10,3,0.3," in table.text.replace("\r", "")
    assert 'filename="quality-by-model-line-1-break-' in table.headers["content-disposition"]
    both = client.get("/api/quality", params={"batch": "batch-7", "model": "model-2"}).json()
    assert (both["chart"]["hits"], both["chart"]["frames"]) == (1, 5)
    problem(client.get("/api/quality/breakdown", params={"by": "batch", "camera": "camera-1"}), 422, "by: choose no")
