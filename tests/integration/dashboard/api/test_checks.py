"""The start-of-shift check: the challenge set of a line, the request to the gateway, and the record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from services.dashboard.checks import repository
from shared.contracts.dataset import LabelledImage, make_version, put_image, write_version
from shared.imaging.codec import encode
from shared.messages import (
    ChallengePart,
    CheckReport,
    CheckRequested,
    CheckState,
    GatewayReported,
    PartVerdict,
    decode,
)
from shared.messaging.port import Broker
from shared.storage.port import ObjectStore
from shared.topology import GATEWAY_COMMANDS
from tests.challenges import check, record_of
from tests.dashboards import inspected, problem, publish, put_model, soon
from tests.models import painted
from tests.verdicts import RECIPE, Line

CHALLENGE = "/api/lines/line-1/challenge"
CHECKS = "/api/lines/line-1/checks"
GOOD, GREEN = encode(painted("black"), "png"), encode(painted("green"), "png")


def report(check: CheckReport | None = None) -> GatewayReported:
    return GatewayReported(gateway="gateway-1", line="line-1", online=True, check=check, at=datetime.now(UTC))


@pytest.fixture
def line(client: httpx.Client, broker: Broker) -> Line:
    """A line of whose camera a frame was inspected, and whose gateway reports."""
    line = Line(start=datetime.now(UTC) - timedelta(minutes=10))
    publish(broker, line.verdict(), report())
    soon(lambda: inspected(client) == 1)
    soon(lambda: client.get("/api/lines/line-1").json()["gateway"])
    return line


def put(client: httpx.Client, name: str, expected: str, *images: bytes, **fields: str | list[str]) -> httpx.Response:
    files = [("images", (f"{place}.png", image, "image/png")) for place, image in enumerate(images)]
    return client.put(f"{CHALLENGE}/{name}", data={"expected": expected, **fields}, files=files or None)


def challenge_set(client: httpx.Client) -> None:
    assert put(client, "good-1", "ok", GOOD).status_code == 200
    assert put(client, "break-1", "ng", GREEN, GREEN, defects="break", cameras=["front", "back"]).status_code == 200


def request_of(broker: Broker) -> CheckRequested:
    subscription = broker.subscribe(GATEWAY_COMMANDS, 1)
    (delivery,) = subscription.receive(1, 60)
    subscription.acknowledge([delivery])
    request = decode(delivery.body)
    assert isinstance(request, CheckRequested)
    return request


def test_the_challenge_set_is_stored_and_sent_to_the_gateway(
    client: httpx.Client, broker: Broker, store: ObjectStore, line: Line
) -> None:
    verdict = line.verdict("break")
    publish(broker, verdict)
    soon(lambda: inspected(client) == 2)
    store.put(str(verdict.image_key), GREEN)
    challenge_set(client)
    assert put(client, "seen-1", "ng", frames=verdict.frame.frame_id).status_code == 200
    parts = client.get(CHALLENGE).json()["parts"]
    assert [(part["name"], part["expected"], part["defects"]) for part in parts] == [
        ("break-1", "ng", ["break"]),
        ("good-1", "ok", []),
        ("seen-1", "ng", []),
    ]
    assert [image["camera"] for part in parts for image in part["images"]] == ["front", "back", "camera-1", "camera-1"]
    assert client.get(parts[0]["images"][0]["url"]).content == GREEN
    answer = client.post(CHECKS)
    assert answer.status_code == 202
    request = request_of(broker)
    assert (request.check_id, request.line, request.by) == (answer.json()["check_id"], "line-1", "local")
    assert [part.name for part in request.parts] == ["break-1", "good-1", "seen-1"]
    assert store.get(request.parts[1].images[0].key) == GOOD
    assert client.delete(f"{CHALLENGE}/seen-1").status_code == 204
    problem(client.delete(f"{CHALLENGE}/seen-1"), 404, "has no part 'seen-1'")
    assert len(client.get(CHALLENGE).json()["parts"]) == 2


def test_a_part_that_cannot_be_used_is_refused_with_the_reason(client: httpx.Client, line: Line) -> None:
    problem(put(client, "bad", "ng", b"no image"), 422, "neither a JPEG nor a PNG")
    problem(put(client, "bad", "ng"), 422, "or say that it is a real part")
    problem(put(client, "bad", "ok", GOOD, defects="break"), 422, "a part that has to be ok has none")
    problem(put(client, "bad", "maybe", GOOD), 422, "expected")
    assert client.get(CHALLENGE).json()["parts"] == []
    problem(client.put("/api/lines/other/challenge/a", data={"expected": "ok"}), 404, "other")


def test_real_parts_are_checked_by_camera_and_the_page_says_which_one_is_next(
    client: httpx.Client, broker: Broker, line: Line
) -> None:
    assert put(client, "good-1", "ok", fed="true").status_code == 200
    assert put(client, "break-1", "ng", GREEN, fed="true", defects="break").status_code == 200
    assert put(client, "shown-1", "ng", GREEN).status_code == 200
    assert [part["fed"] for part in client.get(CHALLENGE).json()["parts"]] == [True, True, False]
    problem(client.post(CHECKS), 409, "needs images of at least one good part")
    check_id = client.post(CHECKS, json={"by_camera": True}).json()["check_id"]
    request = request_of(broker)
    assert (request.by_camera, request.part_seconds) == (True, 300)
    assert [part.name for part in request.parts] == ["break-1", "good-1"]
    at = datetime.now(UTC)
    running = CheckReport(check_id=check_id, state=CheckState.RUNNING, by="eva", at=at, next_part="break-1")
    publish(broker, report(running))
    soon(lambda: "Feed part break-1 to the cameras now" in client.get(f"/checks/line-1/{check_id}").text)


def test_labelled_images_of_a_dataset_become_parts_whose_labels_say_what_is_expected(
    client: httpx.Client, store: ObjectStore, line: Line
) -> None:
    problem(client.get(f"{CHALLENGE}/labelled", params={"dataset": "seams"}), 404, "no dataset 'seams'")
    labels = ("good", "error", "break", "length")
    images = [
        LabelledImage(name=name, digest=put_image(store, image), labels=truth, group=name)
        for name, image, truth in (
            ("line 1/good.png", GOOD, (True, False, False, True)),
            ("torn.png", GREEN, (False, False, True, True)),
        )
    ]
    version = make_version("seams", 1, labels, images, by="eva", source="a folder")
    write_version(store, version)
    of_version = {"dataset": version.reference}
    problem(client.get(f"{CHALLENGE}/labelled", params=of_version), 409, "its recipe is not known")
    put_model(store)
    offered = client.get(f"{CHALLENGE}/labelled", params={"dataset": "seams"}).json()
    assert [(each["name"], each["expected"], each["defects"]) for each in offered["parts"]] == [
        ("line 1/good.png", "ok", []),
        ("torn.png", "ng", ["break"]),
    ]
    assert client.get(offered["parts"][1]["url"]).headers["content-type"].startswith("image/")
    some = client.get(f"{CHALLENGE}/labelled", params={**of_version, "label": "break"}).json()
    assert [each["place"] for each in some["parts"]] == [1]
    page = client.get("/checks/line-1/labelled", params=of_version).text
    assert page.count('name="places"') == 2
    assert client.post("/checks/line-1/labelled", data={**of_version, "places": ["0", "1"]}).status_code == 303
    assert client.post(f"{CHALLENGE}/labelled", json={**of_version, "places": [1]}).status_code == 201
    parts = client.get(CHALLENGE).json()["parts"]
    names = [f"line-1-good-{images[0].digest[:8]}", f"torn-{images[1].digest[:8]}"]
    assert [(each["name"], each["expected"], each["defects"]) for each in parts] == [
        (names[0], "ok", []),
        (names[1], "ng", ["break"]),
    ]
    assert client.get(parts[1]["images"][0]["url"]).content == GREEN
    problem(client.post(f"{CHALLENGE}/labelled", json={**of_version, "places": [7]}), 404, "has no image 7")


def test_a_check_is_refused_when_it_cannot_run_and_the_answer_says_why(
    client: httpx.Client, broker: Broker, line: Line
) -> None:
    problem(client.post(CHECKS), 409, "images of at least one good part, and of one with a defect")
    challenge_set(client)
    running = CheckReport(check_id="check-7", state=CheckState.RUNNING, by="eva", at=datetime.now(UTC))
    publish(broker, report(running))
    soon(lambda: client.get(CHECKS).json()["last"])
    problem(client.post(CHECKS), 409, "a check of the line runs: check-7")
    publish(broker, Line("line-2").verdict())
    soon(lambda: inspected(client, "line-2") == 1)
    for name, expected in (("a", "ok"), ("b", "ng")):
        files = {"images": ("a.png", GOOD, "image/png")}
        client.put(f"/api/lines/line-2/challenge/{name}", data={"expected": expected}, files=files)
    problem(client.post("/api/lines/line-2/checks"), 409, "no gateway has reported line line-2")


def test_a_second_check_is_refused_until_the_record_of_the_first_came(
    client: httpx.Client, broker: Broker, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "REQUEST_SECONDS", 3600)  # it must not pass before the second request
    challenge_set(client)
    first = client.post(CHECKS).json()["check_id"]
    problem(client.post(CHECKS), 409, "a check of the line was requested less than 15 s ago")
    request = request_of(broker)
    assert request.check_id == first
    publish(broker, record_of(request))
    soon(lambda: client.post(CHECKS).status_code == 202)


def test_the_page_of_a_check_stops_to_wait_for_a_record_that_does_not_come(
    client: httpx.Client, broker: Broker, line: Line
) -> None:
    just_requested, long_ago = check(after=-60).check_id, check(after=-1000).check_id
    page = client.get(f"/checks/line-1/{just_requested}")
    assert "has not ended yet" in page.text
    assert page.headers["Refresh"] == "2"
    page = client.get(f"/checks/line-1/{long_ago}")
    assert "No record of this check came." in page.text
    assert "Refresh" not in page.headers
    running = CheckReport(check_id=long_ago, state=CheckState.RUNNING, by="eva", at=datetime.now(UTC))
    publish(broker, report(running))
    soon(lambda: client.get(CHECKS).json()["last"])
    assert client.get(f"/checks/line-1/{long_ago}").headers["Refresh"] == "2"
    for unknown in ("check-7", "nonsense", f"check-8{25 * '0'}"):
        assert client.get(f"/checks/line-1/{unknown}").status_code == 404
        problem(client.get(f"{CHECKS}/{unknown}"), 404, f"there is no check {unknown}")


def test_a_label_that_the_line_does_not_have_is_refused_and_a_name_with_a_comma_is_one(
    client: httpx.Client, store: ObjectStore, line: Line
) -> None:
    assert put(client, "any", "ng", GREEN, defects="braek").status_code == 200, "no recipe is known"
    put_model(store, recipe=RECIPE.replace("  error:", '  "hole, large":'))
    problem(put(client, "bad", "ng", GREEN, defects="braek"), 422, "no label 'braek'; its labels: good, hole, large")
    page = client.get("/checks/line-1").text
    assert "<option>hole, large</option>" in page
    files = {"images": ("a.png", GREEN, "image/png")}
    fields = {"name": "hole-1", "expected": "ng", "defects": ["hole, large", "break"]}
    assert client.post("/checks/line-1/parts", data=fields, files=files).status_code == 303
    assert client.post("/checks/line-1/parts", data={**fields, "name": "b", "defects": "braek"}).status_code == 422
    defects = {part["name"]: part["defects"] for part in client.get(CHALLENGE).json()["parts"]}
    assert defects == {"any": ["braek"], "hole-1": ["hole, large", "break"]}


def test_the_record_is_in_the_list_the_audit_log_and_the_batch_report_and_in_no_count(
    client: httpx.Client, broker: Broker, line: Line
) -> None:
    before, during = check(after=-900), check(after=-300)
    failed = record_of(during, passed=False, reason="1 of 2 parts failed", escapes=1)
    failed = failed.model_copy(
        update={"parts": (failed.parts[0], failed.parts[1].model_copy(update={"verdict": PartVerdict.OK}))}
    )
    publish(broker, line.verdict(after=0), line.verdict(after=600))
    soon(lambda: inspected(client) == 3)
    counts = client.get("/api/lines/line-1/accounting").json()
    publish(broker, record_of(before), failed, failed)
    soon(lambda: len(client.get(CHECKS).json()["checks"]) == 2)
    listed = client.get(CHECKS).json()["checks"]
    assert [each["check_id"] for each in listed] == [during.check_id, before.check_id]
    record = client.get(f"{CHECKS}/{during.check_id}").json()
    assert (record["passed"], record["by"], record["escapes"]) == (False, "eva", 1)
    assert [part["verdict"] for part in record["parts"]] == ["ok", "ok"]
    assert ChallengePart.model_validate(record["parts"][1]["part"]) == during.parts[1]
    problem(client.get(f"{CHECKS}/{check().check_id}"), 404, "there is no record of this check")
    entries = client.get("/api/audit", params={"action": "check"}).json()["entries"]
    finished = [each for each in entries if each["subject"] == f"line-1/{during.check_id}"]
    assert [(each["action"], each["by"], each["details"]["passed"]) for each in finished] == [
        ("check.finish", "eva", False)
    ], "a record that comes twice is entered once"
    assert finished[0]["details"]["parts"][1] == {
        "part": "break-1",
        "expected": "ng",
        "verdict": "ok",
        "passed": True,
    }
    assert client.get("/api/lines/line-1/accounting").json() == counts
    report = client.get("/api/lines/line-1/batches/batch-7").json()
    assert [each["check_id"] for each in report["checks"]] == [before.check_id, during.check_id]
    assert report["batch"]["inspected"] == 3
    assert report["batch"]["parts"] is None


def test_a_batch_has_the_last_check_before_it(client: httpx.Client, broker: Broker) -> None:
    first, second = check(after=-20), check(after=-10)
    publish(broker, Line().verdict(), record_of(first), record_of(second))
    soon(lambda: inspected(client) == 1)
    soon(lambda: len(client.get(CHECKS).json()["checks"]) == 2)
    report = client.get("/api/lines/line-1/batches/batch-7").json()
    assert [each["check_id"] for each in report["checks"]] == [second.check_id]
