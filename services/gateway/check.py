"""Connect to each output and encoder in a file of the lines, each in a thread of its own and in a bounded time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from services.gateway.encoders.reading import open_reader
from services.gateway.encoders.settings import OutputEncoderSettings
from services.gateway.lines import LineSettings, LinesFile
from services.gateway.outputs.opening import open_output
from services.gateway.outputs.port import Output, OutputUnavailable
from services.gateway.outputs.settings import ModbusSettings, OpcUaSettings

CHECK_SECONDS: Final = 30.0
"""Seconds in which all outputs and encoders of a file have to answer, whatever their own timeouts are."""
IN_USE: Final = "address already in use"


@dataclass(frozen=True)
class Checked:
    """Whether an output or an encoder can be reached."""

    name: str
    """As ``<line>/<output>``."""
    failure: str = ""
    """Why it can't be reached, with its address and what to do; empty if it can be reached."""
    note: str = ""
    """What was not tried."""

    def __str__(self) -> str:
        return f"{self.name}: {self.failure or ' '.join(['ok', self.note]).rstrip()}"


def check_outputs(
    lines: LinesFile, in_force: LinesFile | None = None, seconds: float = CHECK_SECONDS
) -> tuple[Checked, ...]:
    """Connect to each output and encoder without sending a signal, and return what came of it.

    Args:
        lines: the settings to check.
        in_force: the settings of a gateway that may run: an address on which one of its outputs listens may be in use.
        seconds: an output that has not answered after this time can't be reached.
    """
    served = {
        (output.host, output.port)
        for outputs in (in_force or LinesFile()).outputs.values()
        for output in outputs.values()
        if isinstance(output, ModbusSettings | OpcUaSettings)
    }
    attempts = [
        (f"{line}/{name}", remedy, is_served, attempt)
        for line, settings in lines.lines.items()
        for name, remedy, is_served, attempt in _attempts(line, settings, served)
    ]
    begun = [(name, remedy, is_served, _begin(attempt)) for name, remedy, is_served, attempt in attempts]
    until = time.monotonic() + seconds
    return tuple(
        _ended(name, attempt, until - time.monotonic(), seconds, remedy, is_served=is_served)
        for name, remedy, is_served, attempt in begun
    )


def _attempts(
    line: str, settings: LineSettings, served: set[tuple[str, int]]
) -> Iterator[tuple[str, str, bool, Callable[[], None]]]:
    """Yield the name of each output and encoder, its remedy, whether a gateway may serve it, and the attempt.

    The drivers are imported here, before a thread starts: threads that import them together may end in a deadlock.
    """
    for name, output in settings.outputs.items():
        is_served = isinstance(output, ModbusSettings | OpcUaSettings) and (output.host, output.port) in served
        opened, hindrance = open_output(output, line, only_checks=True), ""
        if isinstance(output, OpcUaSettings):
            from services.gateway.outputs.opcua.security import expired  # noqa: PLC0415  only with its driver

            hindrance = expired(output, datetime.now(UTC))
        yield name, output.remedy, is_served, partial(_try_output, opened, hindrance)
    if encoder := settings.encoder:
        own = [encoder.output] if isinstance(encoder, OutputEncoderSettings) else []
        receivers = {name: open_output(settings.outputs[name], line) for name in own}
        yield "encoder", encoder.remedy, False, open_reader(encoder, receivers).check


def _try_output(output: Output, hindrance: str) -> None:
    """Connect, unless something is known to hinder that."""
    with closing(output):
        if hindrance:
            raise OutputUnavailable(hindrance)
        output.check()


def _begin(attempt: Callable[[], None]) -> Future[None]:
    """Start an attempt in a thread that does not keep the process alive."""
    future = Future[None]()

    def run() -> None:
        try:
            attempt()
        except Exception as error:  # noqa: BLE001  `_ended` raises it again
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=run, name="check", daemon=True).start()
    return future


def _ended(name: str, attempt: Future[None], left: float, seconds: float, remedy: str, *, is_served: bool) -> Checked:
    """Return what came of an attempt, which has ``left`` seconds more."""
    try:
        attempt.result(max(0.0, left))
    except NotInTime:
        return Checked(name, f"no answer in {seconds:g} s: {remedy}")
    except OutputUnavailable as error:
        if is_served and IN_USE in str(error).lower():
            return Checked(name, note="(its address is in use, as it is while a gateway runs)")
        return Checked(name, f"{' '.join(str(error).split())}: {remedy}")
    return Checked(name)
