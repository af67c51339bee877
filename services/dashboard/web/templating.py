"""Render the templates of all features.

Every page is rendered by `show`: translations of the pages would be applied to `templates` here.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from markupsafe import Markup

from services.dashboard.web.callers import Caller, Role
from services.dashboard.web.problems import ProblemDetails
from services.dashboard.web.readiness import Readiness
from services.dashboard.web.registry import service_of
from services.dashboard.web.times import bounded


class Clock:
    """The plant's clock: pages show its time, wherever the browser is."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone

    def __call__(self, moment: datetime, form: str = "%d %b %Y %H:%M") -> str:
        """Return a time of the plant's clock as text."""
        return moment.astimezone(self.zone).strftime(form)

    def read(self, text: str | None) -> datetime | None:
        """Return the time in a field of a form; None if the field is empty, or holds no time within the calendar."""
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
            return bounded(moment if moment.tzinfo else moment.replace(tzinfo=self.zone))
        except ValueError:
            return None


def count(number: int) -> str:
    """Return a number with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f")


def data_size(number: float) -> str:
    """Return a number of bytes with its unit, such as 1.2 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB" if number < 999.5 else f"{number:,.0f} TB"


def percent(share: float | None) -> str:
    """Return a share in percent, with more digits for rare defects."""
    if share is None:
        return "–"
    digits = 1 if share >= 0.1 or share == 0 else 2 if share >= 0.001 else 3
    return f"{share:.{digits}%}"


def only(caller: Caller, role: str) -> Markup:
    """Return the attributes that disable a control, with the reason; none if the caller has the role."""
    if caller.may(Role(role)):
        return Markup("")
    return Markup(' disabled title="This requires the role {}: yours is {}"').format(role, caller.role)


def _common_context(request: Request) -> dict[str, Any]:
    """Return the caller, and what people miss right now."""
    return {"caller": getattr(request.state, "caller", None), "away": service_of(request, Readiness).away()}


FOLDERS: Final = sorted(Path(__file__).parents[1].glob("*/templates"))
"""Each feature keeps its templates beside its code. No two templates have the same name."""

templates: Final = Jinja2Templates(directory=FOLDERS, context_processors=[_common_context])
templates.env.globals["only"] = only
templates.env.filters["count"] = count
templates.env.filters["bytes"] = data_size
templates.env.filters["percent"] = percent


def show(request: Request, template: str, page: str, **context: Any) -> HTMLResponse:
    """Return a page rendered from a template; ``page`` is its name in the navigation."""
    clock = service_of(request, Clock)
    return templates.TemplateResponse(request, template, {"page": page, "clock": clock, **context})


def show_problem(request: Request, details: ProblemDetails) -> HTMLResponse:
    """Return the page of a problem: what is wrong, and the way back."""
    return templates.TemplateResponse(request, "problem.html", {"problem": details}, status_code=details.status)
