"""Write definitions.json from the topology: ``python -m deploy.rabbitmq > deploy/rabbitmq/definitions.json``.

RabbitMQ reads the file at each start, so services need no right to make or delete queues.
``python -m deploy.rabbitmq camera LINE NAME`` writes the definitions of the user of one more camera, whose password is
in ``CAMERA_PASSWORD``.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from string import Formatter
from typing import Any, Final

from pydantic import TypeAdapter

from shared import messages, topology
from shared.messages import Message
from shared.messaging.rabbitmq.connection import arguments_of, bindings_of, direct_exchanges

VHOST: Final = "seamline"
ADMINISTRATOR: Final = "admin"
OWN_QUEUE: Final = r"amq\.gen-.+"
"""Pattern of the names of queues that RabbitMQ makes for one connection to receive broadcasts."""
NAME: Final[TypeAdapter[str]] = TypeAdapter(messages.Name)
WORD: Final = "[A-Za-z0-9][A-Za-z0-9_-]*"
"""Pattern of a name in a routing key, as `shared.messages.Name`."""


@dataclass(frozen=True)
class Rights:
    """The rights of a user, besides reading and parking the messages of its service's queues."""

    sends: tuple[type[Message], ...]
    receives: tuple[topology.Broadcast, ...] = ()
    """Broadcasts that the user receives."""
    reviews: bool = False
    """Whether the user reads parked messages of all queues and replays them."""


RIGHTS: Final = {
    "camera": Rights(
        sends=(messages.FrameCaptured, messages.CheckFrame, messages.CameraReported),
        receives=(topology.LINE_RECIPES,),
    ),
    "inference": Rights(
        sends=(
            messages.FrameInspected,
            messages.CheckFrameInspected,
            messages.FrameDeferred,
            messages.FrameReturned,
            messages.ImageDeferred,
            messages.WorkerReported,
        ),
        receives=(topology.PROMOTIONS,),
    ),
    "explainer": Rights(sends=(messages.FrameExplained, messages.WorkerReported), receives=(topology.PROMOTIONS,)),
    "trainer": Rights(
        sends=(
            messages.TrainingProgressed,
            messages.ModelTrained,
            messages.ThresholdsStored,
            messages.ThresholdsRefused,
            messages.PromotionRequested,
            messages.PromotionRefused,
            messages.ModelPromoted,
        )
    ),
    "gateway": Rights(
        sends=(
            messages.PartDecided,
            messages.CheckFrame,
            messages.LineChecked,
            messages.WorkerReported,
            messages.GatewayReported,
            messages.RecipeAnnounced,
        ),
        receives=(topology.DECISIONS,),
    ),
    "dashboard": Rights(
        sends=(
            messages.ExplanationRequested,
            messages.OutputTestRequested,
            messages.CheckRequested,
            messages.RecipeChangeRequested,
            messages.TrainingRequested,
            messages.TrainingCancelled,
            messages.ComparisonRequested,
            messages.ThresholdsRequested,
            messages.PromotionRequested,
        ),
        reviews=True,
    ),
}


@dataclass(frozen=True)
class User:
    """A user of RabbitMQ: one for each service, and one for each camera."""

    name: str
    service: str
    fixed: dict[str, str]
    """Values that the fields ``line``, ``camera`` and ``service`` in its routing keys must have."""


def user_of(service: str) -> User:
    """Return the user of a service other than the camera."""
    return User(service, service, {"service": service})


def camera_user(line: str, camera: str) -> User:
    """Return the user of one camera."""
    return User(f"camera.{line}.{camera}", "camera", {"line": line, "camera": camera})


COMPOSED: Final = (
    camera_user("@CAMERA_LINE@", "@CAMERA_NAME@"),
    *(user_of(service) for service in RIGHTS if service != "camera"),
)
"""The users of docker-compose.yml; start.sh replaces the words between ``@``."""


def definitions() -> dict[str, list[dict[str, Any]]]:
    """Return users, their rights and the topology in the form that RabbitMQ imports; start.sh fills in passwords."""
    everything = {"user": ADMINISTRATOR, "configure": ".*", "write": ".*", "read": ".*"}
    return {
        "vhosts": [{"name": VHOST}],
        "users": [
            _user(ADMINISTRATOR, "ADMIN", "administrator"),
            *(_user(user.name, user.service.upper()) for user in COMPOSED),
        ],
        "permissions": [
            {"vhost": VHOST, **permission}
            for permission in (everything, *({"user": user.name, **permissions(user)} for user in COMPOSED))
        ],
        "topic_permissions": [
            {"vhost": VHOST, "user": user.name, "exchange": exchange, **permission}
            for user in COMPOSED
            for exchange, permission in topic_permissions(user).items()
        ],
        "exchanges": [
            *(_exchange(name, "topic") for name in topology.EXCHANGES),
            *(_exchange(name, "direct") for name in direct_exchanges(topology.QUEUES)),
        ],
        "queues": [
            _queue(name, arguments) for queue in topology.QUEUES for name, arguments in arguments_of(queue).items()
        ],
        "bindings": [_binding(*binding) for queue in topology.QUEUES for binding in bindings_of(queue)],
    }


