"""`make demo`: play a film, a folder or a camera through the five services on this machine."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, NoReturn

import httpx
import typer
from rich.console import Console
from rich.live import Live

from deploy.embedded.film import seam_film
from deploy.embedded.line import Accounts, Wishes, free_port, is_live, read_accounts, services
from deploy.embedded.model import first_model
from deploy.embedded.processes import CONFIGURATION_ERROR, Service, ServiceFailed
from deploy.embedded.view import View
from shared.messaging.sqlite import SqliteBroker
from shared.recipe import RecipeError
from shared.vision.bundle import BundleError

SAMPLE_MODEL: Final = Path(__file__).parents[2] / "samples" / "model"
MARK: Final = "made-by-seamline"
"""A file that says that the folder is the line's own."""
STALL_SECONDS: Final = 180.0
"""Without any frame moving on for so long, a run of a fixed length has failed."""
LOOK_SECONDS: Final = 0.5

app = typer.Typer(add_completion=False)
console = Console(stderr=True)


@app.command()
def demo(
    *,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Stop by itself after so many frames, and account for them.")
    ] = None,
    source: Annotated[
        str, typer.Option(help="Video file, folder of pictures, camera index, or RTSP/HTTP address.")
    ] = "",
    recipe: Annotated[Path | None, typer.Option(help="What is inspected (YAML).")] = None,
    model: Annotated[Path, typer.Option(help="Folder of the model to start with.")] = SAMPLE_MODEL,
    state: Annotated[Path, typer.Option(help="Where the line keeps everything.")] = Path("var/demo"),
    loop: Annotated[bool, typer.Option(help="Play the source again and again.")] = False,
    port: Annotated[
        int | None, typer.Option(help="Of the dashboard; by default the first free one from 8000 on.")
    ] = None,
    keep: Annotated[
        bool, typer.Option(help="Go on with what is in the state folder instead of starting anew.")
    ] = False,
) -> None:
    """Play frames through the whole line, and show what becomes of them."""
    state = state.resolve()
    _prepare(state, keep=keep)
    try:
        first, learned = first_model(model, recipe, state / "models")
    except (BundleError, RecipeError) as error:
        _refuse(str(error))
    wishes = Wishes(
        source=source or str(seam_film(Path("var/films").resolve())),
        frames=frames,
        pace="fast" if frames else "source",
        at_end="loop" if frames or loop or not source else "stop",
        recipe=learned.name,
        model=first.resolve(),
        state=state,
    )
    if source and not is_live(source) and not Path(source).exists():
        _refuse(f"SOURCE: {source} does not exist: give a video, a folder of pictures, a camera index or an address")
    sys.exit(_run(wishes, port or free_port()))


def _prepare(state: Path, *, keep: bool) -> None:
    """Start anew in a folder that an earlier line made; never touch one that it did not make."""
    mark = state / MARK
    if state.exists() and any(state.iterdir()) and not mark.exists():
        _refuse(f"{state} holds something else: give --state an empty folder, or one that does not exist")
    if mark.exists() and not keep:
        shutil.rmtree(state)
    state.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _refuse(why: str) -> NoReturn:
    sys.stderr.write(f"{why}\n")
    sys.exit(CONFIGURATION_ERROR)


def _run(wishes: Wishes, port: int) -> int:
    stop = _told_to_stop()
    running = services(wishes, port)
    hint = f"Stops by itself after {wishes.frames} frames" if wishes.frames else "Ctrl-C stops it"
    view = View(f"http://127.0.0.1:{port}", hint)
    broker = SqliteBroker(wishes.state / "broker")
    started = time.monotonic()
    try:
        for service in running.values():
            service.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as api:
            accounts = _watch(running, lambda: read_accounts(api, broker), view, wishes.frames, stop)
    except ServiceFailed as failed:
        sys.stderr.write(f"{failed}\n")
        return CONFIGURATION_ERROR
    finally:
        _stop_in_order(running)
        broker.close()
    if not wishes.frames:
        return 0
    sys.stdout.write(json.dumps(_summary(accounts, time.monotonic() - started)) + "\n")
    return 0 if accounts.complete and accounts.captured == wishes.frames else 1


def _told_to_stop() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _watch(
    running: dict[str, Service],
    look: Callable[[], Accounts],
    view: View,
    frames: int | None,
    stop: threading.Event,
) -> Accounts:
    """Show the line until it is told to stop, has done its frames, or stands still; the last accounts."""
    accounts, moved_at = Accounts(), time.monotonic()
    with Live(view.draw(accounts), console=console, auto_refresh=False) as live:
        while not stop.wait(LOOK_SECONDS):
            for service in running.values():
                if service.keep_alive():
                    console.print(f"{service.name} crashed and was started again: {service.last_words()}")
            before = accounts
            with contextlib.suppress(httpx.TransportError):  # the dashboard is still starting, or starting again
                accounts = look()
            live.update(view.draw(accounts), refresh=True)
            moved_at = time.monotonic() if accounts != before else moved_at
            done = running["camera"].exit_code == 0 and accounts.complete and accounts.captured == frames
            if frames and (done or time.monotonic() - moved_at > STALL_SECONDS):
                break
    return accounts


def _stop_in_order(running: dict[str, Service]) -> None:
    """In the order of the flow, so that each one still gets what the one before it had in hand."""
    for service in running.values():
        service.stop()


def _summary(accounts: Accounts, seconds: float) -> dict[str, object]:
    return {
        **{name: getattr(accounts, name) for name in ("captured", "judged", "flagged", "explained", "refused")},
        "parked": accounts.parked,
        "in_flight": accounts.in_flight,
        "seconds": round(seconds, 1),
        "defect_rates": accounts.defect_rates or {},
        "model_version": accounts.model_version,
    }


if __name__ == "__main__":
    app()
