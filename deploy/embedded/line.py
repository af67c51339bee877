"""The line of the demo: which services run with which settings, and what is true of it when it is done."""

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
"""Name of the line, unless CAMERA_LINE says another."""
FLOW: Final[tuple[str, ...]] = ("camera", "inference", "explainer", "trainer", "dashboard")
FLOW_WITH_PARTS: Final[tuple[str, ...]] = ("camera", "inference", "explainer", "trainer", "gateway", "dashboard")
FIRST_PORT: Final = 8000
FIRST_MODBUS_PORT: Final = 5020
REPORT_SECONDS: Final = "0.5"
"""So that a PLC sees within two seconds that a camera or a worker is gone."""
LINES: Final = """# What a part is on the line of the demo, and its outputs: docs/factory.md. It is read at each start.
lines:
  {line}:
    parts: {{of: frame, deadline_ms: 5000}}
    outputs:
      gate: {{type: modbus, port: {port}, hold_ms: 20, bits: [good, error, break, length]}}
      history: {{type: file, folder: {folder}, format: jsonl, every_seconds: 10}}
      # broker: {{type: mqtt, host: 127.0.0.1}}   # then: mosquitto_sub -v -t 'seamline/#'
"""
INSTEAD: Final = {
    "CAMERA_FRAMES": "give FRAMES= instead",
    "CAMERA_OUTBOX_FOLDER": "give --state instead",
    "TRAINER_WORK_FOLDER": "give --state instead",
    "INFERENCE_RECIPE": "give RECIPE= or MODEL= instead",
    "TRAINER_INITIAL_MODEL": "give MODEL= instead",
    "DASHBOARD_REDIS_URL": "unset it",
}
"""Settings that the demo makes itself, beside the addresses of its broker and storage, and what to do instead."""


class CannotPlay(Exception):
    """What the user asked for can't be played; the message says in one line what to do."""


@dataclass(frozen=True)
class Wishes:
    """What the user asked to be played."""

    source: str
    frames: int | None
    pace: str
    at_end: str
    recipe: str
    model: Path
    state: Path
    modbus_port: int | None = None
    """Of the gateway; None: nothing decides about parts."""

    @property
    def line(self) -> str:
        """Return the name of the line."""
        return os.environ.get("CAMERA_LINE") or LINE


def services(wishes: Wishes, port: int, inherited: Sequence[int] = ()) -> dict[str, Service]:
    """The services, by name, in the order of the flow, not yet started; with descriptors that they inherit.

    Every other setting of a service, such as CAMERA_LINE or DASHBOARD_LOGIN, comes from the environment of the demo.
    """
    usual = {
        "CAMERA_PACE": wishes.pace,
        "CAMERA_AT_END": wishes.at_end,
        "CAMERA_LINE": LINE,
        **{f"{name.upper()}_LOG_FORMAT": "json" for name in FLOW_WITH_PARTS},
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "KERAS_BACKEND": "tensorflow",
    }
    usual |= {name: given for name in usual if (given := os.environ.get(name))}
    own: dict[str, dict[str, str]] = {
        "camera": {
            "CAMERA_SOURCE": wishes.source,
            "CAMERA_FRAMES": str(wishes.frames or 0),
            "CAMERA_OUTBOX_FOLDER": str(wishes.state / "outbox"),
        },
        "inference": {"INFERENCE_RECIPE": wishes.recipe},
        "explainer": {},
        "trainer": {"TRAINER_INITIAL_MODEL": str(wishes.model), "TRAINER_WORK_FOLDER": str(wishes.state / "trainings")},
        "dashboard": {"DASHBOARD_REDIS_URL": "embedded://", "DASHBOARD_PORT": str(port)},
    }
    flow = FLOW
    if wishes.modbus_port:
        flow = FLOW_WITH_PARTS
        own["camera"]["CAMERA_REPORT_SECONDS"] = own["inference"]["INFERENCE_REPORT_SECONDS"] = REPORT_SECONDS
        own["gateway"] = {
            "GATEWAY_FOLDER": str(wishes.state / "gateway"),
            "GATEWAY_LINES": str(_lines_file(wishes)),
            "GATEWAY_REPORT_SECONDS": "1",
        }
    for name in flow:
        own[name][f"{name.upper()}_BROKER_URL"] = f"sqlite:///{wishes.state / 'broker'}"
        own[name][f"{name.upper()}_STORAGE_URL"] = f"file:///{wishes.state / 'objects'}"
    has_an_end = bool(wishes.frames) or (usual["CAMERA_AT_END"] == "stop" and not is_live(wishes.source))
    return {
        name: Service(
            name,
            {**usual, **own[name]},
            wishes.state / "logs" / f"{name}.log",
            may_finish=name == "camera" and has_an_end,
            inherited=inherited,
        )
        for name in flow
    }


