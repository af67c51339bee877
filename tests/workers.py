"""Services as processes of their own, as they run in a plant."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from shared import topology
from shared.messages import FrameInspected, Message
from shared.messaging.port import Broker
from tests.broker_address import BrokerAddress
from tests.collector import Collector
from tests.conftest import Bucket
from tests.processes import ChildServer

ROOT = Path(__file__).parents[1]


@dataclass
class Line:
    """A broker whose verdicts are read, and the services that are started beside it."""

    address: BrokerAddress
    folder: Path
    """Of logs, and of the objects where no bucket is given."""
    bucket: Bucket | None = None
    broker: Broker = field(init=False)
    verdicts: Collector[FrameInspected] = field(init=False)

    def __post_init__(self) -> None:
        self.broker = self.address.open()
        self.verdicts = Collector(self.broker, topology.DASHBOARD_VERDICTS, FrameInspected)

    @property
    def objects(self) -> Path:
        return self.folder / "objects"

    def send(self, *messages: Message) -> None:
        """Publish, and wait for the confirms."""
        publisher = self.broker.publisher()
        for confirm in [publisher.publish(message) for message in messages]:
            confirm.result(60)
        publisher.close()

    def judged(self, frames: int, seconds: float = 200) -> list[FrameInspected]:
        """Return the verdicts, once this number of different frames has one."""
        return self.verdicts.until(lambda told: len(numbers(told)) >= frames, seconds)

    def worker(self, code: str = "", **settings: str) -> AbstractContextManager[ChildServer]:
        """An inference worker for the recipe of `tests.models`, until the end of the block."""
        quick = {"RECIPE": "paint", "BATCH": "8", "REPORT_SECONDS": "0.3", "MODEL_CHECK_SECONDS": "30"}
        patient = {"STORAGE_WAIT_SECONDS": "60"}  # a busy disk is no storage that is away
        return self.running("inference", code, **{**quick, **patient, **settings})

    @contextmanager
    def running(self, service: str, code: str = "", **settings: str) -> Iterator[ChildServer]:
        """A service until the end of the block; ``code`` is run in its process before it starts."""
        prefix = f"{service.upper()}_"
        environment = {
            **self.address.environment(prefix),
            **_storage(self.bucket or self.objects, prefix),
            **{prefix + name: value for name, value in settings.items()},
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        start = f"import runpy\n{code}\nrunpy.run_module('services.{service}', run_name='__main__')"
        logs = (self.folder / f"{service}-{number}.log" for number in count())
        log = next(log for log in logs if not log.exists())
        server = ChildServer([sys.executable, "-c", start], log, lambda: True, environment)
        server.start()
        try:
            yield server
        finally:
            server.remove()


def numbers(answers: Sequence[FrameInspected]) -> set[int]:
    """Which frames have a verdict."""
    return {answer.frame.sequence for answer in answers}


def _storage(storage: Path | Bucket, prefix: str) -> dict[str, str]:
    if isinstance(storage, Path):
        return {f"{prefix}STORAGE_URL": f"file:///{storage}"}
    return {
        f"{prefix}STORAGE_URL": storage.url,
        f"{prefix}STORAGE_ACCESS_KEY": storage.access_key,
        f"{prefix}STORAGE_SECRET_KEY": storage.secret_key,
    }
