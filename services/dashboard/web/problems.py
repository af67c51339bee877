"""Errors of the API as problem details for HTTP APIs (RFC 9457)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.language import gettext, translated
from shared.validation import describe, marked

MEDIA_TYPE: Final = "application/problem+json"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""
DETAILS: Final = {413: marked("the request body is too large: send less")}
"""Details of errors that the framework answers without details."""
OF_THE_FRAMEWORK: Final = (marked("Not Found"), marked("Method Not Allowed"))
"""Details of errors by the framework; they are listed here for translation."""

_log = structlog.stdlib.get_logger("api")


class ProblemDetails(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field("about:blank", description="the type of the problem; about:blank: the status says all")
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field("", description="what to do about it", examples=["no frame of that id is known"])
    errors: list[dict[str, str]] | None = Field(
        None, description="the invalid values of the request: `where` is the field, `what` is wrong there"
    )


class Problem(Exception):
    """An error that the API answers with its details."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.headers = headers
        self.details = ProblemDetails(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors)


Page = Callable[[Request, ProblemDetails], Response]
Answer = Callable[[Request, ProblemDetails, dict[str, str] | None], Response]


def respond(details: ProblemDetails, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return problem details as a JSON answer."""
    content = details.model_dump(exclude_none=True)
    return JSONResponse(content, details.status, headers, media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses=`` of an endpoint that may answer with problems of these statuses."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def install_problems(app: FastAPI, page: Page, *, away: Iterable[type[Exception]]) -> Answer:
    """Answer every error with problem details.

    Args:
        app: the application.
        page: returns the page that shows a problem to a person.
        away: errors of unavailable servers; they are answered with 503.

    Returns:
        A function that answers a request with a problem.
    """

    def answer(request: Request, details: ProblemDetails, headers: dict[str, str] | None = None) -> Response:
        if "text/html" in request.headers.get("accept", "") and not request.scope["path"].startswith("/api/"):
            return page(request, details)
        return respond(details, headers)

    @app.exception_handler(Problem)
    def problem(request: Request, problem: Problem) -> Response:
        return answer(request, problem.details, problem.headers)

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> Response:
        details = Problem(error.status_code, translated(DETAILS.get(error.status_code) or error.detail)).details
        allowed = {"Allow": allowed_methods(app, request.scope["path"])} if error.status_code == 405 else {}
        return answer(request, details, {**(error.headers or {}), **allowed})

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        unknown = next((found for found in error.errors() if found["loc"][0] == "path"), None)
        if unknown:
            what = str(unknown["loc"][-1]).removesuffix("_id").replace("_", " ")
            given = str(unknown["input"])[:80]
            return answer(
                request, Problem(404, gettext("there is no %(what)s %(given)r", what=what, given=given)).details
            )
        return answer(request, problem_of(error).details)

    def unavailable(request: Request, error: Exception) -> Response:
        _log.warning("a server is away", reason=str(error))
        again = gettext("try again later"), gettext("check whether it was done, and try again later")
        what = again[request.method not in SAFE]
        return answer(request, Problem(503, f"{what}: {translated(error)}").details, {"Retry-After": "5"})

    for kind in away:
        app.add_exception_handler(kind, unavailable)

    @app.exception_handler(ClientDisconnect)
    def disconnected(request: Request, _error: ClientDisconnect) -> Response:
        _log.info("a caller disconnected", path=request.scope["path"])
        return respond(
            Problem(400, gettext("the request was not sent to its end")).details
        )  # the caller has disconnected, and does not receive it

    @app.exception_handler(Exception)
    def unexpected(request: Request, _error: Exception) -> Response:
        return answer(request, Problem(500, gettext("an unexpected error; the log has it")).details)

    return answer


class ProblemsOnly:
    """Replaces errors in plain text by problem details; the framework writes one if a body is too large."""

    def __init__(self, app: ASGIApp, answer: Answer) -> None:
        self._app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def send_problem(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] >= 400:
                media_type = dict(message["headers"]).get(b"content-type", b"")
                if media_type.startswith(b"text/plain"):
                    replaced = True
                    problem = Problem(message["status"], translated(DETAILS.get(message["status"], "")))
                    await self._answer(Request(scope), problem.details, None)(scope, receive, send)
                    return
            if not replaced:
                await send(message)

        await self._app(scope, receive, send_problem)


def allowed_methods(app: FastAPI, path: str) -> str:
    """Return the methods of all routes of a path, as a value of the header ``Allow``."""
    contexts = [context for context in iter_route_contexts(app.routes) if isinstance(context.route, APIRoute)]
    return ", ".join(sorted({name for each in contexts if each.path_regex.match(path) for name in each.methods or ()}))


def problem_of(error: RequestValidationError | ValidationError, within: str = "") -> Problem:
    """Return the problem of invalid values, with each field (below the field ``within``) and its error."""
    errors = [
        {
            "where": ".".join(map(str, [*([within] if within else []), *found["loc"]])),
            "what": describe(found, translated),
        }
        for found in error.errors()
    ]
    return Problem(422, f"{errors[0]['where']}: {errors[0]['what']}", errors=errors)
