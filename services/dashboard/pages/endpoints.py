"""The pages."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

router = APIRouter(include_in_schema=False)
templates = Jinja2Templates(directory=Path(__file__).with_name("templates"))


@router.get("/")
def show_lines(request: Request) -> HTMLResponse:
    """The lines, live."""
    return templates.TemplateResponse(request, "lines.html", {"lines": request.app.state.lines.states()})
