"""Where the broker of a test is, for the test and for the services it starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared import topology
from shared.messaging.port import Broker
from shared.messaging.rabbitmq import RabbitBroker
from shared.messaging.sqlite import SqliteBroker
from shared.settings import folder_of
from shared.topology import Queue


@dataclass(frozen=True)
class BrokerAddress:
    """The settings by which a service finds its broker."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, prefix: str) -> BrokerAddress:
        names = (f"{prefix}BROKER_URL", f"{prefix}BROKER_USER", f"{prefix}BROKER_PASSWORD")
        return cls(*(os.environ.get(name, "") for name in names))

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite:")

    def environment(self, prefix: str) -> dict[str, str]:
        """For a service in a process of its own; ``prefix`` is like ``CAMERA_``."""
        user = {f"{prefix}BROKER_USER": self.user, f"{prefix}BROKER_PASSWORD": self.password} if self.user else {}
        return {f"{prefix}BROKER_URL": self.url, **user}

    def open(self, queues: Sequence[Queue] = topology.QUEUES, heartbeat_seconds: int = 20) -> Broker:
        if self.is_sqlite:
            return SqliteBroker(folder_of(self.url), queues)
        return RabbitBroker(self.url, self.user, self.password, queues=queues, heartbeat_seconds=heartbeat_seconds)