def modbus_port(state: Path) -> int:
    """The port of the PLC's side: that of the lines' file if there is one, else a free one."""
    file = state / "lines.yaml"
    named = re.search(r"type: modbus, port: (\d+)", file.read_text(encoding="utf-8")) if file.exists() else None
    return int(named[1]) if named else free_port(FIRST_MODBUS_PORT)


def _lines_file(wishes: Wishes) -> Path:
    """The file of the lines; one that is there is the user's own, and stays."""
    file = wishes.state / "lines.yaml"
    if not file.exists():
        text = LINES.format(line=wishes.line, port=wishes.modbus_port, folder=wishes.state / "parts")
        file.write_text(text, encoding="utf-8")
    return file


def check_settings(state: Path, port: int, source: str) -> DashboardSettings:
    """Check the settings of all services in the environment, and return those of the dashboard.

    Raises:
        CannotPlay: the environment has a setting that the demo makes itself.
        SystemExit: a setting is wrong; standard error says which.
    """
    servers = {f"{name.upper()}_{what}_URL": "unset it" for name in FLOW_WITH_PARTS for what in ("BROKER", "STORAGE")}
    for name, instead in {**INSTEAD, **servers}.items():
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
    """Yield a token with which the demo reads the counts of its dashboard; an empty one without DASHBOARD_LOGIN."""
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
    """Return a port, or the next free one."""
    for port in range(first, first + 100):
        if not listens(port):
            return port
    raise CannotPlay(f"ports {first} to {first + 99} are all taken: stop what listens there")


def listens(port: int) -> bool:
    """Whether a port of this machine is taken."""
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a listener that has just gone does not count
        probe.bind(("127.0.0.1", port))
        return False
    return True


@dataclass(frozen=True)
class Accounts:
    """Where the frames are. Captured = inspected + dropped + parked + in flight, at every moment."""

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
        """Every frame is accounted for, nothing is under way, and every flagged frame has its heatmaps."""
        return (
            self.captured > 0
            and self.captured == self.inspected + self.dropped + self.parked
            and self.in_flight == 0
            and self.explained == self.flagged
        )

    def since(self, before: Accounts) -> Accounts:
        """What came after others were read. Rates are of all frames, what is in flight is in flight now."""
        sums = ("captured", "inspected", "flagged", "explained", "dropped", "unreadable", "parked", "parts")
        return replace(self, **{name: max(0, getattr(self, name) - getattr(before, name)) for name in sums})


def is_ready(api: httpx.Client) -> bool:
    """Whether the dashboard has read what an earlier line left."""
    return api.get("/readyz").is_success


def read_accounts(api: httpx.Client, broker: Broker, line: str) -> Accounts:
    """Ask the dashboard for its counts, and the broker, on its own, for what is parked and what is under way.

    Raises:
        httpx.HTTPError: the dashboard does not know them now.
        BrokerUnavailable: its file is busy.
    """
    answer = api.get(f"/api/lines/{line}/accounting")
    known = answer.status_code != httpx.codes.NOT_FOUND
    counts: dict[str, Any] = answer.raise_for_status().json() if known else {}
    queues = [
        queue
        for queue in topology.QUEUES
        if queue.exchange in (topology.FRAMES, topology.VERDICTS) and not queue.name.startswith("gateway.")
    ]
    waiting = int(counts.get("waiting", 0))
    return Accounts(
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
    """Refuse a source that is not there.

    Raises:
        CannotPlay: with what to give instead.
    """
    if source and not is_live(source) and not Path(source).exists():
        raise CannotPlay(
            f"SOURCE: {redacted(source)} does not exist: give a video, a folder of images, a camera index or an address"
        )


def is_live(source: str) -> bool:
    """Whether a source has no end: a camera index or an address."""
    path = Path(source)
    return is_address(source) or path.is_char_device() or (source.isdigit() and not path.exists())
