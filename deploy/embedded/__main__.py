"""`make demo`: play a video, a folder or a camera through the services on this machine."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final, NoReturn

import httpx
import typer
from rich.console import Console
from rich.live import Live

from deploy.embedded.line import (
    Accounting,
    CannotPlay,
    DemoOptions,
    check_settings,
    check_source,
    free_port,
    is_ready,
    listens,
    modbus_port,
    read_accounting,
    services,
    token_of_demo,
)
from deploy.embedded.model import check_is_used, first_model
from deploy.embedded.processes import CONFIGURATION_ERROR, Service, ServiceFailed
from deploy.embedded.state import StateRefused, state_for_one
from deploy.embedded.video import seam_video
from deploy.embedded.view import View, access_of
from services.dashboard.settings import DashboardSettings
from shared.contracts.bundle import BundleError
from shared.messaging.port import BrokerUnavailable, MessagingError
from shared.messaging.sqlite import SqliteBroker
from shared.recipe import LabelRole, Recipe, RecipeError

SAMPLE_MODEL: Final = Path(__file__).parents[2] / "samples" / "model"
STALL_SECONDS: Final = 180.0
"""A run of a fixed length has failed if no frame moves on for this time."""
POLL_SECONDS: Final = 0.5
TRANSIENT_ERRORS: Final = (httpx.HTTPError, BrokerUnavailable)
"""Errors while the dashboard is starting, or starting again."""

app = typer.Typer(add_completion=False)
console = Console(stderr=True)


@app.command()
def demo(
    *,
    frames: Annotated[
        int | None,
        typer.Option(min=1, envvar="DEMO_FRAMES", help="Stop after this number of frames, and print their accounting."),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            envvar=["DEMO_SOURCE", "CAMERA_SOURCE"],
            help="Video file, folder of images, camera index, or RTSP/HTTP address.",
        ),
    ] = "",
    recipe: Annotated[Path | None, typer.Option(envvar="DEMO_RECIPE", help="Recipe: what is inspected (YAML).")] = None,
    model: Annotated[Path, typer.Option(envvar="DEMO_MODEL", help="Folder of the model to start with.")] = SAMPLE_MODEL,
    parts: Annotated[
        bool,
        typer.Option("--parts", envvar="DEMO_PARTS", help="Decide about parts as well, and serve them to a PLC."),
    ] = False,
    state: Annotated[Path, typer.Option(help="Folder for all data of the line.")] = Path("var/demo"),
    loop: Annotated[bool, typer.Option(help="Play the source again and again.")] = False,
    port: Annotated[
        int | None,
        typer.Option(envvar="DASHBOARD_PORT", help="Port of the dashboard; by default a free one from 8000 on."),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            envvar="DEMO_FRESH",
            help="Delete the content of the state folder (labels, trainings, people, audit), and start anew.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", envvar="DEMO_YES", help="With --fresh: delete labels without asking.")
    ] = False,
) -> None:
    """Play frames through the whole line, and show their accounting; continue with the data of an earlier line."""
    state = state.resolve()
    chosen = recipe is not None or model != SAMPLE_MODEL
    try:
        check_source(source)
        _check_model(model, recipe)
        port = _port(port)
        settings = check_settings(state, port, source)
        with state_for_one(state, fresh=fresh, may_delete=lambda labels: yes or _agrees(state, labels)) as lock:
            first, learned = first_model(model, recipe, state / "models")
            if chosen:
                check_is_used(first, learned.name, state / "objects")
            options = DemoOptions(
                source=source or str(seam_video(Path("var/videos").resolve())),
                frames=frames,
                pace="fast" if frames else "source",
                at_end="loop" if frames or loop or not source else "stop",
                recipe=learned.name,
                model=first.resolve(),
                state=state,
                modbus_port=modbus_port(state) if parts else None,
            )
            sys.exit(_run(options, learned, settings, [lock]))
    except (BundleError, RecipeError, StateRefused, CannotPlay, MessagingError) as error:
        _refuse(str(error))


def _agrees(state: Path, labels: int) -> bool:
    """Ask at the terminal whether labels may be deleted; without a terminal, return False."""
    found = f"{state} holds {labels} annotation{'s' if labels != 1 else ''}, which people made"
    return sys.stdin.isatty() and typer.confirm(f"{found}: delete them?", err=True)


def _check_model(model: Path, recipe: Path | None) -> None:
    """Check the model and the recipe before the state folder changes."""
    with tempfile.TemporaryDirectory() as scratch:
        first_model(model, recipe, Path(scratch))


def _port(wanted: int | None) -> int:
    if wanted and listens(wanted):
        raise CannotPlay(f"port {wanted} is taken: give --port another one, or stop what listens there")
    return wanted or free_port()


def _refuse(why: str) -> NoReturn:
    sys.stderr.write(f"{why}\n")
    sys.exit(CONFIGURATION_ERROR)


def _run(options: DemoOptions, recipe: Recipe, settings: DashboardSettings, inherited: Sequence[int]) -> int:
    stop = _stop_at_signal()
    has_earlier_data = (options.state / "objects").exists()
    running = services(options, settings.port, inherited)
    hint = f"Stops by itself after {options.frames} frames" if options.frames else "Ctrl-C stops it"
    qualities = {label.name for label in recipe.labels if label.role is LabelRole.QUALITY}
    view = View(settings.address, [access_of(settings), hint], qualities, options.modbus_port)
    broker = SqliteBroker(options.state / "broker")
    started = time.monotonic()
    try:
        with (
            token_of_demo(settings) as token,
            httpx.Client(
                base_url=settings.address,
                headers={"Authorization": f"Bearer {token}"} if token else {},
                timeout=5,
                verify=False,  # noqa: S501  its own dashboard, whose certificate is of another name
            ) as api,
        ):

            def look() -> Accounting:
                return read_accounting(api, broker, options.line)

            before = _start(running, lambda: is_ready(api), look, stop, has_earlier_data=has_earlier_data)
            if not stop.is_set():
                sys.stderr.write(f"Dashboard {settings.address}\n")
            accounting = _watch(running, lambda: look().since(before), view, options.frames, stop)
    except ServiceFailed as failed:
        sys.stderr.write(f"{failed}\n")
        return CONFIGURATION_ERROR
    finally:
        _stop_in_order(running)
        broker.close()
    if not options.frames:
        return 0
    sys.stdout.write(json.dumps(_summary(accounting, time.monotonic() - started)) + "\n")
    return 0 if accounting.complete and accounting.captured >= options.frames else 1


def _start(
    running: dict[str, Service],
    is_ready: Callable[[], bool],
    look: Callable[[], Accounting],
    stop: threading.Event,
    *,
    has_earlier_data: bool,
) -> Accounting:
    """Start the services, and wait for the dashboard; return the accounting before the camera's first frame.

    Raises:
        ServiceFailed: a service can't start, such as the dashboard at a port that is taken.
    """
    camera, *others = running.values()
    for service in others:
        service.start()
    if has_earlier_data:
        console.print("Reading the data of an earlier line")
    else:
        camera.start()
    before, until = Accounting(), time.monotonic() + STALL_SECONDS
    while not stop.wait(POLL_SECONDS):
        _keep_alive(others if has_earlier_data else running.values())
        with contextlib.suppress(*TRANSIENT_ERRORS):
            if is_ready():
                before = look() if has_earlier_data else before
                break
        if time.monotonic() > until:
            raise ServiceFailed(f"the dashboard is not ready after {STALL_SECONDS:.0f} s: see its log")
    if has_earlier_data:
        camera.start()
    return before


def _keep_alive(services: Iterable[Service]) -> None:
    for service in services:
        if service.keep_alive():
            console.print(f"{service.name} ended and was started again: {service.last_log_line()}")


def _stop_at_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _watch(
    running: dict[str, Service],
    look: Callable[[], Accounting],
    view: View,
    frames: int | None,
    stop: threading.Event,
) -> Accounting:
    """Show the line until a signal, until its frames are done, or until it is stalled; return the last accounting."""
    accounting, moved_at = Accounting(), time.monotonic()
    with Live(view.draw(accounting), console=console, auto_refresh=False) as live:
        while not stop.wait(POLL_SECONDS):
            _keep_alive(running.values())
            before = accounting
            with contextlib.suppress(*TRANSIENT_ERRORS):
                accounting = look()
            live.update(view.draw(accounting), refresh=True)
            moved_at = time.monotonic() if accounting != before else moved_at
            done = running["camera"].exit_code == 0 and accounting.complete
            if "gateway" in running:
                done = done and accounting.parts >= accounting.captured  # each frame is a part, also a dropped one
            if frames and ((done and accounting.captured >= frames) or time.monotonic() - moved_at > STALL_SECONDS):
                break
    return accounting


def _stop_in_order(running: dict[str, Service]) -> None:
    """Stop the services in the order of the flow, so that each still gets the last messages of the one before."""
    for service in running.values():
        service.stop()


def _summary(accounting: Accounting, seconds: float) -> dict[str, object]:
    return {
        **{
            name: getattr(accounting, name)
            for name in ("captured", "inspected", "flagged", "explained", "dropped", "unreadable")
        },
        "parts": accounting.parts,
        "parked": accounting.parked,
        "in_flight": accounting.in_flight,
        "seconds": round(seconds, 1),
        "defect_rates": accounting.defect_rates or {},
        "model_version": accounting.model_version,
    }


if __name__ == "__main__":
    app()
