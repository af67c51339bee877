"""What holds for the whole of the API: its errors, its paths, its readiness, its documents."""

from __future__ import annotations

import httpx
from ulid import ULID

from shared.messaging.port import Broker
from tests.dashboards import inspected, problem, publish, soon
from tests.verdicts import Line


def test_errors_are_problem_details(client: httpx.Client) -> None:
    problem(client.get("/api/lines/line-9"), 404, "there is no line")
    problem(client.get("/api/nothing"), 404, "Not Found")
    problem(client.put("/api/lines"), 405, "Method Not Allowed")
    problem(client.post("/api/trainings", content=b"{", headers={"Content-Type": "application/json"}), 422, "JSON")
    problem(client.get("/api/frames/nope"), 404, "there is no frame 'nope'")
    problem(client.get("/api/lines/a b"), 404, "there is no line 'a b'")
    problem(
        client.put("/api/frames/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042/mark", json={"nota": ""}), 422, "no such field"
    )


def test_a_path_that_does_not_exist_answers_with_a_page(client: httpx.Client) -> None:
    answer = client.get("/frames/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042", headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "there is no such frame" in answer.text
    nope = client.get("/frames/nope", headers={"Accept": "text/html,*/*"})
    assert nope.status_code == 404
    assert "there is no frame &#39;nope&#39;" in nope.text


def test_it_says_that_it_is_ready_and_shows_its_metrics(client: httpx.Client, broker: Broker) -> None:
    line = Line(f"line-{ULID()}")
    publish(broker, line.verdict("break"))
    soon(lambda: inspected(client, line.name) == 1)
    soon(lambda: client.get("/readyz").status_code == 200)
    ready = client.get("/readyz")
    assert ready.json()["checks"] == dict.fromkeys(("broker", "redis", "storage", "counts", "ingest"), "ok")
    assert client.get("/healthz").text == "ok\n"
    sample = f'dashboard_verdicts_total{{line="{line.name}",verdict="ng"}} 1.0'
    soon(lambda: sample in client.get("/metrics").text)


def test_the_documents_of_the_api_come_from_this_machine_alone(client: httpx.Client) -> None:
    page = client.get("/api/docs")
    assert "://" not in page.text
    for address in (
        "/api/docs/swagger-ui-bundle.js",
        "/api/docs/swagger-ui.css",
        "/static/api_docs.js",
        "/static/icon.svg",
    ):
        assert address in page.text
        assert client.get(address).status_code == 200
        plain = client.get(address, headers={"Accept-Encoding": "identity"})
        assert plain.content == client.get(address).content
    document = client.get("/api/openapi.json").json()
    assert document["components"]["schemas"]["ProblemDetails"]
    assert document["components"]["schemas"]["TrainingRequest"]["example"]
    described = [operation for path in document["paths"].values() for operation in path.values()]
    assert all(operation.get("description") for operation in described)
    assert all("HTTPValidationError" not in str(operation) for operation in described)


def test_a_browser_loads_less_than_600_kb_for_the_documents_of_the_api(client: httpx.Client) -> None:
    sent = 0
    for address in ("", "/swagger-ui-bundle.js", "/swagger-ui.css"):
        sent += int(client.get(f"/api/docs{address}").headers["Content-Length"])
    assert sent + int(client.get("/api/openapi.json").headers["Content-Length"]) < 600_000


ASTRAY = [
    "/api/frames/..%2F..%2Fetc%2Fpasswd",
    "/api/frames/../../etc/passwd/image",
    "/api/frames/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042%00/image",
    "/api/frames/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042/heatmaps/..%2F..%2Fimage",
    "/api/frames/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042/heatmaps/a%2Fb",
    "/api/lines/..%2F..%2Fx",
    "/api/lines/*/accounting",
    "/api/docs/..%2F..%2Fserving.py",
    "/api/docs/..%5C..%5Cserving.py",
    "/static/../endpoints.py",
    "/static/..%2Fendpoints.py",
    "/static/%2e%2e/%2e%2e/settings.py",
]


def test_paths_that_lead_astray_are_no_paths(client: httpx.Client) -> None:
    for path in ASTRAY:
        answer = client.get(path)
        assert answer.status_code in (404, 422), path
        assert answer.headers["content-type"] == "application/problem+json", path
