"""RabbitMQ as docker compose sets it up: the topology given, and a user per service with rights of its own."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import httpx
import pika
import pytest
from pika import exceptions
from pydantic import ValidationError
from ulid import ULID

from deploy.rabbitmq.__main__ import COMPOSED, RIGHTS, VHOST, camera_definitions, definitions
from shared import topology
from shared.messages import (
    FrameCaptured,
    FrameIdentity,
    FrameInspected,
    MalformedMessage,
    Message,
    ModelPromoted,
    PartDecided,
    RecipeAnnounced,
    Verdict,
)
from shared.messaging.port import MessagingError, ParkedAction, ParkedMessage
from shared.messaging.rabbitmq import RabbitBroker
from tests.broker_address import BrokerAddress
from tests.servers import Endpoint
from tests.unit.shared.test_topology import KINDS, example

LINE: Final = "line-1"
CAMERA: Final = "camera-1"

Login = Callable[[str], RabbitBroker]


class Plant:
    """The users of docker-compose.yml on a virtual host of this test; their names belong to the whole server."""

    def __init__(self, management: httpx.Client, rabbitmq: BrokerAddress, port: int) -> None:
        self._management = management
        self._url = f"{rabbitmq.url}?topology=given"
        self._port = port
        self._mark = str(ULID()).lower()
        self._names = {user.service: f"{self._filled(user.name)}-{self._mark}" for user in COMPOSED}
        self._opened: list[RabbitBroker] = []
        self._vhost = rabbitmq.url.split("/")[-1]

    def import_definitions(self) -> None:
        wanted = self._filled(json.dumps({**definitions(), "vhosts": []})).replace(f'"{VHOST}"', f'"{self._vhost}"')
        for user in ("admin", *(self._filled(user.name) for user in COMPOSED)):
            wanted = wanted.replace(f'"name": "{user}"', f'"name": "{user}-{self._mark}"')
            wanted = wanted.replace(f'"user": "{user}"', f'"user": "{user}-{self._mark}"')
        self._management.post("/api/definitions", json=json.loads(wanted)).raise_for_status()

    def add_camera(self, line: str, camera: str) -> None:
        """What `make camera` imports; it logs in under the camera's name."""
        name = f"camera.{line}.{camera}"
        self._names[camera] = f"{name}-{self._mark}"
        wanted = json.dumps(camera_definitions(line, camera, f"@{camera.upper()}_PASSWORD@"))
        wanted = wanted.replace(f'"{VHOST}"', f'"{self._vhost}"').replace(f'"{name}"', f'"{self._names[camera]}"')
        self._management.post("/api/definitions", json=json.loads(wanted)).raise_for_status()

    def name(self, service: str) -> str:
        return self._names[service]

    def open(self, service: str) -> RabbitBroker:
        """The broker as a service opens it."""
        self._opened.append(RabbitBroker(self._url, self._names[service], f"@{service.upper()}_PASSWORD@"))
        return self._opened[-1]

    def connect(self, service: str) -> pika.BlockingConnection:
        """What an attacker has who knows the password of a service."""
        login = pika.PlainCredentials(self._names[service], f"@{service.upper()}_PASSWORD@")
        return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self._port, self._vhost, login))

    def close(self) -> None:
        for broker in self._opened:
            broker.close()
        for name in (f"admin-{self._mark}", *self._names.values()):
            self._management.delete(f"/api/users/{quote(name)}").raise_for_status()

    @staticmethod
    def _filled(text: str) -> str:
        return text.replace("@CAMERA_LINE@", LINE).replace("@CAMERA_NAME@", CAMERA)


@pytest.fixture
def plant(rabbitmq_server: Endpoint, rabbitmq: BrokerAddress) -> Iterator[Plant]:
    with httpx.Client(
        base_url=rabbitmq_server.management_url, auth=(rabbitmq_server.user, rabbitmq_server.password), timeout=120
    ) as management:
        plant = Plant(management, rabbitmq, rabbitmq_server.port)
        plant.import_definitions()
        yield plant
        plant.close()


@pytest.fixture
def login(plant: Plant) -> Login:
    return plant.open


