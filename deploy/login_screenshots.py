"""Take screenshots of the pages for users, in a separate dashboard with a login, which `make demo` does not have."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import httpx
from playwright.sync_api import Browser, ViewportSize

from deploy.embedded.line import free_port

PASSWORD: Final = "umbrella copper thirty lanterns"  # noqa: S105  of a dashboard that runs only for these images
PEOPLE: Final = {"eva": "engineer", "otto": "operator", "wall": "viewer"}
SIZE: Final = ViewportSize(width=1280, height=860)
START_SECONDS: Final = 120.0
SETTLE_MILLISECONDS: Final = 1000
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")


def photograph_user_pages(browser: Browser, out: Path) -> None:
    """Write screenshots of the login, people and tokens, and the audit log to ``out``, light and dark."""
    with tempfile.TemporaryDirectory() as folder, _dashboard(Path(folder)) as address:
        _add_people(address)
        for scheme in SCHEMES:
            page = browser.new_context(base_url=address, viewport=SIZE, color_scheme=scheme).new_page()
            end = "-dark.jpg" if scheme == "dark" else ".jpg"
            page.goto("/login?next=/people", wait_until="domcontentloaded")
            page.screenshot(path=out / f"login{end}", type="jpeg", quality=82)
            page.get_by_label("Name", exact=True).fill("admin")
            page.get_by_label("Password", exact=True).fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()
            page.wait_for_url("**/people", wait_until="domcontentloaded")
            for name in ("people", "audit"):
                page.goto(f"/{name}", wait_until="domcontentloaded")
                page.wait_for_timeout(SETTLE_MILLISECONDS)
                page.screenshot(path=out / f"{name}{end}", type="jpeg", quality=82)


@contextmanager
def _dashboard(folder: Path) -> Iterator[str]:
    port = free_port()
    settings = {
        "BROKER_URL": f"sqlite:///{folder}/broker",
        "STORAGE_URL": f"file:///{folder}/objects",
        "PORT": str(port),
        "LOGIN": "true",
        "FIRST_ADMIN_PASSWORD": PASSWORD,
    }
    environment = {**os.environ, **{f"DASHBOARD_{name}": value for name, value in settings.items()}}
    command = [sys.executable, "-m", "services.dashboard"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)  # noqa: S603  our own module
    try:
        _await(address := f"http://127.0.0.1:{port}")
        yield address
    finally:
        process.terminate()
        process.wait(60)


def _await(address: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            httpx.get(f"{address}/healthz", timeout=5).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(f"the dashboard has not answered within {START_SECONDS:.0f} s")


def _add_people(address: str) -> None:
    """Add a few people and tokens, and some entries of the audit log."""
    with httpx.Client(base_url=address, timeout=30) as api:
        api.post("/api/session", json={"name": "admin", "password": PASSWORD}).raise_for_status()
        for name, role in PEOPLE.items():
            api.post("/api/people", json={"name": name, "role": role}).raise_for_status()
        for name, role, days in (("prometheus", "viewer", 365), ("report-script", "operator", 30)):
            api.post("/api/tokens", json={"name": name, "role": role, "days": days}).raise_for_status()
        order = {"recipe": "seam", "dataset": "seam-2026"}
        api.post("/api/trainings", json=order).raise_for_status()
        api.delete("/api/trainings/training-01JF6Z6TX4W8E1V2M6C3N9Q7RB")
