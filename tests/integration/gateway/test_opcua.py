"""A client of OPC UA walks the state machine of a real gateway, and gets the results of a line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from asyncua import Client, ua
from asyncua.common.methods import call_method_full
from asyncua.common.ua_utils import data_type_to_variant_type
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography.x509.oid import ExtendedKeyUsageOID

from services.camera.settings import ListenAddress
from services.camera.triggers.http import HttpTriggers
from services.camera.triggers.triggers import Triggers
from services.gateway.handler import now
from services.gateway.journal import Journal
from services.gateway.outputs.opcua.security import Users
from services.gateway.outputs.opcua.server import OpcUaServer
from services.gateway.outputs.port import LineStatus, OutputUnavailable, Trouble
from services.gateway.outputs.settings import OpcUaSettings
from services.gateway.signal_outbox import SignalOutbox
from shared.contracts.promotion import Promotion, store_promotion
from shared.messages import CameraState, OutputTestRequested
from shared.storage.filesystem import FilesystemStore
from tests.broker_address import BrokerAddress
from tests.integration.camera.test_triggers import capture
from tests.integration.gateway.test_modbus import Reports
from tests.messages import identity
from tests.parts import RECIPE, verdict
from tests.processes import ChildServer, free_port, wait_until
from tests.unit.gateway.test_line_watch import worker
from tests.workers import Line

pytestmark = pytest.mark.xdist_group("opcua")

PASSWORD: Final = "a password of a plc"
URI: Final = "urn:plant:client"
SECONDS: Final = 120
SPECIFICATION: Final = "http://opcfoundation.org/UA/MachineVision"
MACHINE: Final = "VisionStateMachine"
RESULT_READY: Final = 1024
STATE_CHANGED: Final = 1018
AUTOMATIC: Final = f"{MACHINE}.AutomaticModeStateMachine"
PATIENT: Final = "from services.gateway.outputs.opcua import vision_server\nvision_server.SHOWN_SECONDS = 60"
"""Code of a gateway that does not take a busy machine for one that hangs."""
Found = TypeVar("Found")


class Plant:
    """A line whose gateway serves OPC UA, and its clients."""

    def __init__(self, folder: Path) -> None:
        self.line = Line(BrokerAddress(f"sqlite:///{folder}/broker"), folder)
        self.reports = Reports(self.line)
        self.port = free_port()
        self.folder = folder
        self.process: ChildServer
        self._sequence = 0
        self.camera_port = free_port()
        (folder / "token").write_text(f"{PASSWORD}\n")
        self.store = FilesystemStore(self.line.objects)
        for recipe in ("seam", "bolt"):
            text = RECIPE.replace("name: seam", f"name: {recipe}") + "\nparts: {of: frame, deadline_ms: 600000}"
            self.store.put(f"models/{recipe}/v1/recipe.yaml", text.encode())
            promotion = {"sequence": 1, "recipe": recipe, "version": "v1", "digest": "0" * 64, "previous": None}
            store_promotion(self.store, Promotion(**promotion, reason="", by="eva", at=datetime.now(UTC)))
        asyncio.run(self._make_certificates())
        (folder / "password").write_text(f"{PASSWORD}\n")
        output = {
            "type": "opcua",
            "port": self.port,
            "user": "plc",
            "password_file": str(folder / "password"),
            "certificate_file": str(folder / "server.der"),
            "key_file": str(folder / "server.key"),
            "trusted_folder": str(folder / "trusted"),
            "recipes": ["seam", "bolt"],
            "fetch_seconds": 1,
            "triggers": {
                "front": {
                    "url": f"http://127.0.0.1:{self.camera_port}/trigger",
                    "token_file": str(folder / "token"),
                    "timeout_seconds": 60,
                }
            },
            "deadline_ms": 600_000,
        }
        (folder / "lines.yaml").write_text(json.dumps({"lines": {"line-1": {"outputs": {"plc": output}}}}))

    async def _make_certificates(self) -> None:
        trusted = self.folder / "trusted"
        trusted.mkdir()
        for name, uri, usage, certificate in (
            ("server", "urn:seamline:line-1", ExtendedKeyUsageOID.SERVER_AUTH, self.folder / "server.der"),
            ("client", URI, ExtendedKeyUsageOID.CLIENT_AUTH, trusted / "client.der"),
            ("stranger", URI, ExtendedKeyUsageOID.CLIENT_AUTH, self.folder / "stranger.der"),
        ):
            key = self.folder / f"{name}.pem"
            await setup_self_signed_certificate(key, certificate, uri, "localhost", [usage], {"commonName": name})
        (self.folder / "server.pem").rename(self.folder / "server.key")  # as docs/factory.md names it

    def gateway(self) -> AbstractContextManager[ChildServer]:
        settings = {"FOLDER": str(self.folder / "gateway"), "LINES": str(self.folder / "lines.yaml")}
        return self.line.running("gateway", PATIENT, LEASE_SECONDS="1", SILENCE_SECONDS="60", **settings)

    def inspect(self, said: str = "ok", age: float = 0, recipe: str = "seam") -> str:
        """Send a verdict on a frame captured ``age`` seconds ago, and return the name of its part."""
        frame = verdict(self._sequence, said, captured_at=datetime.now(UTC) - timedelta(seconds=age))
        frame = frame.model_copy(update={"recipe": recipe})
        self._sequence += 1
        self.line.send(frame)
        return frame.frame.frame_id

    def change(self) -> tuple[str, str]:
        """The recipe of the line that is stored, and who changed it."""
        change = json.loads(self.store.get("gateways/recipes/line-1.json"))["change"]
        return change["recipe"], change["by"]

    async def client(self, user: str | None = "plc", password: str = PASSWORD, certificate: str = "client") -> Client:
        """A client that is not connected yet; its channel is encrypted, unless the certificate is empty."""
        client = Client(f"opc.tcp://127.0.0.1:{self.port}/", timeout=60)
        client.application_uri = URI
        if user:
            client.set_user(user)
            client.set_password(password)
        if certificate:
            folder = self.folder / "trusted" if certificate == "client" else self.folder
            await client.set_security(
                SecurityPolicyBasic256Sha256,
                folder / f"{certificate}.der",
                self.folder / f"{certificate}.pem",
                server_certificate=self.folder / "server.der",
                mode=ua.MessageSecurityMode.SignAndEncrypt,
            )
        return client

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Plc]:
        """A client that is connected, while the line is well and the state machine begins again."""

        async def connect() -> Client | None:
            client = await self.client()
            try:
                await client.connect()
            except (OSError, TimeoutError, ua.UaError):
                return None
            return client

        client = await until(connect)
        try:
            await client.load_data_type_definitions()
            plc = Plc(client, await client.get_namespace_index("urn:seamline:gateway"))
            await plc.begin()
            yield plc
        finally:
            await client.disconnect()


class Plc:
    """What a client does, by the ids of nodes in docs/factory.md."""

    def __init__(self, client: Client, namespace: int) -> None:
        self.client = client
        self._namespace = namespace
        self.events: asyncio.Queue[Any] = asyncio.Queue()

    def event_notification(self, event: Any) -> None:
        self.events.put_nowait(event)

    def node(self, path: str) -> Any:
        return self.client.get_node(ua.NodeId(f"VisionSystem.{path}", self._namespace))

    async def call(self, path: str, **given: Any) -> dict[str, Any]:
        """Call a method, and return its outputs by their names; inputs that are not given are empty."""
        method = self.node(path)
        inputs = [
            await self._variant(argument, given.pop(argument.Name, None))
            for argument in await self._arguments(method, "InputArguments")
        ]
        assert not given, f"{path} has no input {', '.join(given)}"
        answer = await call_method_full(await method.get_parent(), method.nodeid, *inputs)
        outputs = await self._arguments(method, "OutputArguments")
        return {output.Name: value for output, value in zip(outputs, answer.OutputArguments, strict=True)}

    async def _arguments(self, method: Any, name: str) -> list[Any]:
        for child in await method.get_properties():
            if (await child.read_browse_name()).Name == name:
                return list(await child.read_value())
        return []

    async def _variant(self, argument: Any, value: Any) -> ua.Variant:
        kind = await data_type_to_variant_type(self.client.get_node(argument.DataType))
        is_array = argument.ValueRank >= 0
        if value is None:
            value = [] if is_array else None if kind is ua.VariantType.ExtensionObject else ua.get_default_value(kind)
        return ua.Variant(value, kind, is_array=is_array)

    async def refused(self, code: Any, path: str, **given: Any) -> None:
        with pytest.raises(code):
            await self.call(path, **given)

    async def state(self) -> str:
        machine = self.node(f"{MACHINE}.CurrentState")
        outer = (await machine.read_value()).Text
        if outer != "Operational":
            return str(outer)
        try:
            return str((await self.node(f"{AUTOMATIC}.CurrentState").read_value()).Text)
        except ua.uaerrors.BadStateNotActive:  # it has just left Operational
            return await self.state()

    async def reaches(self, *states: str) -> str:
        async def reached() -> str | None:
            state = await self.state()
            return state if state in states else None

        return await until(reached)

    async def begin(self) -> None:
        """Go to *Preoperational* of a line that inspects parts."""

        async def online() -> bool:
            return bool(await self.node("Line.Online").read_value())

        await until(online)
        if await self.state() not in ("Preoperational", "Error"):
            await self.call(f"{MACHINE}.Reset")
        await self.reaches("Preoperational")

    async def make_ready(self) -> None:
        await self.call(f"{MACHINE}.SelectModeAutomatic")
        await self.call("RecipeManagement.PrepareRecipe", ExternalId=identified(ua.RecipeIdExternalDataType(), "seam"))

    async def subscribe(self, event: int = RESULT_READY) -> None:
        """Subscribe to the events of a type."""
        subscription = await self.client.create_subscription(50, self)
        types = [self.client.get_node(ua.NodeId(event, await self.client.get_namespace_index(SPECIFICATION)))]
        await subscription.subscribe_events(self.client.get_node(ua.NodeId("VisionSystem", self._namespace)), types)

    async def subscribe_to_an_unknown_attribute(self) -> None:
        subscription = await self.client.create_subscription(50, self)
        clause = ua.SimpleAttributeOperand(TypeDefinitionId=ua.NodeId(ua.ObjectIds.BaseEventType), AttributeId=999)
        system = self.client.get_node(ua.NodeId("VisionSystem", self._namespace))
        await subscription.subscribe_events(system, evfilter=ua.EventFilter(SelectClauses=[clause]))

    async def subscribe_and_lose_the_connection(self, plant: Plant) -> None:
        client = await plant.client()
        await client.connect()
        await Plc(client, self._namespace).subscribe()
        client.disconnect_socket()

    async def result(self) -> Any:
        return await asyncio.wait_for(self.events.get(), SECONDS)


async def until(happened: Callable[[], Awaitable[Found | None]]) -> Found:
    """Wait for a fact, and return what was found."""
    async with asyncio.timeout(SECONDS):
        while not (found := await happened()):
            await asyncio.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    plant = Plant(tmp_path_factory.mktemp("opcua"))
    try:
        with plant.gateway() as plant.process:
            yield plant
    finally:
        plant.reports.end()
        plant.line.broker.close()


def identified(structure: Any, identity: str) -> Any:
    structure.Id = identity
    return structure


def test_a_client_walks_the_state_machine(plant: Plant) -> None:
    async def walk() -> None:
        async with plant.connected() as plc:
            invalid, unknown = ua.uaerrors.BadInvalidState, ua.uaerrors.BadNotFound
            await plc.refused(invalid, f"{AUTOMATIC}.StartContinuous")
            await plc.call(f"{MACHINE}.SelectModeAutomatic")
            assert await plc.state() == "Initialized"
            other = identified(ua.RecipeIdExternalDataType(), "paint")
            await plc.refused(unknown, "RecipeManagement.PrepareRecipe", ExternalId=other)
            seam = identified(ua.RecipeIdExternalDataType(), "seam")
            listed = await plc.call("RecipeManagement.GetRecipeListFiltered", IsPrepared=0)
            assert [recipe.Id for recipe in listed["RecipeList"]] == ["seam", "bolt"]
            await plc.call("RecipeManagement.PrepareRecipe", ExternalId=seam)
            assert await plc.state() == "Ready"
            for start, end in (("StartContinuous", "Stop"), ("StartSingleJob", "Abort")):
                started = await plc.call(f"{AUTOMATIC}.{start}")
                assert (started["Error"], len(started["JobId"].Id)) == (0, 26)
                assert await plc.state() == {"Stop": "ContinuousExecution", "Abort": "SingleExecution"}[end]
                await plc.refused(invalid, f"{AUTOMATIC}.{start}")
                await plc.call(f"{AUTOMATIC}.{end}")
                assert await plc.state() == "Ready"
            await plc.call("RecipeManagement.UnprepareRecipe", ExternalId=seam)
            assert await plc.state() == "Initialized"
            await plc.call(f"{MACHINE}.Halt")
            await plc.refused(invalid, f"{MACHINE}.SelectModeAutomatic")
            assert await plc.state() == "Halted"
            with pytest.raises(ua.uaerrors.BadStateNotActive):
                await plc.node(f"{AUTOMATIC}.CurrentState").read_value()
            await plc.call(f"{MACHINE}.Reset")
            assert await plc.state() == "Preoperational"

    asyncio.run(walk())


def test_a_single_job_has_one_result_with_its_part(plant: Plant) -> None:
    async def run() -> None:
        async with plant.connected() as plc:
            await plc.subscribe()
            await plc.make_ready()
            plant.inspect(age=30)  # its part was captured before the job
            given = identified(ua.PartIdDataType(), "part of the client")
            job = (await plc.call(f"{AUTOMATIC}.StartSingleJob", PartId=given))["JobId"]
            part = plant.inspect("ng")
            event = await plc.result()
            await plc.reaches("Ready")
            assert (event.PartId.Id, event.JobId.Id, event.ResultState) == (given.Id, job.Id, 1)
            decision, action, document = (each.Value for each in event.ResultContent)
            assert (decision, action, json.loads(document)["part"]) == (2, 2, part)
            fetched = await plc.call("ResultManagement.GetResultById", ResultId=event.ResultId)
            assert (fetched["Error"], fetched["Result"].PartId.Id) == (0, given.Id)
            assert fetched["Result"].InternalRecipeId.Version == "v1"
            parts = await plc.call("ResultManagement.GetResultComponentsById", ResultId=event.ResultId)
            assert parts["JobId"].Id == job.Id
            missing = identified(ua.ResultIdDataType(), "none")
            await plc.refused(ua.uaerrors.BadNotFound, "ResultManagement.GetResultById", ResultId=missing)

    asyncio.run(run())


def test_a_client_changes_the_product_of_the_line(plant: Plant) -> None:
    async def run() -> None:
        async with plant.connected() as plc:
            await plc.subscribe()
            await plc.call(f"{MACHINE}.SelectModeAutomatic")
            seam, bolt = (identified(ua.RecipeIdExternalDataType(), recipe) for recipe in ("seam", "bolt"))
            for recipe in (bolt, seam):
                await plc.call("RecipeManagement.PrepareRecipe", ExternalId=recipe)
                assert plant.change() == (recipe.Id, "opcua:plc")
            other = identified(ua.RecipeIdExternalDataType(), "paint")
            await plc.refused(ua.uaerrors.BadNotFound, f"{AUTOMATIC}.StartSingleJob", RecipeId=other)
            assert plant.change() == ("seam", "opcua:plc")
            await plc.call(f"{AUTOMATIC}.StartSingleJob", RecipeId=bolt)
            assert plant.change() == ("bolt", "opcua:plc")
            plant.inspect()  # by the recipe before: it is no result of this job
            part = plant.inspect(recipe="bolt")
            event = await plc.result()
            assert (event.PartId.Id, event.ExternalRecipeId.Id) == (part, "bolt")
            await plc.reaches("Ready")
            await plc.call("RecipeManagement.PrepareRecipe", ExternalId=seam)

    asyncio.run(run())


def test_a_client_triggers_the_camera_of_the_line(plant: Plant) -> None:
    missed: list[int] = []
    triggers = Triggers("line-1", "front", lambda: missed.append(1), seconds=600)

    async def run() -> None:
        async with plant.connected() as plc:
            assert (await plc.call("Line.Trigger", EncoderCount=-1))["Cause"] == "away"
            http = HttpTriggers(triggers, ListenAddress("127.0.0.1", plant.camera_port), PASSWORD)
            answer = await plc.call("Line.Trigger", EncoderCount=-1)
            assert (answer["Outcome"], answer["Cause"]) == ("missed", "away")
            assert answer["Reason"] == "camera front: the camera starts"
            triggers.set_state(CameraState.RUNNING)
            call = asyncio.create_task(
                plc.call("Line.Trigger", Part="p-1", Order="o-5", EncoderCount=81_234, Check=True)
            )
            trigger = await asyncio.to_thread(capture, triggers, 7)
            assert (trigger.part, trigger.batch, trigger.order) == ("p-1", None, "o-5")
            assert (trigger.encoder_count, trigger.check) == (81_234, True)
            assert await call == {"Outcome": "captured", "Cause": "", "Reason": "", "FrameIds": identity(7).frame_id}
            assert (await plc.call("Line.Trigger", Part="no name!", EncoderCount=-1))["Cause"] == "refused"
            http.close()

    asyncio.run(run())
    assert len(missed) == 2, "the camera counts each missed trigger that came to it"


def test_a_continuous_job_has_each_part_as_a_result(plant: Plant) -> None:
    async def run() -> None:
        async with plant.connected() as plc:
            await plc.subscribe()
            await plc.make_ready()
            request = OutputTestRequested(test_id="test-1", line="line-1", output="plc", by="eva", at=datetime.now(UTC))
            plant.line.send(request)
            event = await plc.result()
            assert (event.PartId.Id, event.IsSimulated) == ("test-1", True)
            assert json.loads(event.ResultContent[2].Value)["test"] is True
            assert await plc.state() == "Ready", "a test needs no job"
            await plc.call(f"{AUTOMATIC}.StartContinuous")
            parts = [plant.inspect("ng" if number % 3 == 0 else "ok") for number in range(20)]
            assert [(await plc.result()).PartId.Id for _ in parts] == parts
            assert await plc.state() == "ContinuousExecution"

    asyncio.run(run())


SUBSCRIPTIONS: Final[dict[str, Callable[[Plant, Plc], Awaitable[None]]]] = {
    "to other events": lambda _, plc: plc.subscribe(STATE_CHANGED),
    "to what asyncua raises for": lambda _, plc: plc.subscribe_to_an_unknown_attribute(),
    "of a client that is gone": lambda plant, plc: plc.subscribe_and_lose_the_connection(plant),
}


@pytest.mark.parametrize("start", ["StartContinuous", "StartSingleJob"])
@pytest.mark.parametrize("subscription", SUBSCRIPTIONS)
def test_a_result_that_no_client_takes_is_withdrawn_and_offered_again(
    plant: Plant, subscription: str, start: str
) -> None:
    async def run() -> None:
        async with plant.connected() as plc:
            await SUBSCRIPTIONS[subscription](plant, plc)
            await plc.make_ready()
            before = await plc.node("Line.Overruns").read_value()
            job = (await plc.call(f"{AUTOMATIC}.{start}"))["JobId"]
            part = plant.inspect()

            async def overrun() -> bool:
                return bool(await plc.node("Line.Overruns").read_value() > before)

            async def fetched() -> list[Any]:
                answer = await plc.call("ResultManagement.GetResultListFiltered", JobId=job)
                return list(answer["ResultList"])

            await until(overrun)
            assert [result.PartId.Id for result in await until(fetched)] == [part]

    asyncio.run(run())


def test_a_client_gets_results_beside_one_whose_subscription_is_unfit(plant: Plant) -> None:
    async def run() -> None:
        async with plant.connected() as plc:
            await plc.subscribe_to_an_unknown_attribute()
            await plc.subscribe()
            await plc.make_ready()
            await plc.call(f"{AUTOMATIC}.StartContinuous")
            parts = [plant.inspect() for _ in range(2)]
            assert [(await plc.result()).PartId.Id for _ in parts] == parts

    asyncio.run(run())


@pytest.mark.parametrize(
    "login",
    [
        {"user": None},
        {"password": "another password"},
        {"user": "another"},
        {"certificate": "stranger"},
        {"certificate": ""},
        {"certificate": "stranger", "shown": ""},
        {"certificate": "stranger", "shown": "trusted/client.der"},
    ],
    ids=str,
)
def test_a_client_without_certificate_user_and_password_is_refused(
    plant: Plant, login: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = login.get("shown")

    async def run() -> None:
        async with plant.connected():
            client = await plant.client(**{name: value for name, value in login.items() if name != "shown"})
            create = client.uaclient.create_session

            async def create_with_shown(parameters: Any) -> Any:
                parameters.ClientCertificate = (plant.folder / shown).read_bytes() if shown else None
                return await create(parameters)

            if shown is not None:
                monkeypatch.setattr(client.uaclient, "create_session", create_with_shown)
            with pytest.raises((ua.UaError, ConnectionError, TimeoutError)):
                await client.connect()

    asyncio.run(run())
    logs = "".join(file.read_text() for file in plant.folder.glob("gateway-*.log"))
    assert PASSWORD not in logs
    assert "another password" not in logs


def test_an_anonymous_client_needs_a_trusted_certificate_too(plant: Plant) -> None:
    trusted = plant.folder / "trusted"
    users = Users(
        OpcUaSettings(
            type="opcua",
            anonymous=True,
            certificate_file=plant.folder / "server.der",
            key_file=plant.folder / "server.key",
            trusted_folder=trusted,
        )
    )
    assert users.trusted
    asyncio.run(users.trusted.load())
    assert users.get_user(None, certificate=(trusted / "client.der").read_bytes())
    assert not users.get_user(None, certificate=(plant.folder / "stranger.der").read_bytes())
    assert not users.get_user(None)


def test_the_token_of_a_session_lets_no_other_channel_in(plant: Plant) -> None:
    async def run() -> None:
        async with plant.connected() as plc:
            thief = await plant.client()
            await thief.connect_socket()
            await thief.send_hello()
            await thief.open_secure_channel()
            thief.uaclient.session.restore_authentication_token(plc.client.uaclient.session.authentication_token)
            activate = ua.ActivateSessionRequest()
            activate.Parameters.UserIdentityToken = ua.AnonymousIdentityToken()
            activate.Parameters.ClientSignature.Signature = b"forged"
            with pytest.raises(ua.uaerrors.BadSessionIdInvalid):
                await thief.uaclient._send_request(activate)
            halt = ua.CallRequest()
            halt.Parameters.MethodsToCall = [
                ua.CallMethodRequest(plc.node(MACHINE).nodeid, plc.node(f"{MACHINE}.Halt").nodeid, [])
            ]
            with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                await thief.uaclient._send_request(halt)
            assert await plc.state() == "Preoperational"
            thief.disconnect_socket()

    asyncio.run(run())


def test_a_worker_that_does_not_work_leads_to_error_and_to_a_lower_service_level(plant: Plant) -> None:
    async def run() -> None:
        async with plant.connected() as plc:
            level = plc.client.get_node(ua.NodeId(ua.ObjectIds.Server_ServiceLevel))
            assert await level.read_value() == 255
            await plc.make_ready()
            await plc.call(f"{AUTOMATIC}.StartContinuous")
            plant.reports.senders.discard("worker")

            async def is_error() -> bool:
                plant.line.send(worker(reason="its disk is full"))
                return await plc.state() == "Error"

            await until(is_error)
            assert await level.read_value() < 200
            assert "its disk is full" in await plc.node("Line.Reason").read_value()
            await plc.refused(ua.uaerrors.BadInvalidState, f"{AUTOMATIC}.StartContinuous")
            plant.reports.senders.add("worker")
            await plc.reaches("Preoperational")

    try:
        asyncio.run(run())
    finally:
        plant.reports.senders.add("worker")


def test_an_automatic_system_executes_by_itself_until_the_gateway_hangs() -> None:
    port = free_port()
    settings = OpcUaSettings(type="opcua", port=port, anonymous=True, automatic=True, recipes=("seam",))
    server = OpcUaServer(settings, "line-1")

    def starts() -> bool:
        try:
            server.check()
        except OutputUnavailable:
            return False
        return True

    async def run() -> None:
        async with Client(f"opc.tcp://127.0.0.1:{port}/", timeout=60) as client:
            plc = Plc(client, await client.get_namespace_index("urn:seamline:gateway"))

            async def executes() -> bool:
                server.show(LineStatus(Trouble.NONE))
                return await plc.state() == "ContinuousExecution"

            await until(executes)
            await plc.reaches("Error")  # nothing shows the status any more

    try:
        wait_until(starts, SECONDS, "the server")
        asyncio.run(run())
    finally:
        server.close()


def test_a_gateway_that_was_killed_serves_the_same_nodes_again_and_its_counts_balance(plant: Plant) -> None:
    async def take() -> None:
        async with plant.connected() as plc:
            await plc.subscribe()
            await plc.make_ready()
            await plc.call(f"{AUTOMATIC}.StartContinuous")
            part = plant.inspect()
            assert (await plc.result()).PartId.Id == part

    asyncio.run(take())
    plant.process.kill()
    with Journal(plant.folder / "gateway", timedelta(days=7)) as journal:
        outbox = SignalOutbox(journal, {"line-1": {"plc": OpcUaSettings(type="opcua", anonymous=True)}}, now)
        counts = outbox.counts("line-1/plc")
    assert counts.balanced
    assert counts.sent >= 1
    plant.process.start()
    asyncio.run(take())
