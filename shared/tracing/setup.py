"""Trace the frames that this process handles, if the environment names a collector of OpenTelemetry.

Without the standard variables of OpenTelemetry, nothing of it is imported.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from shared.errors import CannotStart
from shared.tracing.port import Tracer

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL: Final = "http/protobuf"
SAMPLERS: Final = ("always_on", "always_off", "traceidratio")
FLUSH_SECONDS: Final = 10.0
"""Most seconds that a service that ends waits until the collector has its last spans."""


class _Process:
    """What this process traces with."""

    tracer: Tracer | None = None


def configure_tracing(service: str) -> None:
    """Send spans of this process to the collector that the environment names, if it names one.

    Raises:
        CannotStart: a standard variable has a value that can't be used.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return
    if (named := _first_set(ENDPOINTS)) is None:
        return
    _check_endpoint(*named)
    protocol = _first_set(PROTOCOLS)
    if protocol and protocol[1] != PROTOCOL:
        raise CannotStart(f"{protocol[0]}: traces are sent by {PROTOCOL} only: unset it, and give that port")
    _check_sampler()
    from shared.tracing.otlp import OtlpTracer  # noqa: PLC0415  not imported without a collector

    _Process.tracer = OtlpTracer(service)


def close_tracing() -> None:
    """Send the last spans, and trace no more."""
    tracer, _Process.tracer = _Process.tracer, None
    if tracer:
        tracer.close(FLUSH_SECONDS)


def process_tracer() -> Tracer | None:
    """Return what this process traces with; None if it does not trace."""
    return _Process.tracer


def _first_set(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the first of these variables that has a value, with its value."""
    return next(((name, value) for name in names if (value := os.environ.get(name))), None)


def _check_endpoint(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if "@" in url:
        raise CannotStart(f"{name} holds a password: give it in OTEL_EXPORTER_OTLP_HEADERS")
    if not usable:
        raise CannotStart(f"{name} is no address of a collector: write it as http://HOST:4318")


def _check_sampler() -> None:
    sampler, share = os.environ.get("OTEL_TRACES_SAMPLER", ""), os.environ.get("OTEL_TRACES_SAMPLER_ARG", "")
    if sampler and sampler.removeprefix("parentbased_") not in SAMPLERS:
        raise CannotStart(f"OTEL_TRACES_SAMPLER is one of {', '.join(SAMPLERS)}, each also with parentbased_ before it")
    if sampler.endswith("traceidratio") and share:
        try:
            is_share = 0 <= float(share) <= 1
        except ValueError:
            is_share = False
        if not is_share:
            raise CannotStart("OTEL_TRACES_SAMPLER_ARG is the share of frames that are traced: 0 to 1")