def permissions(user: User) -> dict[str, str]:
    """Return the patterns of the exchanges and queues that a user may configure, write to and read from."""
    rights = RIGHTS[user.service]
    queues = [queue for queue in topology.QUEUES if queue.name.startswith(f"{user.service}.")]
    own = [OWN_QUEUE] if rights.receives else []
    writes = dict.fromkeys(
        [
            *(topology.EXCHANGE_OF[kind] for kind in rights.sends),
            *(queue.dead_letters for queue in queues),
            *([topology.REPLAYS] if rights.reviews else []),
        ]
    )
    reads = [rf"{re.escape(queue.name)}(\.suspects)?" for queue in queues]
    received = dict.fromkeys(broadcast.exchange for broadcast in rights.receives)
    parked = [r".+\.parked"] if rights.reviews else []
    return {
        "configure": _any_of(own),
        "write": _any_of([*map(re.escape, writes), *own]),
        "read": _any_of([*reads, *parked, *map(re.escape, received), *own]),
    }


def topic_permissions(user: User) -> dict[str, dict[str, str]]:
    """Return by exchange the patterns of the routing keys that a user may publish with, and bind its own queue with.

    RabbitMQ permits every key at an exchange without a topic permission, so there is a permission for each exchange.
    """
    rights = RIGHTS[user.service]
    return {
        exchange: {
            "write": _any_of(
                [_keys_of(kind, user.fixed) for kind in rights.sends if topology.EXCHANGE_OF[kind] == exchange]
            ),
            "read": _any_of(
                [
                    re.escape(each.binding.format_map(user.fixed))
                    for each in rights.receives
                    if each.exchange == exchange
                ]
            ),
        }
        for exchange in topology.EXCHANGES
    }


def _keys_of(kind: type[Message], fixed: dict[str, str]) -> str:
    """Return the pattern of a message type's routing keys, with the values that are fixed for the sender."""
    return "".join(
        re.escape(text) + (fixed.get(field.rpartition(".")[2], WORD) if field else "")
        for text, field, _, _ in Formatter().parse(kind.topic)
    )


def _user(name: str, password_of: str, *tags: str) -> dict[str, Any]:
    return {"name": name, "password": f"@{password_of}_PASSWORD@", "tags": list(tags)}


def _any_of(patterns: list[str]) -> str:
    return f"^({'|'.join(dict.fromkeys(patterns))})$" if patterns else "^$"


def _exchange(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "vhost": VHOST, "type": kind, "durable": True, "auto_delete": False, "arguments": {}}


def _queue(name: str, arguments: dict[str, object]) -> dict[str, Any]:
    arguments = {"x-queue-type": "quorum", **arguments}
    return {"name": name, "vhost": VHOST, "durable": True, "auto_delete": False, "arguments": arguments}


def _binding(source: str, queue: str, key: str) -> dict[str, Any]:
    ends = {"source": source, "destination": queue, "destination_type": "queue"}
    return {"vhost": VHOST, **ends, "routing_key": key, "arguments": {}}


def camera_definitions(line: str, camera: str, password: str) -> dict[str, list[dict[str, Any]]]:
    """Return the definitions of one more camera's user and its rights."""
    user = camera_user(NAME.validate_python(line), NAME.validate_python(camera))
    return {
        "users": [{"name": user.name, "password": password, "tags": []}],
        "permissions": [{"vhost": VHOST, "user": user.name, **permissions(user)}],
        "topic_permissions": [
            {"vhost": VHOST, "user": user.name, "exchange": exchange, **permission}
            for exchange, permission in topic_permissions(user).items()
        ],
    }


def render() -> str:
    """Return the content of the file, with one line per user, queue and so on."""
    parts = (
        f"  {json.dumps(kind)}: [\n" + ",\n".join(f"    {json.dumps(thing)}" for thing in things) + "\n  ]"
        for kind, things in definitions().items()
    )
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            sys.stdout.write(render())
        case ["camera", line, camera]:
            sys.stdout.write(json.dumps(camera_definitions(line, camera, os.environ["CAMERA_PASSWORD"])) + "\n")
        case _:
            raise SystemExit("usage: python -m deploy.rabbitmq [camera LINE NAME]")
