"""Take screenshots of all pages for the documentation, in a browser on the pages of the demo.

    python -m deploy.screenshots [--out docs/images] [--frames 400]
    python -m deploy.screenshots --review var/review

Starts the line of `make demo` in another folder, waits until it has inspected this number of frames, and takes a
screenshot of each page in Chromium: in light colours, and the page of the line also in dark colours. ``--review``
takes a screenshot of each whole page instead, in English and German, light and dark, at three widths, and prints the
weight and the first paint of each page.
"""

from __future__ import annotations

import csv
import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, Literal

import httpx
import typer
from playwright.sync_api import Browser, ViewportSize, sync_playwright

from deploy.embedded.line import LINE, free_port
from deploy.embedded.video import seam_video
from deploy.login_screenshots import photograph_user_pages

PAGES: Final = {
    "line": "/",
    "quality": "/quality",
    "frames": "/frames?verdict=ng",
    "models": "/models",
    "training": "/trainings/new?recipe=seam",
    "recipe": "/recipes/seam",
    "accounting": "/accounting",
    "storage": "/storage",
    "labelling": "/labelling",
    "history": "/labelling/history",
}
REVIEWED: Final = {
    "kiosk": "/?kiosk",
    "recipes": "/recipes",
    "batches": f"/lines/{LINE}/batches",
    "checks": f"/checks/{LINE}",
    "line-recipe": f"/lines/{LINE}/recipe",
    "api": "/api/docs",
}
"""Further pages of a review."""
SIZE: Final = ViewportSize(width=1280, height=800)
LOCALES: Final = {"en": "en-GB", "de": "de-DE"}
WIDTHS: Final = (1280, 820, 390)
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
WEIGHT: Final = (
    "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
    ".reduce((sum, entry) => sum + entry.transferSize, 0)"
)
FIRST_PAINT: Final = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
QUALITY: Final = 82
READY_SECONDS: Final = 900.0
LABELLED: Final = 60
"""Frames of the video that are labelled before the screenshot of the labelling session."""
SETTLE_MILLISECONDS: Final = 4000
"""Milliseconds to wait for images and charts, because a live page never stops loading."""

app = typer.Typer(add_completion=False)


@app.command()
def screenshots(
    *,
    out: Annotated[Path, typer.Option(help="Folder for <page>.jpg.")] = Path("docs/images"),
    frames: Annotated[int, typer.Option(min=1, help="Frames to inspect before the screenshots.")] = 400,
    state: Annotated[Path, typer.Option(help="State folder of the line.")] = Path("var/screenshots"),
    people: Annotated[bool, typer.Option("--people", help="Only the pages of people, without a line.")] = False,
    review: Annotated[
        Path | None, typer.Option(help="Folder for every page in every language, width and colour.")
    ] = None,
    chromium: Annotated[str, typer.Option(help="Path of Chromium.")] = shutil.which("chromium") or "chromium",
) -> None:
    """Take screenshots of the pages of a running line, and of the pages of people, which need a login."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        if not review:
            photograph_user_pages(browser, out)
        browser.close()
    if people:
        return
    with _line(state) as address, sync_playwright() as playwright:
        _wait_for(address, frames)
        browser = playwright.chromium.launch(executable_path=chromium)
        model = _model(address)
        found = {"session": _label(address), "frame": f"/frames/{_last_break(address)}"}
        pages = {**PAGES, **found, "model": model, "thresholds": f"{model}/thresholds"}
        if review:
            _review(browser, address, {**pages, **REVIEWED}, review)
            return
        for name, path in pages.items():
            _photograph(browser, address + path, out / f"{name}.jpg", "light")
        _photograph(browser, address, out / "line-dark.jpg", "dark")
        browser.close()


def _review(browser: Browser, address: str, pages: Mapping[str, str], out: Path) -> None:
    """Take a screenshot of each whole page in every language, width and colour; print its weight and first paint."""
    typer.echo("| page | KB | first paint, ms |\n|---|---|---|")
    for (language, locale), width, scheme in itertools.product(LOCALES.items(), WIDTHS, SCHEMES):
        folder = out / f"{language}-{width}-{scheme}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, path in pages.items():
            context = browser.new_context(
                viewport=ViewportSize(width=width, height=SIZE["height"]), color_scheme=scheme, locale=locale
            )
            page = context.new_page()
            page.goto(address + path, wait_until="domcontentloaded")
            page.wait_for_timeout(SETTLE_MILLISECONDS // 2)
            page.screenshot(path=folder / f"{name}.jpg", type="jpeg", quality=QUALITY, full_page=True)
            if folder.name == "en-1280-light":
                typer.echo(f"| {name} | {page.evaluate(WEIGHT) / 1000:.0f} | {page.evaluate(FIRST_PAINT):.0f} |")
            context.close()


@contextmanager
def _line(state: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "deploy.embedded", "--state", str(state), "--port", str(port), "--loop"]
    command += ["--fresh", "--yes"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603  our own module
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(120)


def _wait_for(address: str, frames: int) -> None:
    """Wait until a number of frames is inspected and the flagged ones are explained."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        try:
            counts = httpx.get(f"{address}/api/lines/{LINE}/accounting", timeout=10)
        except httpx.TransportError:
            counts = None
        if counts and counts.is_success and counts.json()["inspected"] >= frames and counts.json()["explained"]:
            return
        time.sleep(1)
    raise typer.BadParameter(f"the line has not inspected {frames} frames in {READY_SECONDS:.0f} s: see its logs")


def _last_break(address: str) -> str:
    """Return the id of the frame with the highest score of `break` among the last 50."""
    wanted = {"verdict": "ng", "label": "break", "limit": "50"}
    frames = httpx.get(f"{address}/api/frames", params=wanted, timeout=30).raise_for_status().json()["frames"]
    return str(max(frames, key=lambda frame: frame["findings"]["break"]["score"])["frame_id"])


def _model(address: str) -> str:
    """Return the path of the page of the model in production."""
    production = httpx.get(f"{address}/api/models/seam/production", timeout=30).raise_for_status().json()
    return f"/models/seam/{production['version']}"


def _label(address: str) -> str:
    """Upload the video that plays, label its beginning by its table, and return the address of the session."""
    video = seam_video(Path("var/videos"))
    client = httpx.Client(base_url=address, timeout=120)
    with video.open("rb") as file:
        uploaded = client.post(
            "/api/labelling/videos", files={"files": ("seams.mp4", file)}, data={"recipe": "seam"}
        ).raise_for_status()
    source, labels = uploaded.json()["source"], [label["name"] for label in uploaded.json()["labels"]]
    with video.with_suffix(".csv").open(newline="", encoding="utf-8") as table:
        for number, row in enumerate(islice(csv.DictReader(table), LABELLED)):
            labelled = {name: row[name] == "True" for name in labels}
            client.post(f"/api/labelling/sources/{source}/labels", json={"frames": [str(number)], "labels": labelled})
    return f"/labelling/{source}?queue=all&frame={LABELLED - 2}"


def _photograph(browser: Browser, address: str, out: Path, scheme: Literal["light", "dark"]) -> None:
    page = browser.new_page(viewport=SIZE, color_scheme=scheme)
    page.goto(address, wait_until="domcontentloaded")
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    page.screenshot(path=out, type="jpeg", quality=QUALITY)
    page.close()


if __name__ == "__main__":
    app()
