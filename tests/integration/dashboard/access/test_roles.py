"""Every route requires a role."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute, Mount

from services.dashboard.access.service import AccessService
from services.dashboard.app import build_app
from services.dashboard.web.authorization import role_of
from services.dashboard.web.callers import Role
from services.dashboard.web.guard import OPEN
from services.dashboard.web.readiness import Readiness
from services.dashboard.web.service_registry import Services
from tests.dashboards import embedded_settings

READS = ("GET", "HEAD")
TAKES = {
    ("PUT", "/api/frames/{frame_id}/mark"): Role.OPERATOR,
    ("DELETE", "/api/frames/{frame_id}/mark"): Role.OPERATOR,
    ("POST", "/api/frames/{frame_id}/explanation"): Role.OPERATOR,
    ("POST", "/api/lines/{line}/outputs/{output}/tests"): Role.ENGINEER,
    ("PUT", "/api/lines/{line}/challenge/{part}"): Role.ENGINEER,
    ("DELETE", "/api/lines/{line}/challenge/{part}"): Role.ENGINEER,
    ("POST", "/api/lines/{line}/challenge/labelled"): Role.ENGINEER,
    ("POST", "/checks/{line}/labelled"): Role.ENGINEER,
    ("POST", "/api/lines/{line}/checks"): Role.OPERATOR,
    ("PUT", "/api/lines/{line}/recipe"): Role.OPERATOR,
    ("POST", "/lines/{line}/recipe"): Role.OPERATOR,
    ("POST", "/checks/{line}"): Role.OPERATOR,
    ("POST", "/checks/{line}/parts"): Role.ENGINEER,
    ("POST", "/checks/{line}/parts/{part}/remove"): Role.ENGINEER,
    ("POST", "/api/trainings"): Role.ENGINEER,
    ("DELETE", "/api/trainings/{training_id}"): Role.ENGINEER,
    ("POST", "/api/models/{recipe}/{version}/promotion"): Role.ENGINEER,
    ("POST", "/api/models/{recipe}/rollback"): Role.ENGINEER,
    ("POST", "/api/models/{recipe}/comparisons"): Role.ENGINEER,
    ("POST", "/api/models/{recipe}/{version}/thresholds"): Role.ENGINEER,
    ("POST", "/models/{recipe}/{version}/thresholds"): Role.ENGINEER,
    ("POST", "/models/{recipe}/{version}/name"): Role.ENGINEER,
    ("PUT", "/api/models/{recipe}/versions/{version}/name"): Role.ENGINEER,
    ("POST", "/models/{recipe}/{version}/promote"): Role.ENGINEER,
    ("POST", "/models/{recipe}/compare"): Role.ENGINEER,
    ("POST", "/models/{recipe}/rollback"): Role.ENGINEER,
    ("PUT", "/api/recipes/{recipe}"): Role.ENGINEER,
    ("POST", "/recipes"): Role.ENGINEER,
    ("POST", "/drafts"): Role.ENGINEER,
    ("POST", "/drafts/check"): Role.ENGINEER,
    ("POST", "/trainings/new"): Role.ENGINEER,
    ("POST", "/trainings/{training_id}/cancel"): Role.ENGINEER,
    ("POST", "/api/parked/{queue}/{parked_id}/replay"): Role.ENGINEER,
    ("POST", "/api/parked/{queue}/{parked_id}/discard"): Role.ADMIN,
    ("POST", "/api/labelling/videos"): Role.ENGINEER,
    ("POST", "/api/labelling/sources/{source}/labels"): Role.ENGINEER,
    ("POST", "/api/labelling/sources/{source}/undo"): Role.ENGINEER,
    ("POST", "/api/labelling/datasets"): Role.ENGINEER,
    ("POST", "/api/labelling/datasets/import"): Role.ENGINEER,
    ("POST", "/labelling/datasets"): Role.ENGINEER,
    ("POST", "/accounting/parked/{queue}/{parked_id}"): Role.ENGINEER,
    ("DELETE", "/api/session"): Role.VIEWER,
    ("PUT", "/api/session/password"): Role.VIEWER,
    ("DELETE", "/api/sessions"): Role.VIEWER,
    ("DELETE", "/api/sessions/{session_id}"): Role.VIEWER,
    ("POST", "/account/sessions/end"): Role.VIEWER,
    ("POST", "/account/sessions/{session_id}/end"): Role.VIEWER,
    ("POST", "/logout"): Role.VIEWER,
    ("POST", "/account"): Role.VIEWER,
    ("POST", "/api/people"): Role.ADMIN,
    ("PUT", "/api/people/{person}/role"): Role.ADMIN,
    ("PUT", "/api/people/{person}/password"): Role.ADMIN,
    ("DELETE", "/api/people/{person}"): Role.ADMIN,
    ("POST", "/api/tokens"): Role.ADMIN,
    ("DELETE", "/api/tokens/{token_id}"): Role.ADMIN,
    ("POST", "/people"): Role.ADMIN,
    ("POST", "/people/{person}/role"): Role.ADMIN,
    ("POST", "/people/{person}/password"): Role.ADMIN,
    ("POST", "/people/{person}/remove"): Role.ADMIN,
    ("POST", "/tokens"): Role.ADMIN,
    ("POST", "/tokens/{token_id}/revoke"): Role.ADMIN,
    ("GET", "/api/labelling/sources/{source}/archive.zip"): Role.ENGINEER,
    ("GET", "/api/people"): Role.ADMIN,
    ("GET", "/api/tokens"): Role.ADMIN,
    ("GET", "/api/audit"): Role.ADMIN,
    ("GET", "/api/audit/table.csv"): Role.ADMIN,
    ("GET", "/people"): Role.ADMIN,
    ("GET", "/audit"): Role.ADMIN,
    ("GET", "/audit/table.csv"): Role.ADMIN,
}
"""Changes, and reads that need more than a viewer. All other routes that need a login are reads for viewers."""


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[BaseRoute]:
    services = Services(object.__new__(AccessService), Readiness({}))
    app, _ = build_app(embedded_settings(tmp_path_factory.mktemp("routes")), services)
    return list(app.routes)


def declared(routes: list[BaseRoute]) -> dict[tuple[str, str], Role | None]:
    """Return the role that each route requires; None: it needs no login."""
    found: dict[tuple[str, str], Role | None] = {}
    for context in iter_route_contexts(routes):
        if isinstance(context.route, Mount):
            assert context.path == "/static", "a mount has no roles: serve it by a route"
            continue
        assert isinstance(context.route, APIRoute), f"{context.route} can't say which role it takes"
        for method in context.methods or ():
            found[method, context.path or ""] = role_of(context.dependant)
    return found


def test_every_route_requires_a_role(routes: list[BaseRoute]) -> None:
    assert declared(routes)


def test_the_guard_and_the_routes_agree_on_the_open_paths(routes: list[BaseRoute]) -> None:
    open_to_anyone = {route for route, role in declared(routes).items() if role is None}
    assert {route for route in OPEN if route[0] != "HEAD"} == open_to_anyone


def test_every_change_requires_the_documented_role(routes: list[BaseRoute]) -> None:
    told = {route: role for route, role in declared(routes).items() if role is not None}
    assert {route: role for route, role in told.items() if route[0] not in READS or role is not Role.VIEWER} == TAKES
