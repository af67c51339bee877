"""The line of the demo: which services run with which settings, and what is true of it when it is done."""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from deploy.embedded.processes import Service
from shared import topology
from shared.messaging.port import Broker

LINE: Final = "demo"
FLOW: Final = ("camera", "inference", "explainer", "trainer", "dashboard")
FIRST_PORT: Final = 8000


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


def services(wishes: Wishes, port: int) -> dict[str, Service]:
    """The five services, by name, in the order of the flow, not yet started."""
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
    return {
        name: Service(name, {**_common(name, wishes.state), **own[name]}, wishes.state / "logs" / f"{name}.log")
        for name in FLOW
    }


def _common(name: str, state: Path) -> dict[str, str]:
    settings = {
        "BROKER_URL": f"sqlite:///{state / 'broker'}",
        "STORAGE_URL": f"file:///{state / 'objects'}",
        "LOG_FORMAT": "json",
    }
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1", "KERAS_BACKEND": "tensorflow"}
    return {f"{name.upper()}_{key}": value for key, value in settings.items()} | quiet


def free_port() -> int:
    """`FIRST_PORT`, or the next one that nobody listens on."""
    for port in range(FIRST_PORT, FIRST_PORT + 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a listener that has just gone does not count
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"ports {FIRST_PORT} to {FIRST_PORT + 99} are all taken: stop what listens there")


@dataclass(frozen=True)
class Accounts:
    """Where the frames are. Captured = judged + refused + parked + in flight, at every moment."""

    captured: int = 0
    judged: int = 0
    flagged: int = 0
    explained: int = 0
    refused: int = 0
    parked: int = 0
    in_flight: int = 0
    defect_rates: dict[str, float] | None = None
    model_version: str | None = None

    @property
    def complete(self) -> bool:
        """Every frame is accounted for, nothing is under way, and every flagged frame has its heatmaps."""
        return (
            self.captured > 0
            and self.captured == self.judged + self.refused + self.parked
            and self.in_flight == 0
            and self.explained == self.flagged
        )


def read_accounts(api: httpx.Client, broker: Broker) -> Accounts:
    """Ask the dashboard for its counts, and the broker, on its own, for what is parked and what is under way."""
    answer = api.get(f"/api/lines/{LINE}/accounting")
    counts: dict[str, Any] = answer.json() if answer.status_code == httpx.codes.OK else {}
    queues = [queue for queue in topology.QUEUES if queue.exchange in (topology.FRAMES, topology.VERDICTS)]
    waiting = int(counts.get("waiting", 0))
    return Accounts(
        **{name: int(counts.get(name, 0)) for name in ("captured", "judged", "flagged", "explained", "refused")},
        parked=broker.depth(topology.INFERENCE_FRAMES.parked).total,
        in_flight=waiting
        + sum(broker.depth(queue.name).total + broker.depth(queue.suspects).total for queue in queues),
        defect_rates=counts.get("defect_rates") or {},
        model_version=next(iter(counts.get("model_versions") or []), None),
    )


def is_live(source: str) -> bool:
    """Whether a source has no end: a camera index or an address."""
    return source.isdigit() or bool(re.match(r"^[a-z]+://", source))