def _is_permitted(connection: pika.BlockingConnection, exchange: str, key: str, body: bytes = b"{}") -> bool:
    """Whether RabbitMQ takes a message, or would if a queue wanted it."""
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        channel.basic_publish(exchange, key, body, mandatory=True)
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code != 403:
            raise
        return False
    except exceptions.UnroutableError:
        pass
    channel.close()
    return True


def _frame() -> FrameCaptured:
    identity = FrameIdentity(frame_id=f"{ULID()}-000000000", line=LINE, camera=CAMERA, captured_at=datetime.now(UTC))
    return FrameCaptured(frame=identity, encoding="png", width=1, height=1, image=b"an image")


def _promotion() -> ModelPromoted:
    return ModelPromoted(
        promotion_id="p-1",
        recipe="seam",
        model_version="v-1",
        previous_version=None,
        reason="",
        by="test",
        at=datetime.now(UTC),
    )


def test_the_given_topology_is_the_one_that_services_declare(login: Login, rabbitmq: BrokerAddress) -> None:
    login("camera")
    rabbitmq.open().close()  # declares everything: RabbitMQ would refuse one other argument


def test_a_frame_of_the_camera_reaches_inference_and_can_be_parked_there(login: Login) -> None:
    login("camera").publisher().publish(_frame()).result(60)
    inference = login("inference")
    subscription = inference.subscribe(topology.INFERENCE_FRAMES, prefetch=1)
    (delivery,) = subscription.receive(1, 60)
    subscription.park(delivery, "no image")
    assert inference.depth(topology.INFERENCE_FRAMES.parked).ready == 1


@pytest.mark.parametrize("service", ["inference", "explainer"])
def test_a_promotion_of_the_trainer_is_heard(login: Login, service: str) -> None:
    promotions = login(service).subscribe(topology.PROMOTIONS, prefetch=1)
    login("trainer").publisher().publish(_promotion()).result(60)
    assert len(promotions.receive(1, 60)) == 1


def test_a_gateway_that_stands_by_gets_the_decisions_of_another_one(login: Login) -> None:
    decisions = login("gateway").subscribe(topology.DECISIONS, prefetch=1)
    login("gateway").publisher().publish(example(PartDecided)).result(60)
    assert len(decisions.receive(1, 60)) == 1


@pytest.mark.parametrize("service", RIGHTS)
def test_a_service_reads_each_queue_of_its_name(login: Login, service: str) -> None:
    broker = login(service)
    for queue in topology.QUEUES:
        if queue.name.startswith(f"{service}."):
            assert broker.subscribe(queue, prefetch=1).receive(1, 0.1) == []


def test_a_camera_may_not_promote_a_model(login: Login) -> None:
    with pytest.raises(MessagingError, match="does not permit"):
        login("camera").publisher().publish(_promotion()).result(60)


def test_a_camera_may_not_read_the_frames_of_others(login: Login) -> None:
    with pytest.raises(MessagingError, match="does not permit"):
        login("camera").subscribe(topology.INFERENCE_FRAMES, prefetch=1)


def test_a_missing_given_topology_is_reported(rabbitmq: BrokerAddress) -> None:
    with pytest.raises(MessagingError, match=r"definitions\.json"):
        RabbitBroker(f"{rabbitmq.url}?topology=given", rabbitmq.user, rabbitmq.password)


def test_the_dashboard_reviews_messages_that_another_service_parked(login: Login) -> None:
    camera = login("camera").publisher()
    for _ in range(2):
        camera.publish(_frame()).result(60)
    inference = login("inference").subscribe(topology.INFERENCE_FRAMES, 10)
    for _ in range(2):
        (delivery,) = inference.receive(1, 60.0)
        inference.park(delivery, "not an image")
    inference.close()

    dashboard = login("dashboard")
    actions = iter([ParkedAction.REPLAY, ParkedAction.DISCARD])
    dashboard.review(topology.INFERENCE_FRAMES, lambda _message: next(actions))
    assert dashboard.depth(topology.INFERENCE_FRAMES.parked).total == 0
    assert dashboard.depth(topology.INFERENCE_FRAMES.name).total == 1


def _keys() -> dict[tuple[str, str], type[Message] | str]:
    """Each exchange with each key that leads to a queue, and the message type or the queue that it is for."""
    ways: dict[tuple[str, str], type[Message] | str] = {
        (topology.EXCHANGE_OF[kind], example(kind).routing_key): kind for kind in KINDS
    }
    for queue in topology.QUEUES:
        names = (queue.name, queue.suspects, queue.parked)
        ways |= {("", name): name for name in names}
        ways |= {(topology.REPLAYS, name): name for name in names}
        ways |= {(queue.dead_letters, name): name for name in names}
    return ways


