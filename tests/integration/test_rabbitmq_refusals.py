"""What RabbitMQ refuses is reported in one line that says what to do, and no secret."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.messaging.port import BrokerRefusedLogin, BrokerUnavailable, MessagingError
from shared.topology import INFERENCE_FRAMES
from tests.broker_address import BrokerAddress
from tests.processes import free_port


def refusal_of(address: BrokerAddress, kind: type[MessagingError], limit: int = 20_000) -> str:
    with pytest.raises(kind) as refusal:
        address.open([replace(INFERENCE_FRAMES, limit=limit)])
    text = str(refusal.value)
    assert "\n" not in text
    assert address.password not in text
    return text


def test_a_wrong_password(rabbitmq: BrokerAddress) -> None:
    wrong = replace(rabbitmq, password="open sesame")
    assert refusal_of(wrong, BrokerRefusedLogin).endswith("refuses user 'seamline' or the password: check both")


def test_a_virtual_host_that_is_not_there(rabbitmq: BrokerAddress) -> None:
    lost = replace(rabbitmq, url=rabbitmq.url + "-lost")
    assert "create it, or give the user its permissions" in refusal_of(lost, MessagingError)


def test_a_topology_of_another_version(rabbitmq: BrokerAddress) -> None:
    rabbitmq.open([INFERENCE_FRAMES]).close()
    text = refusal_of(rabbitmq, MessagingError, limit=5)
    assert "another topology than this version of Seamline" in text
    assert "'x-max-length' for queue 'inference.frames'" in text


def test_nobody_there() -> None:
    absent = BrokerAddress(f"amqp://127.0.0.1:{free_port()}/", "seamline", "open sesame")
    assert refusal_of(absent, BrokerUnavailable).endswith("Connection refused")
