"""Frames: found by their properties, and shown with their images."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from markupsafe import escape

from services.dashboard.settings import DashboardSettings
from services.dashboard.store.connection import open_redis
from shared.label_names import label_slug
from shared.messages import Finding, Heatmap, Verdict
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from tests.dashboards import inspected, problem, publish, soon
from tests.verdicts import Line, explanation_of


def test_a_frame_shows_its_verdict_and_its_images(client: httpx.Client, broker: Broker, store: ObjectStore) -> None:
    verdict = Line().verdict("break")
    folder = verdict.frame.storage_key
    store.put(f"{folder}/image.jpg", b"an image")
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
    assert frame["heatmaps"]["break"]["rarity"] == 0.004
    shown = {
        frame["image_url"]: (b"an image", "image/jpeg"),
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


@pytest.mark.parametrize("label", ["Größe: zu/klein 50 %", "..", "裂纹"])
def test_a_label_of_any_name_is_found_counted_and_shown(
    client: httpx.Client, broker: Broker, store: ObjectStore, label: str
) -> None:
    found = Finding(score=0.9, threshold=0.5, present=True, fault=True)
    verdict = Line().verdict("break", findings={label: found})
    key = f"{verdict.frame.storage_key}/heatmap.{label_slug(label)}.png"
    store.put(key, b"a heatmap")
    explanation = explanation_of(verdict)
    publish(broker, verdict, explanation.model_copy(update={"heatmaps": {label: Heatmap(key=key, for_label=True)}}))
    address = f"/api/frames/{verdict.frame.frame_id}"
    soon(lambda: client.get(address).json().get("explained"))
    assert client.get(client.get(address).json()["heatmaps"][label]["url"]).content == b"a heatmap"
    assert client.get("/api/frames", params={"label": label}).json()["frames"][0]["faults"] == [label]
    assert client.get("/api/quality", params={"label": label}).json()["chart"]["rate"]["value"] == 1
    for page in (f"/frames/{verdict.frame.frame_id}", "/quality", "/frames"):
        shown = client.get(page, params={"label": label}, headers={"accept": "text/html"})
        assert shown.status_code == 200
        assert escape(label) in shown.text


def test_frames_are_found_by_their_properties(client: httpx.Client, broker: Broker) -> None:
    line, other = Line(), Line("line-2")
    error = line.verdict(verdict=Verdict.ERROR, reason="zero bytes", findings={})
    frames = [line.verdict(), line.verdict("break"), line.verdict("error"), error, other.verdict("break")]
    publish(broker, *frames)
    soon(lambda: inspected(client) == 4)
    soon(lambda: inspected(client, "line-2") == 1)

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
    soon(lambda: inspected(client) == 60)
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


def test_an_invalid_cursor_is_refused(client: httpx.Client) -> None:
    for cursor in ("x", "e30", "bnVsbA", "WzEsMl0x"):
        problem(client.get("/api/frames", params={"before": cursor}), 422, "before")


def test_frames_are_found_by_time_batch_part_camera_and_score(client: httpx.Client, broker: Broker) -> None:
    start = datetime.now(UTC) - timedelta(minutes=30)
    line = Line(start=start)
    verdicts = []
    for number in range(12):
        verdict = line.verdict("break" if number % 2 else None, after=number * 60)
        identity = verdict.frame.model_copy(update={"batch": f"batch-{number // 6}", "part": f"part-{number}"})
        score = {**verdict.findings, "error": verdict.findings["error"].model_copy(update={"score": number / 20})}
        verdicts.append(verdict.model_copy(update={"frame": identity, "findings": score}))
    publish(broker, *verdicts)
    soon(lambda: inspected(client) == 12)

    def found(**query: str) -> list[int]:
        page = client.get("/api/frames", params=query).json()
        return sorted(int(frame["part"].removeprefix("part-")) for frame in page["frames"])

    def minute(number: int) -> str:
        return (start + timedelta(minutes=number)).isoformat()

    assert found(**{"from": minute(3), "to": minute(6)}) == [3, 4, 5]
    assert found(**{"from": minute(3), "to": minute(6), "verdict": "ng"}) == [3, 5]
    assert found(batch="batch-1") == [6, 7, 8, 9, 10, 11]
    assert found(part="part-4") == [4]
    assert found(camera="camera-2") == []
    assert found(label="error", score_from="0.1", score_to="0.2") == [2, 3, 4]
    assert found(label="error", score_to="0.05", verdict="ok") == [0]
    first = client.get("/api/frames", params={"to": minute(6), "from": minute(1), "limit": "3"}).json()
    rest = client.get("/api/frames", params={"to": minute(6), "from": minute(1), "before": first["next"]}).json()
    assert [frame["part"] for frame in first["frames"] + rest["frames"]] == [f"part-{n}" for n in (5, 4, 3, 2, 1)]
    assert rest["next"] is None
    best = client.get(
        "/api/frames", params={"label": "error", "order": "score", "score_from": "0", "limit": "3"}
    ).json()
    assert [frame["part"] for frame in best["frames"]] == ["part-11", "part-10", "part-9"]
    near = client.get("/api/frames", params={"label": "error", "order": "threshold", "limit": "3"}).json()
    assert {frame["part"] for frame in near["frames"]} == {"part-9", "part-10", "part-11"}
    assert (near["frames"][0]["part"], near["complete"], near["next"]) == ("part-10", True, None)
    problem(client.get("/api/frames", params={"order": "score"}), 422, "order: give the label")
    problem(client.get("/api/frames", params={"score_from": "0.5"}), 422, "the label of the score")
    problem(client.get("/api/frames", params={"label": "a", "score_from": "0.5", "score_to": "0.1"}), 422, "below")
    problem(client.get("/api/frames", params={"from": minute(3), "to": minute(2)}), 422, "before `to`")


def test_a_mark_of_a_wrong_verdict_survives_the_loss_of_redis(
    client: httpx.Client, broker: Broker, store: ObjectStore, settings: DashboardSettings
) -> None:
    verdict = Line().verdict("break")
    publish(broker, verdict)
    soon(lambda: inspected(client) == 1)
    frame = verdict.frame
    address = f"/api/frames/{frame.frame_id}/mark"
    answer = client.put(address, json={"note": "a shadow"})
    assert (answer.status_code, answer.json()["marked_by"], answer.json()["verdict"]) == (200, "local", "ng")
    assert client.put(address, json={"note": "a shadow of the needle"}).status_code == 200
    (key,) = store.keys("marks/")
    assert key == f"marks/line-1/{frame.captured_at:%Y-%m-%d}/{frame.frame_id}.json"

    with contextlib.closing(open_redis(settings)) as redis:
        redis.flushdb()
    (mark,) = client.get("/api/frames/marked", params={"line": "line-1"}).json()["marks"]
    assert (mark["frame"]["frame_id"], mark["note"]) == (frame.frame_id, "a shadow of the needle")
    assert mark["image_key"] == verdict.image_key
    assert client.get("/api/frames/marked", params={"line": "line-2"}).json() == {"marks": []}


def test_a_mark_can_be_removed(client: httpx.Client, broker: Broker) -> None:
    verdict = Line().verdict()
    publish(broker, verdict)
    soon(lambda: inspected(client) == 1)
    address = f"/api/frames/{verdict.frame.frame_id}/mark"
    assert client.put(address, json={}).status_code == 200
    for _ in range(2):
        assert client.delete(address).status_code == 204
    assert client.get("/api/frames/marked").json() == {"marks": []}
    nobody = "/api/frames/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042/mark"
    problem(client.put(nobody, json={}), 404, "no such frame")
    problem(client.delete(nobody), 404, "no such frame")