@pytest.mark.parametrize("service", RIGHTS)
def test_a_service_publishes_its_own_messages_and_parks_its_own_and_nothing_else(plant: Plant, service: str) -> None:
    connection = plant.connect(service)
    permitted = {way for way in _keys() if _is_permitted(connection, *way)}
    own = {(topology.EXCHANGE_OF[kind], example(kind).routing_key) for kind in RIGHTS[service].sends}
    if service in ("inference", "explainer", "gateway"):
        reports = {key for exchange, key in _keys() if exchange == topology.REPORTS and key.startswith("worker.")}
        own -= {(topology.REPORTS, key) for key in reports if key != f"worker.{service}"}
    for exchange, key in _keys():
        if exchange == f"{topology.DEAD}.{service}" or (service == "dashboard" and exchange == topology.REPLAYS):
            own.add((exchange, key))
    assert permitted == own
    connection.close()


def test_dead_letters_of_a_service_reach_no_queue_of_another(plant: Plant) -> None:
    bindings = definitions()["bindings"]
    for queue in topology.QUEUES:
        reached = {one["destination"] for one in bindings if one["source"] == queue.dead_letters}
        service = queue.name.partition(".")[0]
        assert reached == {
            name for one in topology.QUEUES if one.name.startswith(f"{service}.") for name in (one.suspects, one.parked)
        }


@pytest.mark.parametrize(
    ("exchange", "key"),
    [
        (topology.FRAMES, f"captured.{LINE}.camera-2"),
        (topology.FRAMES, f"captured.line-2.{CAMERA}"),
        (topology.FRAMES, f"captured.{LINE}.{CAMERA}.more"),
        (topology.REPORTS, f"camera.{LINE}.camera-2"),
        (topology.REPORTS, "worker.inference"),
        (topology.REPORTS, f"inspected.passed.{LINE}"),
    ],
)
def test_a_camera_can_not_publish_as_another(plant: Plant, exchange: str, key: str) -> None:
    assert not _is_permitted(plant.connect("camera"), exchange, key)


