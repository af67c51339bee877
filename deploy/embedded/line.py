"""The line of the demo: which services run with which settings, and what is true of it when it is done."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx

from deploy.embedded.processes import Service
from shared import topology
from shared.messaging.port import Broker

LINE: Final = "demo"
FLOW: Final[tuple[str, ...]] = ("camera", "inference", "explainer", "trainer", "dashboard")
FLOW_WITH_PARTS: Final[tuple[str, ...]] = ("camera", "inference", "explainer", "trainer", "gateway", "dashboard")
FIRST_PORT: Final = 8000
FIRST_MODBUS_PORT: Final = 5020
REPORT_SECONDS: Final = "0.5"
"""So that a PLC sees within two seconds that a camera or a worker is gone."""
LINES: Final = """# What a part is on the line of the demo, and its outputs: docs/factory.md. It is read at each start.
lines:
  demo:
    parts: {{of: frame, deadline_ms: 5000}}
    outputs:
      gate: {{type: modbus, port: {port}, hold_ms: 20, bits: [good, error, break, length]}}
      history: {{type: file, folder: {folder}, format: jsonl, every_seconds: 10}}
      # broker: {{type: mqtt, host: 127.0.0.1}}   # then: mosquitto_sub -v -t 'seamline/#'
"""


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


def services(wishes: Wishes, port: int, inherited: Sequence[int] = ()) -> dict[str, Service]:
    """The services, by name, in the order of the flow, not yet started; with descriptors that they inherit."""
    own: dict[str, dict[str, str]] = {
        "camera": {
            "CAMERA_SOURCE": wishes.source,
            "CAMERA_FRAMES": str(wishes.frames or 0),
            "CAMERA_PACE": wishes.pace,
            "CAMERA_AT_END": wishes.at_end,
            "CAMERA_LINE": LINE,
            "CAMERA_NAME": "camera-1",
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
            "GATEWAY_LINES": str(_lines_file(wishes.state, wishes.modbus_port)),
            "GATEWAY_REPORT_SECONDS": "1",
        }
    has_an_end = bool(wishes.frames) or (wishes.at_end == "stop" and not is_live(wishes.source))
    return {
        name: Service(
            name,
            {**_common(name, wishes.state), **own[name]},
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


def _lines_file(state: Path, port: int) -> Path:
    """The file of the lines; one that is there is the user's own, and stays."""
    file = state / "lines.yaml"
    if not file.exists():
        file.write_text(LINES.format(port=port, folder=state / "parts"), encoding="utf-8")
    return file


def _common(name: str, state: Path) -> dict[str, str]:
    settings = {
        "BROKER_URL": f"sqlite:///{state / 'broker'}",
        "STORAGE_URL": f"file:///{state / 'objects'}",
        "LOG_FORMAT": "json",
    }
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1", "KERAS_BACKEND": "tensorflow"}
    return {f"{name.upper()}_{key}": value for key, value in settings.items()} | quiet


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
        sums = ("captured", "inspected", "flagged", "explained", "dropped", "parked", "parts")
        return replace(self, **{name: max(0, getattr(self, name) - getattr(before, name)) for name in sums})


def is_ready(api: httpx.Client) -> bool:
    """Whether the dashboard has read what an earlier line left."""
    return api.get("/readyz").is_success


def read_accounts(api: httpx.Client, broker: Broker) -> Accounts:
    """Ask the dashboard for its counts, and the broker, on its own, for what is parked and what is under way.

    Raises:
        httpx.HTTPError: the dashboard does not know them now.
        BrokerUnavailable: its file is busy.
    """
    answer = api.get(f"/api/lines/{LINE}/accounting")
    known = answer.status_code != httpx.codes.NOT_FOUND
    counts: dict[str, Any] = answer.raise_for_status().json() if known else {}
    queues = [
        queue
        for queue in topology.QUEUES
        if queue.exchange in (topology.FRAMES, topology.VERDICTS) and not queue.name.startswith("gateway.")
    ]
    waiting = int(counts.get("waiting", 0))
    return Accounts(
        **{name: int(counts.get(name, 0)) for name in ("captured", "inspected", "flagged", "explained", "dropped")},
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
            f"SOURCE: {source} does not exist: give a video, a folder of images, a camera index or an address"
        )


def is_live(source: str) -> bool:
    """Whether a source has no end: a camera index or an address."""
    return source.isdigit() or bool(re.match(r"^[a-z]+://", source))
