"""What RabbitMQ is given at its start is what the code says."""

import re
from typing import Final

import pytest

from deploy.rabbitmq.__main__ import RIGHTS, definitions, render
from shared import topology
from tests.unit.test_compose import FLOW, ROOT, SERVICES

PERMISSIONS: Final = {permission["user"]: permission for permission in definitions()["permissions"]}


def _may(user: str, right: str, name: str) -> bool:
    return bool(re.search(PERMISSIONS[user][right], name))


def test_the_definitions_are_those_of_the_topology() -> None:
    written = (ROOT / "deploy" / "rabbitmq" / "definitions.json").read_text()
    assert written == render(), "run: python -m deploy.rabbitmq > deploy/rabbitmq/definitions.json"


def test_every_service_has_a_user_whose_password_compose_gives() -> None:
    assert list(RIGHTS) == FLOW
    wanted = set(re.findall(r"@([A-Z]+_PASSWORD)@", render()))
    assert wanted == {name for name in SERVICES["rabbitmq"]["environment"] if name.endswith("_PASSWORD")}


@pytest.mark.parametrize("user", FLOW)
def test_a_service_reads_its_own_queues_and_no_others(user: str) -> None:
    for queue in topology.QUEUES:
        own = queue.name.startswith(f"{user}.")
        assert _may(user, "read", queue.name) is own
        assert _may(user, "read", queue.suspects) is own


def test_only_the_dashboard_reads_what_was_parked_and_may_put_it_back() -> None:
    for queue in topology.QUEUES:
        assert [user for user in FLOW if _may(user, "read", queue.parked)] == ["dashboard"]
    assert _may("dashboard", "write", topology.DEAD)


@pytest.mark.parametrize("user", FLOW)
def test_a_service_makes_and_deletes_nothing_of_the_topology(user: str) -> None:
    names = [*topology.EXCHANGES, topology.DEAD, *(queue.name for queue in topology.QUEUES)]
    assert not [name for name in names if _may(user, "configure", name)]


def test_only_the_trainer_and_the_dashboard_speak_of_models() -> None:
    assert [user for user in FLOW if _may(user, "write", topology.MODELS)] == ["trainer", "dashboard"]
