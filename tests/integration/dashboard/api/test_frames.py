"""Frames: found by what they are, and shown with their pictures."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx

from shared.messages import Verdict
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from tests.dashboards import judged, problem, publish, soon
from tests.verdicts import Line, explanation_of


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


def test_a_cursor_of_ones_own_making_is_refused(client: httpx.Client) -> None:
    for cursor in ("x", "e30", "bnVsbA", "WzEsMl0x"):
        problem(client.get("/api/frames", params={"before": cursor}), 422, "before")
