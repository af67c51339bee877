"""Render the templates of all features, in the language of the request."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from markupsafe import Markup

from services.dashboard.web.callers import Caller, Role
from services.dashboard.web.problems import SAFE, ProblemDetails
from services.dashboard.web.query_times import bounded
from services.dashboard.web.readiness import Readiness
from services.dashboard.web.service_registry import service_of
from shared.datasets.coverage import FEW
from shared.language import (
    TEMPLATE_FILTERS,
    TEMPLATE_NAMES,
    find,
    find_in_context,
    find_plural,
    gettext,
    word,
    written_time,
)
from shared.messages import Verdict


class Clock:
    """The plant's clock. Pages show times by this clock, not by the browser's."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone

    def __call__(self, moment: datetime, form: str = "minute") -> str:
        """Return a time by the plant's clock as text, in a format of `language.FORMS`."""
        return written_time(moment.astimezone(self.zone), form)

    def field(self, moment: datetime, until: str = "minutes") -> str:
        """Return a time by the plant's clock as the value of a form's field."""
        return moment.astimezone(self.zone).replace(tzinfo=None).isoformat(timespec=until)

    def read(self, text: str | None) -> datetime | None:
        """Return the time in a form's field; None if the field is empty, or has no time that `bounded` accepts."""
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
            return bounded(moment if moment.tzinfo else moment.replace(tzinfo=self.zone))
        except ValueError:
            return None


def only(caller: Caller, role: str) -> Markup:
    """Return HTML attributes that disable a control with a reason; empty if the caller has the role."""
    if caller.may(Role(role)):
        return Markup("")
    needed = gettext("This requires the role %(role)s: yours is %(own)s", role=word(Role(role)), own=word(caller.role))
    return Markup(' disabled title="{}"').format(needed)


def verdict_mark(verdict: Verdict) -> str:
    """Return a verdict as a symbol and a word."""
    signs = {Verdict.OK: f"✓ {gettext('OK')}", Verdict.NG: f"✕ {gettext('NG')}", Verdict.ERROR: f"▲ {gettext('Error')}"}
    return signs[verdict]


def link(address: str, text: str, style: str = "") -> Markup:
    """Return an HTML link, as a value of a text."""
    kind = Markup(' class="{}"').format(style) if style else ""
    return Markup('<a{} href="{}">{}</a>').format(kind, address, text)


def code(text: str) -> Markup:
    """Return a literal such as the name of a setting as HTML code, as a value of a text."""
    return Markup("<code>{}</code>").format(text)


def with_name(version: str, names: Mapping[str, str]) -> str:
    """Return the id of a model version, with the name that a person gave it."""
    return f"{version} ({names[version]})" if version in names else version


def _common_context(request: Request) -> dict[str, Any]:
    """Return the values for all templates: the caller, notices about servers and counts, and the page's address."""
    path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    return {
        "caller": getattr(request.state, "caller", None),
        "away": service_of(request, Readiness).notices(),
        "here": (f"{path}?{query}" if query else path) if request.method in SAFE else "/",
    }


FOLDERS: Final = sorted(Path(__file__).parents[1].glob("*/templates"))
"""The folders of templates, one per feature. No two templates have the same name."""

templates: Final = Jinja2Templates(directory=FOLDERS, context_processors=[_common_context])
templates.env.add_extension("jinja2.ext.i18n")
templates.env.install_gettext_callables(  # type: ignore[attr-defined]  # of the extension
    find, find_plural, newstyle=True, pgettext=find_in_context
)
templates.env.globals.update(
    {
        "code": code,
        "few_images": FEW,
        "link": link,
        "only": only,
        "verdict_mark": verdict_mark,
        "with_name": with_name,
        **TEMPLATE_NAMES,
    }
)
templates.env.filters.update(TEMPLATE_FILTERS)


def show(request: Request, template: str, page: str, **context: Any) -> HTMLResponse:
    """Render a template as a page; ``page`` is the page's name in the navigation."""
    clock = service_of(request, Clock)
    return templates.TemplateResponse(request, template, {"page": page, "clock": clock, **context})


def show_problem(request: Request, details: ProblemDetails) -> HTMLResponse:
    """Render the page that shows a problem."""
    return templates.TemplateResponse(request, "problem.html", {"problem": details}, status_code=details.status)
