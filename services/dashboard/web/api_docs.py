"""The API's documentation: OpenAPI, and Swagger UI, whose files this service has itself."""

from __future__ import annotations

import gzip
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.templating import Jinja2Templates

from services.dashboard.web.authorization import at_least
from services.dashboard.web.callers import Role
from services.dashboard.web.problems import Problem
from shared.language import gettext

ASSETS: Final = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
"""Media types of the files of Swagger UI."""
DESCRIPTION: Final = """
Everything that the pages do. Times are ISO 8601 with a zone; counts by time are in buckets of capture time in UTC.

Errors are problem details ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) of type `application/problem+json`.
Lists come in pages of at most `limit`: give `next` as `before` to get the following one; null: that was the last.
"""

router = APIRouter(include_in_schema=False, dependencies=[at_least(Role.VIEWER)])
templates = Jinja2Templates(directory=Path(str(files("services.dashboard.web"))) / "templates")


@router.get("/api/openapi.json")
def get_openapi(request: Request) -> Response:
    """The OpenAPI document."""
    return _compressed(request, JSONResponse(request.app.openapi()))


@router.get("/api/docs")
def show_api_docs(request: Request) -> HTMLResponse:
    """Swagger UI."""
    return templates.TemplateResponse(request, "api_docs.html")


@router.get("/api/docs/{asset}")
def get_asset(request: Request, asset: str) -> Response:
    """The script and the style of Swagger UI, from the package `fastapi-offline`."""
    if asset not in ASSETS:
        raise Problem(404, gettext("no such file"))
    content = (files("fastapi_offline") / "static" / asset).read_bytes()
    answer = Response(content, media_type=ASSETS[asset], headers={"Cache-Control": "max-age=86400"})
    return _compressed(request, answer)


def _compressed(request: Request, answer: Response) -> Response:
    """Compress an answer for browsers, which take it: to less than a third."""
    answer.headers["Vary"] = "Accept-Encoding"
    if "gzip" in request.headers.get("accept-encoding", ""):
        answer.body = gzip.compress(answer.body)
        answer.headers["Content-Encoding"] = "gzip"
        answer.headers["Content-Length"] = str(len(answer.body))
    return answer
