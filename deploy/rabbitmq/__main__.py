"""Writes definitions.json from the topology: ``python -m deploy.rabbitmq > deploy/rabbitmq/definitions.json``.

RabbitMQ reads it at each start, so that services find the topology there and need no right to make or delete anything.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import Any, Final

from shared import topology
from shared.messaging.rabbitmq.connecting import arguments_of

VHOST: Final = "seamline"
ADMINISTRATOR: Final = "admin"
OWN_QUEUE: Final = r"amq\.gen-.+"
"""A queue that RabbitMQ names, for one connection: where a broadcast is heard."""


@dataclass(frozen=True)
class Rights:
    """What a service may do beside reading the queues that bear its name."""

    writes: tuple[str, ...]
    hears: tuple[str, ...] = ()
    """exchanges of the broadcasts it listens to"""
    reviews: bool = False
    """reads what any queue has parked, for people to replay or discard"""


RIGHTS: Final = {
    "camera": Rights(writes=(topology.FRAMES, topology.REPORTS)),
    "inference": Rights(
        writes=(topology.FRAMES, topology.VERDICTS, topology.REPORTS, topology.DEAD),
        hears=(topology.PROMOTIONS.exchange,),
    ),
    "explainer": Rights(
        writes=(topology.VERDICTS, topology.REPORTS, topology.DEAD), hears=(topology.PROMOTIONS.exchange,)
    ),
    "trainer": Rights(writes=(topology.MODELS, topology.REPORTS, topology.DEAD)),
    "dashboard": Rights(writes=(topology.VERDICTS, topology.MODELS, topology.DEAD), reviews=True),
}


def definitions() -> dict[str, list[dict[str, Any]]]:
    """Users, their rights and the topology, as RabbitMQ imports them; passwords are put in by start.sh."""
    everything = {"user": ADMINISTRATOR, "configure": ".*", "write": ".*", "read": ".*"}
    return {
        "vhosts": [{"name": VHOST}],
        "users": [_user(ADMINISTRATOR, "administrator"), *map(_user, RIGHTS)],
        "permissions": [
            {"vhost": VHOST, **permission}
            for permission in (everything, *(_permission(user, rights) for user, rights in RIGHTS.items()))
        ],
        "exchanges": [*(_exchange(name, "topic") for name in topology.EXCHANGES), _exchange(topology.DEAD, "direct")],
        "queues": [
            _queue(name, arguments) for queue in topology.QUEUES for name, arguments in arguments_of(queue).items()
        ],
        "bindings": [binding for queue in topology.QUEUES for binding in _bindings(queue)],
    }


def _user(name: str, *tags: str) -> dict[str, Any]:
    return {"name": name, "password": f"@{name.upper()}_PASSWORD@", "tags": list(tags)}


def _permission(user: str, rights: Rights) -> dict[str, Any]:
    own = [OWN_QUEUE] if rights.hears else []
    reads = [rf"{re.escape(queue.name)}(\.suspects)?" for queue in topology.QUEUES if queue.name.startswith(f"{user}.")]
    parked = [r".+\.parked"] if rights.reviews else []
    return {
        "user": user,
        "configure": _any_of(own),
        "write": _any_of([*map(re.escape, rights.writes), *own]),
        "read": _any_of([*reads, *parked, *map(re.escape, rights.hears), *own]),
    }


def _any_of(patterns: list[str]) -> str:
    return f"^({'|'.join(patterns)})$" if patterns else "^$"


def _exchange(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "vhost": VHOST, "type": kind, "durable": True, "auto_delete": False, "arguments": {}}


def _queue(name: str, arguments: dict[str, object]) -> dict[str, Any]:
    arguments = {"x-queue-type": "quorum", **arguments}
    return {"name": name, "vhost": VHOST, "durable": True, "auto_delete": False, "arguments": arguments}


def _bindings(queue: topology.Queue) -> list[dict[str, Any]]:
    return [
        _binding(queue.exchange, queue.name, queue.binding),
        *(_binding(topology.DEAD, name, name) for name in arguments_of(queue)),
    ]


def _binding(source: str, queue: str, key: str) -> dict[str, Any]:
    ends = {"source": source, "destination": queue, "destination_type": "queue"}
    return {"vhost": VHOST, **ends, "routing_key": key, "arguments": {}}


def render() -> str:
    """The file: one line per thing."""
    parts = (
        f"  {json.dumps(kind)}: [\n" + ",\n".join(f"    {json.dumps(thing)}" for thing in things) + "\n  ]"
        for kind, things in definitions().items()
    )
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    sys.stdout.write(render())
