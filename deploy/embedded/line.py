"""The line of the demo: its services with their settings, and the accounting of its frames."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx

from deploy.embedded.processes import Service
from services.camera.settings import CameraSettings
from services.camera.sources.address import is_address, redacted
from services.dashboard.access.audit import Audit, audit_store
from services.dashboard.access.people import People
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.settings import DashboardSettings
from services.dashboard.web.callers import Role
from services.explainer.settings import ExplainerSettings
from services.inference.settings import InferenceSettings
from services.trainer.settings import TrainerSettings
from shared import topology
from shared.environment import read_settings
from shared.messaging.port import Broker
from shared.storage.opening import open_store

LINE: Final = "demo"
"""Name of the line, unless CAMERA_LINE gives another name."""
FLOW: Final[tuple[str, ...]] = ("camera", "inference", "explainer", "trainer", "dashboard")
FLOW_WITH_PARTS: Final[tuple[str, ...]] = ("camera", "inference", "explainer", "trainer", "gateway", "dashboard")
FIRST_PORT: Final = 8000
FIRST_MODBUS_PORT: Final = 5020
REPORT_SECONDS: Final = "0.5"
"""Interval of reports: a PLC then sees within two seconds that a camera or a worker has ended."""
LINES: Final = """# What a part is on the line of the demo, and its outputs: docs/factory.md. It is read at each start.
lines:
  {line}:
    parts: {{of: frame, deadline_ms: 5000}}
    outputs:
      gate: {{type: modbus, port: {port}, hold_ms: 20, bits: [good, error, break, length]}}
      history: {{type: file, folder: {folder}, format: jsonl, every_seconds: 10}}
      # broker: {{type: mqtt, host: 127.0.0.1}}   # then: mosquitto_sub -v -t 'seamline/#'
"""
DEMO_SETTINGS: Final = {
    "CAMERA_FRAMES": "give FRAMES= instead",
    "CAMERA_OUTBOX_FOLDER": "give --state instead",
    "TRAINER_WORK_FOLDER": "give --state instead",
    "INFERENCE_RECIPE": "give RECIPE= or MODEL= instead",
    "TRAINER_INITIAL_MODEL": "give MODEL= instead",
    "DASHBOARD_REDIS_URL": "unset it",
}
"""By setting that the demo makes itself (besides the addresses of broker and storage): what to do instead."""


class CannotPlay(Exception):
    """The requested source can't be played; the message says in one line what to do."""


@dataclass(frozen=True)
class DemoOptions:
    """What the user requested."""

    source: str
    frames: int | None
    pace: str
    at_end: str
    recipe: str
    model: Path
    state: Path
    modbus_port: int | None = None
    """Modbus port of the gateway; None: no gateway runs."""

    @property
    def line(self) -> str:
        """Return the name of the line."""
        return os.environ.get("CAMERA_LINE") or LINE


def services(options: DemoOptions, port: int, inherited: Sequence[int] = ()) -> dict[str, Service]:
    """Return the services by name, in the order of the flow; they are not started yet.

    Every other setting of a service, such as CAMERA_LINE or DASHBOARD_LOGIN, comes from the environment of the demo.
    """
    usual = {
        "CAMERA_PACE": options.pace,
        "CAMERA_AT_END": options.at_end,
        "CAMERA_LINE": LINE,
        **{f"{name.upper()}_LOG_FORMAT": "json" for name in FLOW_WITH_PARTS},
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "KERAS_BACKEND": "tensorflow",
    }
    usual |= {name: given for name in usual if (given := os.environ.get(name))}
    own: dict[str, dict[str, str]] = {
        "camera": {
            "CAMERA_SOURCE": options.source,
            "CAMERA_FRAMES": str(options.frames or 0),
            "CAMERA_OUTBOX_FOLDER": str(options.state / "outbox"),
        },
        "inference": {"INFERENCE_RECIPE": options.recipe},
        "explainer": {},
        "trainer": {
            "TRAINER_INITIAL_MODEL": str(options.model),
            "TRAINER_WORK_FOLDER": str(options.state / "trainings"),
        },
        "dashboard": {"DASHBOARD_REDIS_URL": "embedded://", "DASHBOARD_PORT": str(port)},
    }
    flow = FLOW
    if options.modbus_port:
        flow = FLOW_WITH_PARTS
        own["camera"]["CAMERA_REPORT_SECONDS"] = own["inference"]["INFERENCE_REPORT_SECONDS"] = REPORT_SECONDS
        own["gateway"] = {
            "GATEWAY_FOLDER": str(options.state / "gateway"),
            "GATEWAY_LINES": str(_lines_file(options)),
            "GATEWAY_REPORT_SECONDS": "1",
        }
    for name in flow:
        own[name][f"{name.upper()}_BROKER_URL"] = f"sqlite:///{options.state / 'broker'}"
        own[name][f"{name.upper()}_STORAGE_URL"] = f"file:///{options.state / 'objects'}"
    has_an_end = bool(options.frames) or (usual["CAMERA_AT_END"] == "stop" and not is_live(options.source))
    return {
        name: Service(
            name,
            {**usual, **own[name]},
            options.state / "logs" / f"{name}.log",
            may_finish=name == "camera" and has_an_end,
            inherited=inherited,
        )
        for name in flow
    }


def modbus_port(state: Path) -> int:
    """Return the port for the PLC: the port in the lines file if the file exists, else a free port."""
    file = state / "lines.yaml"
    named = re.search(r"type: modbus, port: (\d+)", file.read_text(encoding="utf-8")) if file.exists() else None
    return int(named[1]) if named else free_port(FIRST_MODBUS_PORT)


