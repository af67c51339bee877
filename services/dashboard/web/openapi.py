"""Complete the OpenAPI document.

Added are the ways to log in, the role and the error responses of each operation, and an example of each body.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from services.dashboard.web.authorization import role_of
from services.dashboard.web.callers import Role
from services.dashboard.web.cookies import SESSION
from services.dashboard.web.examples import example_of
from services.dashboard.web.problems import MEDIA_TYPE, SAFE, ProblemDetails, documented

SCHEMES: Final = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token that an admin made for a program."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION,
        "description": "The cookie that `POST /api/session` sets; over TLS its name begins with `__Host-`.",
    },
}
ANY_LOGIN: Final[list[dict[str, list[str]]]] = [{name: []} for name in SCHEMES]

Document = dict[str, Any]


def install_document(app: FastAPI) -> None:
    """Complete the document that FastAPI makes of the routes."""
    generate = app.openapi

    def openapi() -> Document:
        if app.openapi_schema:
            return app.openapi_schema
        document = generate()
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).setdefault("ProblemDetails", ProblemDetails.model_json_schema())
        components["securitySchemes"] = SCHEMES
        for context in iter_route_contexts(app.routes):
            if isinstance(context.route, APIRoute) and context.path in document["paths"]:
                for method in context.methods or ():
                    operation = document["paths"][context.path].get(method.lower())
                    if operation:
                        _add_role(operation, method, role_of(context.dependant))
        for address, path in document["paths"].items():
            for operation in path.values():
                if "{" in address:
                    operation["responses"].setdefault("404", documented(404)[404])
                _add_examples(operation, components["schemas"])
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _add_role(operation: Document, method: str, role: Role | None) -> None:
    operation["security"] = ANY_LOGIN if role else []
    responses = operation["responses"]
    if role:
        responses.setdefault("401", documented(401)[401])
    if "requestBody" in operation:
        responses.setdefault("400", documented(400)[400])  # a body that is not UTF-8
    # a change is forbidden if a page of another site requests it, whatever the role
    if method not in SAFE or role not in (None, Role.VIEWER):
        responses.setdefault("403", documented(403)[403])
    if role not in (None, Role.VIEWER):
        operation["description"] = f"{operation.get('description', '')}\n\nRequires the role **{role}**."


def _add_examples(operation: Document, schemas: Document) -> None:
    bodies = {"": operation.get("requestBody", {}), **operation["responses"]}
    for status, body in bodies.items():
        for media_type, content in body.get("content", {}).items():
            if media_type == MEDIA_TYPE:
                title = HTTPStatus(int(status)).phrase
                content["example"] = ProblemDetails(title=title, status=int(status)).model_dump(exclude_none=True)
            elif media_type.endswith("json") and not {"example", "examples"} & set(content):
                content["example"] = example_of(content.get("schema", {}), schemas)
