"""What RabbitMQ is given at its start is what the code says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from deploy.rabbitmq.__main__ import COMPOSED, RIGHTS, definitions, permissions, render
from shared import topology
from shared.messages import Message
from tests.unit.test_compose import FLOW, ROOT, SERVICES

PERMISSIONS: Final = {user.service: permissions(user) for user in COMPOSED}


def _may(user: str, right: str, name: str) -> bool:
    return bool(re.search(PERMISSIONS[user][right], name))


def test_the_definitions_are_those_of_the_topology() -> None:
    written = (ROOT / "deploy" / "rabbitmq" / "definitions.json").read_text()
    assert written == render(), "run: python -m deploy.rabbitmq > deploy/rabbitmq/definitions.json"


def test_every_service_has_a_user_whose_name_and_password_compose_gives() -> None:
    assert list(RIGHTS) == [user.service for user in COMPOSED] == FLOW
    wanted = set(re.findall(r"@([A-Z_]+)@", render()))
    given = set(SERVICES["rabbitmq"]["environment"])
    assert wanted == given - {"RABBITMQ_CONFIG_FILES", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"}


def test_a_user_has_a_topic_permission_for_every_topic_exchange() -> None:
    """RabbitMQ permits every routing key on an exchange without one."""
    topics = [exchange["name"] for exchange in definitions()["exchanges"] if exchange["type"] == "topic"]
    given = [(permission["user"], permission["exchange"]) for permission in definitions()["topic_permissions"]]
    assert given == [(user.name, exchange) for user in COMPOSED for exchange in topics]


@pytest.mark.parametrize("user", FLOW)
def test_a_service_reads_its_own_queues_and_no_others(user: str) -> None:
    for queue in topology.QUEUES:
        own = queue.name.startswith(f"{user}.")
        assert _may(user, "read", queue.name) is own
        assert _may(user, "read", queue.suspects) is own


def test_only_the_dashboard_reads_and_replays_parked_messages() -> None:
    for queue in topology.QUEUES:
        assert [user for user in FLOW if _may(user, "read", queue.parked)] == ["dashboard"]
    assert [user for user in FLOW if _may(user, "write", topology.REPLAYS)] == ["dashboard"]


def test_only_its_reader_parks_a_message_of_a_queue() -> None:
    for queue in topology.QUEUES:
        reader = queue.name.partition(".")[0]
        assert [user for user in FLOW if _may(user, "write", queue.dead_letters)] == [reader]


@pytest.mark.parametrize("user", FLOW)
def test_a_service_makes_and_deletes_nothing_of_the_topology(user: str) -> None:
    queues = (name for queue in topology.QUEUES for name in (queue.name, queue.dead_letters))
    names = [*topology.EXCHANGES, topology.REPLAYS, *queues]
    assert not [name for name in names if _may(user, "configure", name)]


def test_only_the_trainer_and_the_dashboard_speak_of_models() -> None:
    assert [user for user in FLOW if _may(user, "write", topology.MODELS)] == ["trainer", "dashboard"]


def _made_messages(source: Path) -> Iterator[str]:
    """Yield the names of what a module calls, as `X(…)` or `X.model_validate(…)`."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id=name)):
                yield name
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="model_validate")):
                yield name


@pytest.mark.parametrize("service", FLOW)
def test_a_service_may_send_every_message_that_it_makes(service: str) -> None:
    made = {name for source in (ROOT / "services" / service).rglob("*.py") for name in _made_messages(source)}
    kinds = {kind.__name__ for kind in Message.types.values()}
    assert made & kinds, "the messages of this service are no longer found"
    assert made & kinds <= {kind.__name__ for kind in RIGHTS[service].sends}