def _lines_file(options: DemoOptions) -> Path:
    """Return the lines file; it is written unless it exists, because the user may have changed it."""
    file = options.state / "lines.yaml"
    if not file.exists():
        text = LINES.format(line=options.line, port=options.modbus_port, folder=options.state / "parts")
        file.write_text(text, encoding="utf-8")
    return file


def check_settings(state: Path, port: int, source: str) -> DashboardSettings:
    """Check the settings of all services in the environment, and return those of the dashboard.

    Raises:
        CannotPlay: the environment has a setting that the demo makes itself.
        SystemExit: a setting is wrong; standard error says which.
    """
    servers = {f"{name.upper()}_{what}_URL": "unset it" for name in FLOW_WITH_PARTS for what in ("BROKER", "STORAGE")}
    for name, instead in {**DEMO_SETTINGS, **servers}.items():
        if os.environ.get(name):
            raise CannotPlay(f"{name}: the demo makes this setting itself: {instead}")
    addresses = {"broker_url": f"sqlite:///{state / 'broker'}", "storage_url": f"file:///{state / 'objects'}"}
    read_settings(CameraSettings, source=source or "0", **addresses)
    read_settings(InferenceSettings, recipe="any", **addresses)
    for kind in (ExplainerSettings, TrainerSettings):
        read_settings(kind, **addresses)
    return read_settings(DashboardSettings, redis_url="embedded://", port=port, **addresses)


@contextmanager
def token_of_demo(settings: DashboardSettings) -> Iterator[str]:
    """Yield a token with which the demo reads the counts of its dashboard; empty without DASHBOARD_LOGIN."""
    if not settings.login:
        yield ""
        return
    store = open_store(settings)
    people = People(PeopleRepository(store), Audit(audit_store(settings, store)))
    token, secret = people.add_token("demo", Role.VIEWER, 30, by="console")
    try:
        yield secret
    finally:
        people.revoke_token(token.id, by="console")


def free_port(first: int = FIRST_PORT) -> int:
    """Return the first free port from ``first`` on."""
    for port in range(first, first + 100):
        if not listens(port):
            return port
    raise CannotPlay(f"ports {first} to {first + 99} are all taken: stop what listens there")


def listens(port: int) -> bool:
    """Return whether a process listens at a port of this machine."""
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a listener that has just gone does not count
        probe.bind(("127.0.0.1", port))
        return False
    return True


@dataclass(frozen=True)
class Accounting:
    """The accounting of the line's frames: captured = inspected + dropped + parked + in flight, at every moment."""

    captured: int = 0
    inspected: int = 0
    flagged: int = 0
    explained: int = 0
    dropped: int = 0
    unreadable: int = 0
    parked: int = 0
    in_flight: int = 0
    parts: int = 0
    defect_rates: dict[str, float] | None = None
    model_version: str | None = None

    @property
    def complete(self) -> bool:
        """Return whether no frame is in flight, and every flagged frame has its heatmaps."""
        return (
            self.captured > 0
            and self.captured == self.inspected + self.dropped + self.parked
            and self.in_flight == 0
            and self.explained == self.flagged
        )

    def since(self, earlier: Accounting) -> Accounting:
        """Return the counts since an earlier reading. Rates are of all frames; `in_flight` is the present number."""
        sums = ("captured", "inspected", "flagged", "explained", "dropped", "unreadable", "parked", "parts")
        return replace(self, **{name: max(0, getattr(self, name) - getattr(earlier, name)) for name in sums})


def is_ready(api: httpx.Client) -> bool:
    """Return whether the dashboard has read the data of an earlier line."""
    return api.get("/readyz").is_success


def read_accounting(api: httpx.Client, broker: Broker, line: str) -> Accounting:
    """Read the counts from the dashboard, and the numbers of parked and in-flight frames from the broker.

    Raises:
        httpx.HTTPError: the dashboard can't answer now.
        BrokerUnavailable: the broker's file is busy.
    """
    answer = api.get(f"/api/lines/{line}/accounting")
    has_line = answer.status_code != httpx.codes.NOT_FOUND
    counts: dict[str, Any] = answer.raise_for_status().json() if has_line else {}
    queues = [
        queue
        for queue in topology.QUEUES
        if queue.exchange in (topology.FRAMES, topology.VERDICTS) and not queue.name.startswith("gateway.")
    ]
    waiting = int(counts.get("waiting", 0))
    return Accounting(
        **{
            name: int(counts.get(name, 0))
            for name in ("captured", "inspected", "flagged", "explained", "dropped", "unreadable")
        },
        parts=int((counts.get("parts") or {}).get("decided", 0)),
        parked=broker.depth(topology.INFERENCE_FRAMES.parked).total,
        in_flight=waiting
        + sum(broker.depth(queue.name).total + broker.depth(queue.suspects).total for queue in queues),
        defect_rates=counts.get("defect_rates") or {},
        model_version=next(iter(counts.get("model_versions") or []), None),
    )


def check_source(source: str) -> None:
    """Check that a source exists.

    Raises:
        CannotPlay: the file or folder does not exist.
    """
    if source and not is_live(source) and not Path(source).exists():
        raise CannotPlay(
            f"SOURCE: {redacted(source)} does not exist: give a video, a folder of images, a camera index or an address"
        )


def is_live(source: str) -> bool:
    """Return whether a source has no end, as a camera index or an address."""
    path = Path(source)
    return is_address(source) or path.is_char_device() or (source.isdigit() and not path.exists())
