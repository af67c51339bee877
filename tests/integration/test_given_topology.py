"""RabbitMQ as docker compose sets it up: the topology given, and a user per service with rights of its own."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import httpx
import pytest
from ulid import ULID

from deploy.rabbitmq.__main__ import RIGHTS, VHOST, definitions
from shared import topology
from shared.messages import FrameCaptured, FrameIdentity, ModelPromoted
from shared.messaging.port import Fate, MessagingError
from shared.messaging.rabbitmq import RabbitBroker
from tests.broker_address import BrokerAddress
from tests.servers import Endpoint

Login = Callable[[str], RabbitBroker]


@pytest.fixture
def login(rabbitmq_server: Endpoint, rabbitmq: BrokerAddress) -> Iterator[Login]:
    """Opens the broker as a service does; users have names of this test's own, for they belong to the whole server."""
    mark = str(ULID()).lower()
    wanted = json.dumps({**definitions(), "vhosts": []}).replace(f'"{VHOST}"', json.dumps(rabbitmq.url.split("/")[-1]))
    for user in ("admin", *RIGHTS):
        wanted = wanted.replace(f'"name": "{user}"', f'"name": "{user}-{mark}"')
        wanted = wanted.replace(f'"user": "{user}"', f'"user": "{user}-{mark}"')
    with httpx.Client(
        base_url=rabbitmq_server.management_url, auth=(rabbitmq_server.user, rabbitmq_server.password), timeout=120
    ) as management:
        management.post("/api/definitions", json=json.loads(wanted)).raise_for_status()
        opened: list[RabbitBroker] = []

        def open_as(service: str) -> RabbitBroker:
            url = f"{rabbitmq.url}?topology=given"
            opened.append(RabbitBroker(url, f"{service}-{mark}", f"@{service.upper()}_PASSWORD@"))
            return opened[-1]

        yield open_as
        for broker in opened:
            broker.close()
        for user in ("admin", *RIGHTS):
            management.delete(f"/api/users/{quote(f'{user}-{mark}')}").raise_for_status()


def _frame() -> FrameCaptured:
    identity = FrameIdentity(
        frame_id=f"{ULID()}-000000000", line="line-1", camera="camera-1", captured_at=datetime.now(UTC)
    )
    return FrameCaptured(frame=identity, encoding="png", width=1, height=1, picture=b"a picture")


def _promotion() -> ModelPromoted:
    return ModelPromoted(
        promotion_id="p-1",
        recipe="seam",
        model_version="v-1",
        previous_version=None,
        reason="",
        promoted_by="test",
        promoted_at=datetime.now(UTC),
    )


def test_the_given_topology_is_the_one_that_services_would_make(login: Login, rabbitmq: BrokerAddress) -> None:
    login("camera")
    rabbitmq.open().close()  # declares everything: RabbitMQ would refuse one other argument


def test_a_frame_of_the_camera_reaches_inference_and_can_be_parked_there(login: Login) -> None:
    login("camera").publisher().publish(_frame()).result(60)
    inference = login("inference")
    subscription = inference.subscribe(topology.INFERENCE_FRAMES, prefetch=1)
    (delivery,) = subscription.receive(1, 60)
    subscription.park(delivery, "no picture")
    assert inference.depth(topology.INFERENCE_FRAMES.parked).ready == 1


@pytest.mark.parametrize("service", ["inference", "explainer"])
def test_a_promotion_of_the_trainer_is_heard(login: Login, service: str) -> None:
    promotions = login(service).subscribe(topology.PROMOTIONS, prefetch=1)
    login("trainer").publisher().publish(_promotion()).result(60)
    assert len(promotions.receive(1, 60)) == 1


@pytest.mark.parametrize("service", RIGHTS)
def test_a_service_reads_each_queue_of_its_name(login: Login, service: str) -> None:
    broker = login(service)
    for queue in topology.QUEUES:
        if queue.name.startswith(f"{service}."):
            assert broker.subscribe(queue, prefetch=1).receive(1, 0.1) == []


def test_a_camera_may_not_promote_a_model(login: Login) -> None:
    with pytest.raises(MessagingError, match="does not permit"):
        login("camera").publisher().publish(_promotion()).result(60)


def test_a_camera_may_not_read_what_others_captured(login: Login) -> None:
    with pytest.raises(MessagingError, match="does not permit"):
        login("camera").subscribe(topology.INFERENCE_FRAMES, prefetch=1)


def test_a_topology_that_was_said_to_be_given_and_is_not_is_told(rabbitmq: BrokerAddress) -> None:
    with pytest.raises(MessagingError, match=r"definitions\.json"):
        RabbitBroker(f"{rabbitmq.url}?topology=given", rabbitmq.user, rabbitmq.password)


def test_the_dashboard_reviews_what_another_service_parked(login: Login) -> None:
    camera = login("camera").publisher()
    for _ in range(2):
        camera.publish(_frame()).result(60)
    inference = login("inference").subscribe(topology.INFERENCE_FRAMES, 10)
    for _ in range(2):
        (delivery,) = inference.receive(1, 60.0)
        inference.park(delivery, "not a picture")
    inference.close()

    dashboard = login("dashboard")
    fates = iter([Fate.REPLAY, Fate.DISCARD])
    dashboard.review(topology.INFERENCE_FRAMES, lambda _message: next(fates))
    assert dashboard.depth(topology.INFERENCE_FRAMES.parked).total == 0
    assert dashboard.depth(topology.INFERENCE_FRAMES.name).total == 1
