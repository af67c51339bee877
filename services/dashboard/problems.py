"""Errors of the API: problem details for HTTP APIs (RFC 9457), all of them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from services.dashboard.projection import AWAY
from shared.messaging.port import MessagingError
from shared.storage.port import StorageError

MEDIA_TYPE: Final = "application/problem+json"

_log = structlog.stdlib.get_logger("api")


class ProblemDetails(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field("about:blank", description="the kind of problem; about:blank: what the status says")
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field("", description="what to do about it", examples=["no frame of that id is known"])
    errors: list[dict[str, str]] | None = Field(None, description="of a request: where and what, one by one")


class Problem(Exception):
    """Raise it anywhere to answer with it."""

    def __init__(self, status: int, detail: str, *, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(detail)
        self.details = ProblemDetails(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors)


def respond(details: ProblemDetails, headers: dict[str, str] | None = None) -> JSONResponse:
    """Details as an answer."""
    content = details.model_dump(exclude_none=True)
    return JSONResponse(content, details.status, headers, media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For ``responses=`` of an endpoint: these problems may come."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def install_problems(app: FastAPI) -> None:
    """Answer every error with problem details, and say so in the API's document."""
    _document(app)

    @app.exception_handler(Problem)
    def problem(_request: Request, problem: Problem) -> JSONResponse:
        return respond(problem.details)

    @app.exception_handler(HTTPException)
    def http(_request: Request, error: HTTPException) -> JSONResponse:
        details = ProblemDetails(
            title=HTTPStatus(error.status_code).phrase, status=error.status_code, detail=str(error.detail)
        )
        return respond(details, dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    def validation(_request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            {"where": ".".join(str(part) for part in found["loc"]), "what": found["msg"].removeprefix("Value error, ")}
            for found in error.errors()
        ]
        first = errors[0]
        return respond(Problem(422, f"{first['where']}: {first['what']}", errors=errors).details)

    def unavailable(_request: Request, error: Exception) -> JSONResponse:
        _log.warning("something needed is away", reason=str(error))
        return respond(Problem(503, f"try again later: {error}").details, {"Retry-After": "5"})

    for kind in (*AWAY, StorageError, MessagingError):
        app.add_exception_handler(kind, unavailable)

    @app.exception_handler(Exception)
    def unknown(_request: Request, _error: Exception) -> JSONResponse:
        return respond(Problem(500, "an error that nobody foresaw; the log has it").details)


def _document(app: FastAPI) -> None:
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.setdefault("ProblemDetails", ProblemDetails.model_json_schema())
        return document

    app.openapi = openapi  # type: ignore[method-assign]