def test_a_camera_reads_no_queue_and_hears_only_the_recipe_of_its_line(plant: Plant) -> None:
    connection = plant.connect("camera")
    asked: list[Callable[[Any], object]] = [
        *(
            lambda channel, name=name: channel.basic_get(name)
            for queue in topology.QUEUES
            for name in (queue.name, queue.suspects, queue.parked)
        ),
        lambda channel: channel.queue_declare("mine", exclusive=True),
        *(
            lambda channel, exchange=exchange, key=key: channel.queue_bind(
                channel.queue_declare("", exclusive=True).method.queue, exchange, key
            )
            for exchange, key in [
                (topology.REPORTS, "recipe.line-2"),
                (topology.REPORTS, "#"),
                (topology.REPORTS, f"camera.{LINE}.{CAMERA}"),
                (topology.VERDICTS, "#"),
                (topology.FRAMES, "#"),
            ]
        ),
    ]
    for ask in asked:
        with pytest.raises(exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
            ask(connection.channel())


def test_a_camera_hears_the_recipe_that_the_gateway_announces_for_its_line(login: Login) -> None:
    announcements = login("camera").subscribe(topology.LINE_RECIPES.about(LINE), prefetch=10)
    publisher = login("gateway").publisher()
    for line in ("line-2", LINE):
        publisher.publish(RecipeAnnounced(line=line, at=datetime.now(UTC))).result(60)
    (delivery,) = announcements.receive(10, 60)
    announced = delivery.read()
    assert isinstance(announced, RecipeAnnounced)
    assert announced.line == LINE


def test_rabbitmq_refuses_a_message_in_the_name_of_another_user(plant: Plant) -> None:
    channel = plant.connect("camera").channel()
    channel.confirm_delivery()
    forged = pika.BasicProperties(user_id=plant.name("inference"))
    with pytest.raises(exceptions.ChannelClosedByBroker, match="PRECONDITION_FAILED"):
        channel.basic_publish(topology.FRAMES, f"captured.{LINE}.{CAMERA}", _frame().encode(), forged)


def test_a_delivery_names_its_sender_and_key_after_parking_and_replay_too(plant: Plant) -> None:
    plant.open("camera").publisher().publish(_frame()).result(60)
    inference = plant.open("inference")
    subscription = inference.subscribe(topology.INFERENCE_FRAMES, prefetch=1)
    (first,) = subscription.receive(1, 60)
    subscription.park(first, "no image")
    senders: list[str] = []

    def replay(message: ParkedMessage) -> ParkedAction:
        senders.append(message.sender)
        return ParkedAction.REPLAY

    plant.open("dashboard").review(topology.INFERENCE_FRAMES, replay)
    (again,) = subscription.receive(1, 60)
    routes = {(delivery.sender, delivery.routing_key) for delivery in (first, again)}
    assert routes == {(plant.name("camera"), f"captured.{LINE}.{CAMERA}")}
    assert senders == [plant.name("camera")]
    assert again.read() == first.read()


def test_a_verdict_under_the_key_of_a_camera_report_is_no_message(plant: Plant) -> None:
    frame = _frame().frame
    verdict = FrameInspected(
        frame=frame,
        verdict=Verdict.OK,
        reason="all well, says a camera",
        flagged=False,
        recipe="seam",
        model_version="v-1",
        at=datetime.now(UTC),
        latency_ms=1,
    )
    key = f"camera.{LINE}.{CAMERA}"
    assert _is_permitted(plant.connect("camera"), topology.REPORTS, key, verdict.encode())
    (delivery,) = plant.open("dashboard").subscribe(topology.DASHBOARD_REPORTS, prefetch=1).receive(1, 60)
    with pytest.raises(MalformedMessage, match=r"FrameInspected by .+: dashboard\.reports takes no such messages"):
        delivery.read()


def test_a_history_of_moves_that_a_camera_wrote_itself_counts_for_nothing(plant: Plant) -> None:
    channel = plant.connect("camera").channel()
    forged = FrameCaptured.model_validate(
        {**_frame().model_dump(), "frame": _frame().frame.model_copy(update={"camera": "camera-2"})}
    )
    for headers in (
        {"x-death": [{"exchange": topology.FRAMES, "routing-keys": [forged.routing_key], "queue": "q", "count": 1}]},
        {"x-seamline-routing-key": forged.routing_key, "x-seamline-sender": "another"},
    ):
        properties = pika.BasicProperties(headers=headers)
        channel.basic_publish(topology.FRAMES, f"captured.{LINE}.{CAMERA}", forged.encode(), properties)
    subscription = plant.open("inference").subscribe(topology.INFERENCE_FRAMES, prefetch=2)
    found = [delivery for _ in range(2) for delivery in subscription.receive(1, 60)]
    assert len(found) == 2
    for delivery in found:
        with pytest.raises(MalformedMessage):
            delivery.read()


def test_a_message_without_a_sender_is_rejected(plant: Plant) -> None:
    assert _is_permitted(plant.connect("camera"), topology.FRAMES, f"captured.{LINE}.{CAMERA}", _frame().encode())
    (delivery,) = plant.open("inference").subscribe(topology.INFERENCE_FRAMES, prefetch=1).receive(1, 60)
    with pytest.raises(MalformedMessage, match="by an unknown sender"):
        delivery.read()


def test_a_camera_that_is_added_publishes_as_itself_alone_until_it_is_removed(plant: Plant) -> None:
    plant.add_camera("line-2", "camera-2")
    connection = plant.connect("camera-2")
    assert _is_permitted(connection, topology.FRAMES, "captured.line-2.camera-2")
    assert _is_permitted(connection, topology.REPORTS, "camera.line-2.camera-2")
    for key in (f"captured.{LINE}.{CAMERA}", "captured.line-2.camera-1", f"captured.{LINE}.camera-2"):
        assert not _is_permitted(connection, topology.FRAMES, key)
    with pytest.raises(exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
        connection.channel().basic_get(topology.INFERENCE_FRAMES.name)


def test_a_name_that_would_mean_more_than_one_camera_is_refused() -> None:
    for name in ("camera-1|.*", "camera.1", ".*", ""):
        with pytest.raises(ValidationError):
            camera_definitions(LINE, name, "secret")
