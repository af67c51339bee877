"""Every route says which role it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute, Mount

from services.dashboard.access import Role
from services.dashboard.app import Rooms, build_app
from tests.dashboards import embedded_settings

OPEN = {("GET", "/healthz")}
"""For everyone, logged in or not."""
READS = ("GET", "HEAD")
TAKES = {
    ("PUT", "/api/frames/{frame_id}/mark"): Role.OPERATOR,
    ("DELETE", "/api/frames/{frame_id}/mark"): Role.OPERATOR,
    ("POST", "/api/frames/{frame_id}/explanation"): Role.OPERATOR,
    ("POST", "/api/trainings"): Role.ENGINEER,
    ("DELETE", "/api/trainings/{training_id}"): Role.ENGINEER,
    ("POST", "/api/models/{recipe}/{version}/promotion"): Role.ENGINEER,
    ("POST", "/api/models/{recipe}/rollback"): Role.ENGINEER,
    ("POST", "/api/models/{recipe}/comparisons"): Role.ENGINEER,
    ("POST", "/api/parked/{queue}/{parked_id}/replay"): Role.ENGINEER,
    ("POST", "/api/parked/{queue}/{parked_id}/discard"): Role.ADMIN,
    ("POST", "/api/labelling/films"): Role.ENGINEER,
    ("POST", "/api/labelling/sources/{source}/labels"): Role.ENGINEER,
    ("POST", "/api/labelling/sources/{source}/undo"): Role.ENGINEER,
    ("POST", "/api/labelling/datasets"): Role.ENGINEER,
    ("POST", "/labelling/datasets"): Role.ENGINEER,
    ("POST", "/accounting/parked/{queue}/{parked_id}"): Role.ENGINEER,
}
"""What changes anything. Whatever is not here and not open is read, by viewers."""


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[BaseRoute]:
    rooms: dict[str, Any] = {field.name: None for field in fields(Rooms)}
    return list(build_app(embedded_settings(tmp_path_factory.mktemp("routes")), Rooms(**rooms)).routes)


def asked_of(dependant: Dependant) -> Iterator[Role]:
    for part in dependant.dependencies:
        role = getattr(part.call, "role", None)
        if role is not None:
            yield role
        yield from asked_of(part)


def declared(routes: list[BaseRoute]) -> dict[tuple[str, str], Role | None]:
    found: dict[tuple[str, str], Role | None] = {}
    for context in iter_route_contexts(routes):
        if isinstance(context.route, Mount):
            assert context.path == "/static", "a mount has no roles: serve it by a route"
            continue
        assert isinstance(context.route, APIRoute), f"{context.route} can't say which role it takes"
        roles = set(asked_of(context.dependant))
        for method in context.methods or ():
            found[method, context.path or ""] = max(roles, key=lambda role: role.rank) if roles else None
    return found


def test_every_route_says_which_role_it_takes(routes: list[BaseRoute]) -> None:
    undeclared = {route for route, role in declared(routes).items() if role is None}
    assert undeclared == OPEN


def test_what_changes_anything_takes_more_than_a_viewer(routes: list[BaseRoute]) -> None:
    told = declared(routes)
    changing = {route: role for route, role in told.items() if route[0] not in READS}
    assert changing == TAKES
    assert {role for route, role in told.items() if route not in OPEN and route not in TAKES} == {Role.VIEWER}
