"""The API's document says what is true: requests made from it, against a dashboard on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.schemas import BaseSchema

from services.dashboard.access.audit import Audit
from services.dashboard.access.people import People
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.web.callers import Role
from shared.messaging import open_broker
from shared.storage.opening import open_store
from tests.dashboards import open_dashboard, publish, put_model, server_settings
from tests.verdicts import Line

ENDLESS = "/api/events"
"""Told by `test_live`: its answer has no end."""
CONFIG = {
    "phases": {"coverage": {"enabled": False}, "stateful": {"enabled": False}},
    "checks": {
        # a window whose end is before its beginning fits the schema, and is refused all the same
        "positive_data_acceptance": {"enabled": False},
        # of a parameter that is given twice the last one counts
        "negative_data_rejection": {"enabled": False},
    },
}


@pytest.fixture
def api(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A dashboard with a login, a line, a model, and an admin's token."""
    told = server_settings(tmp_path, *(request.getfixturevalue(name) for name in ("rabbitmq", "redis_url", "s3")))
    told = told.model_copy(update={"login": True})
    broker, store = open_broker(told), open_store(told)
    put_model(store)
    _, secret = People(PeopleRepository(store), Audit(store)).add_token("schemathesis", Role.ADMIN, 1, by="tests")
    with open_dashboard(told, broker) as client:
        client.headers["Authorization"] = f"Bearer {secret}"
        line = Line("line-1")
        publish(broker, line.verdict("break"), line.verdict())
        yield client
    broker.close()


@pytest.fixture
def document(api: httpx.Client) -> BaseSchema:
    told = api.get("/api/openapi.json").json()
    config = schemathesis.Config.from_dict({**CONFIG, "base-url": str(api.base_url).rstrip("/")})
    _examples_fit(told)
    return schemathesis.openapi.from_dict(told, config=config)


def _examples_fit(document: dict[str, Any]) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    bodies = [body for each in operations for body in (each.get("requestBody", {}), *each["responses"].values())]
    contents = [content for body in bodies for kind, content in body.get("content", {}).items() if "json" in kind]
    assert len(contents) > 2 * len(operations)
    schemas = [{**content["schema"], "components": document["components"]} for content in contents]
    told = [content.get("example") for content in contents]
    assert [example for schema, example in zip(schemas, told, strict=True) if not _fits(schema, example)] == []


def _fits(schema: dict[str, Any], example: object) -> bool:
    return jsonschema_rs.is_valid(schema, example)


requests = schemathesis.pytest.from_fixture("document").exclude(path=ENDLESS)
brief = settings(
    max_examples=2,
    phases=(Phase.explicit, Phase.generate),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@requests.parametrize()
@brief
def test_no_request_fails_or_gets_an_undocumented_answer(api: httpx.Client, case: schemathesis.Case[Any]) -> None:
    case.call_and_validate(headers={"Authorization": api.headers["Authorization"]}, timeout=60)
