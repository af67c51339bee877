"""A camera process that captures for triggers: HTTP, MQTT and Modbus TCP with real clients."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymodbus.client import ModbusTcpClient

from services.camera.settings import CameraSettings, ListenAddress
from services.camera.triggers import modbus_client
from services.camera.triggers.modbus import ModbusTriggers
from services.camera.triggers.modbus_client import ANSWER, ANSWERS, ModbusClientTriggers
from services.camera.triggers.modbus_registers import (
    ANSWERED,
    CAPTURED,
    CAUSE,
    CAUSES,
    CHECK,
    FRAME,
    FRAME_LENGTH,
    MISSED,
    MISSES,
    READY,
    TEXT,
    TRIGGER,
)
from services.camera.triggers.mqtt import MqttTriggers
from services.camera.triggers.trigger import Cause, Trigger
from services.camera.triggers.triggers import Triggers
from shared.imaging.codec import decode
from shared.messages import CHECK_BY_CAMERA, CameraState, CheckFrame
from shared.messaging.port import Broker
from shared.modbus_server import text_of, text_registers
from tests.broker_address import BrokerAddress
from tests.camera_process import CameraProcess, Line, StartCamera
from tests.camera_videos import number_of, write_images
from tests.messages import identity
from tests.mosquitto import PASSWORD, USER, Mosquitto
from tests.mqtt_proxy import MqttProxy
from tests.plc_server import UNIT, PlcServer
from tests.processes import LOOPBACKS, free_port, wait_until
from tests.web_cameras import WebCamera, jpeg, multipart

embedded = pytest.mark.parametrize("broker_address", ["sqlite"], indirect=True)
TOKEN = "a token of the tests"


def environment(address: BrokerAddress, source: Path | str, **settings: str) -> dict[str, str]:
    triggers = {f"CAMERA_TRIGGER_{name}": value for name, value in settings.items()}
    return {**address.environment("CAMERA_"), "CAMERA_SOURCE": str(source), "CAMERA_TRIGGER_SECONDS": "60", **triggers}


class Http:
    """A client that sends triggers."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/trigger"
        self._headers = {"Authorization": f"Bearer {TOKEN}"}
        wait_until(self._is_ready, 120, "the camera to be ready")

    def _is_ready(self) -> bool:
        try:
            return self.ready
        except httpx.TransportError:
            return False

    @property
    def ready(self) -> bool:
        answer: dict[str, bool] = httpx.get(self._address, headers=self._headers).json()
        return answer["ready"]

    def fire(self, document: str = "{}", **headers: str) -> httpx.Response:
        chosen = {"Content-Type": "application/json", **self._headers, **headers}
        return httpx.post(self._address, content=document, headers=chosen, timeout=120)


def captured_by(plc: ModbusTcpClient) -> str:
    """Trigger, and return the id of the frame."""
    plc.write_coil(TRIGGER, True)
    wait_until(lambda: plc.read_discrete_inputs(0, count=4).bits[ANSWERED], 60, "the answer")
    assert plc.read_discrete_inputs(0, count=4).bits[CAPTURED]
    frame_id = text_of(plc.read_input_registers(FRAME, count=FRAME_LENGTH).registers)
    plc.write_coil(TRIGGER, False)
    assert not plc.read_discrete_inputs(0, count=4).bits[ANSWERED]
    return frame_id


@embedded
def test_a_trigger_over_each_protocol_is_a_frame_with_what_the_trigger_says(
    tmp_path: Path, broker_address: BrokerAddress, broker: Broker, start_camera: StartCamera, mosquitto: Mosquitto
) -> None:
    write_images(tmp_path / "images", [f"{number}.png" for number in range(20)])
    web, modbus = free_port(), free_port()
    camera = start_camera(
        environment(
            broker_address,
            tmp_path / "images",
            HTTP=f"127.0.0.1:{web}",
            TOKEN=TOKEN,
            MQTT=f"mqtt://127.0.0.1:{mosquitto.port}",
            USER=USER,
            PASSWORD=PASSWORD,
            TOPIC="plant/all",
            MODBUS=f"127.0.0.1:{modbus}",
        )
    )
    line, http = Line(broker), Http(web)

    answers = [http.fire('{"part": "p-1", "batch": "b-1", "operator": "eva"}').json()]
    checked = [http.fire('{"part": "c-1", "check": true}').json()["frame_id"]]

    base = "plant/all/line-1/camera-1"
    with mosquitto.subscriber(f"{base}/#") as plant:
        plant.until(lambda told: (f"{base}/ready", {"ready": True, "reason": ""}) in told)
        plant.publish(f"{base}/trigger", '{"id": "17", "part": "p-2", "recipe": "seam"}')
        plant.until(lambda told: any(topic == f"{base}/answer" for topic, _ in told))
        answers += [answer for topic, answer in plant.messages if topic == f"{base}/answer"]
    assert answers[1]["id"] == "17"

    plc = ModbusTcpClient("127.0.0.1", port=modbus)
    assert plc.connect()
    plc.write_registers(0, text_registers("p-3", TEXT))
    plc.write_registers(2 * TEXT, text_registers("order-5", TEXT))
    assert plc.read_discrete_inputs(0, count=4).bits[READY]
    answers.append({"frame_id": captured_by(plc)})
    plc.write_coil(CHECK, True)
    checked.append(captured_by(plc))
    plc.write_coil(CHECK, False)
    plc.write_registers(0, text_registers("not a name", TEXT))
    plc.write_coil(TRIGGER, True)
    wait_until(lambda: plc.read_discrete_inputs(0, count=4).bits[MISSED], 60, "the refusal")
    assert plc.read_input_registers(MISSES, count=2).registers == [0, 1]
    plc.close()

    refused = http.fire('{"part": "not a name"}')
    assert (refused.status_code, refused.json()["cause"]) == (422, "refused")
    assert http.fire(Authorization="Bearer another").status_code == 401
    assert http.fire(**{"Content-Type": "text/plain"}).status_code == 415

    line.take_until(lambda: len(line.frames) == 5)
    assert camera.stop() == 0
    line.take_until_finished()
    of_checks = [captured for captured in line.frames if captured.of_check]
    assert [type(captured) for captured in of_checks] == [CheckFrame, CheckFrame]
    assert [captured.frame.frame_id for captured in of_checks] == checked
    assert [(each.frame.part, each.frame.check) for each in of_checks] == [
        ("c-1", CHECK_BY_CAMERA),
        ("p-3", CHECK_BY_CAMERA),
    ]
    assert [number_of(decode(captured.image)) for captured in of_checks] == [1, 4]
    frames = [captured.frame for captured in line.frames if not captured.of_check]
    assert [frame.frame_id for frame in frames] == [answer["frame_id"] for answer in answers]
    assert [frame.sequence for frame in frames] == [0, 1, 2], "the frames of checks have numbers of their own"
    assert [number_of(decode(each.image)) for each in line.frames if not each.of_check] == [0, 2, 3]
    assert [(frame.part, frame.batch, frame.order, frame.operator, frame.recipe) for frame in frames] == [
        ("p-1", "b-1", None, "eva", None),
        ("p-2", None, None, None, "seam"),
        ("p-3", None, "order-5", None, None),
    ]
    (report,) = line.finished.values()
    assert (report.triggers, report.captured, report.missed_triggers) == (5, 3, 2)


class Released:
    """Motion JPEG that sends a further image whenever the test releases one, and ends when it is told to."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._released = 1
        self._ended = False

    def release(self) -> None:
        with self._changed:
            self._released += 1
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def parts(self) -> Iterator[bytes]:
        sent = 0
        while True:
            with self._changed:
                while not self._ended and self._released == sent:
                    self._changed.wait()
                if self._ended:
                    return
                sent += 1
            yield jpeg(sent)


@embedded
def test_a_trigger_while_a_camera_is_busy_or_away_is_missed_and_counted(
    broker_address: BrokerAddress, broker: Broker, start_camera: StartCamera
) -> None:
    images, port, answers = Released(), free_port(), list[dict[str, Any]]()
    with WebCamera(multipart(images.parts)) as web:
        camera = start_camera(
            environment(broker_address, web.address(), HTTP=f"127.0.0.1:{port}", TOKEN=TOKEN),
            {"CAMERA_SILENCE_SECONDS": "600"},
        )
        line, http = Line(broker), Http(port)
        waits = threading.Thread(target=lambda: answers.append(http.fire('{"part": "p-1"}').json()))
        waits.start()
        wait_until(lambda: not http.ready, 60, "the trigger to wait for its image")
        busy = http.fire('{"part": "p-2"}')
        assert (busy.status_code, busy.json()["cause"]) == (409, "busy")
        images.release()
        waits.join(60)
        assert (answers[0]["outcome"], answers[0]["part"]) == ("captured", "p-1")
        images.end()
        line.take_until(lambda: line.last_report is not None and line.last_report.state == "reconnecting")
        away = http.fire('{"part": "p-3"}')
        assert (away.status_code, away.json()["cause"]) == (409, "away")
        assert "reconnecting" in away.json()["reason"]
        line.take_until(lambda: line.last_report is not None and line.last_report.triggers == 3)
        report = line.last_report
        assert report is not None
        assert (report.captured, report.missed_triggers, report.unreadable) == (1, 2, 0)
        assert [captured.frame.part for captured in line.frames] == ["p-1"]
        camera.kill()


@embedded
def test_a_trigger_that_the_mqtt_broker_stored_while_the_camera_was_away_is_missed(
    tmp_path: Path, broker_address: BrokerAddress, start_camera: StartCamera, mosquitto: Mosquitto
) -> None:
    write_images(tmp_path / "images", [f"{number}.png" for number in range(5)])
    settings = environment(
        broker_address,
        tmp_path / "images",
        MQTT=f"mqtt://127.0.0.1:{mosquitto.port}",
        USER=USER,
        PASSWORD=PASSWORD,
        TOPIC="plant/away",
    )
    base = "plant/away/line-1/camera-1"
    ready = (f"{base}/ready", {"ready": True, "reason": ""})
    with mosquitto.subscriber(f"{base}/#") as plant:
        first: CameraProcess = start_camera(settings)
        plant.until(lambda told: ready in told, 120)
        assert first.stop() == 0
        plant.until(lambda told: told[-1] == (f"{base}/ready", {"ready": False, "reason": "the camera ends"}))
        plant.publish(f"{base}/trigger", json.dumps({"id": "while it was away"}))
        start_camera(settings)
        plant.until(lambda told: told.count(ready) >= 2, 120)
        plant.publish(f"{base}/trigger", json.dumps({"id": "while it is here"}))
        plant.until(lambda told: sum(topic == f"{base}/answer" for topic, _ in told) == 2)
    answers = [
        (told["id"], told["outcome"], told["cause"]) for topic, told in plant.messages if topic == f"{base}/answer"
    ]
    assert answers == [("while it was away", "missed", "away"), ("while it is here", "captured", None)]


@pytest.fixture
def missed() -> list[int]:
    return []


@pytest.fixture
def triggers(missed: list[int]) -> Triggers:
    """The triggers of a camera that runs; each missed one is an entry of ``missed``."""
    running = Triggers("line-1", "camera-1", lambda: missed.append(1), seconds=600)
    running.set_state(CameraState.RUNNING)
    return running


def capture(triggers: Triggers, number: int) -> Trigger:
    """Give an image to the trigger that comes next, and return the trigger."""
    wait_until(lambda: not triggers.is_ready, 120, "a trigger")
    pending = triggers.take()
    assert pending is not None
    triggers.captured(pending, identity(number))
    return pending.trigger


@pytest.mark.parametrize("host", LOOPBACKS)
def test_a_trigger_that_the_mqtt_broker_sends_again_is_no_second_one(
    mosquitto: Mosquitto, triggers: Triggers, missed: list[int], host: str
) -> None:
    proxy = MqttProxy(host, mosquitto.port)
    base = f"plant/again/line-1/camera-{len(host)}"
    settings = CameraSettings(
        source="video.mp4",
        name=f"camera-{len(host)}",
        trigger_mqtt=f"mqtt://{f'[{host}]' if ':' in host else host}:{proxy.port}",
        trigger_user=USER,
        trigger_password=PASSWORD,
        trigger_topic="plant/again",
    )
    assert settings.trigger_mqtt
    listener = MqttTriggers(triggers, settings.trigger_mqtt, settings)
    with mosquitto.subscriber(f"{base}/#") as plant:
        ready = (f"{base}/ready", {"ready": True, "reason": ""})
        plant.until(lambda told: ready in told)
        proxy.loses_acknowledgements = True
        plant.publish(f"{base}/trigger", '{"part": "p-1"}')
        capture(triggers, 1)
        plant.until(lambda told: any(topic == f"{base}/answer" for topic, _ in told))
        proxy.loses_acknowledgements = False
        proxy.break_connections()
        plant.until(lambda told: told.count(ready) >= 2)
        plant.publish(f"{base}/trigger", '{"id": "7", "part": "p-2"}')
        capture(triggers, 2)
        plant.publish(f"{base}/trigger", '{"id": "7", "part": "p-2"}')
        plant.until(lambda told: sum(topic == f"{base}/answer" for topic, _ in told) == 3)
    listener.close()
    proxy.close()
    answers = [(told["outcome"], told["frame_id"]) for topic, told in plant.messages if topic == f"{base}/answer"]
    assert answers == [("captured", identity(number).frame_id) for number in (1, 2, 2)]
    assert missed == []


@pytest.mark.parametrize("host", LOOPBACKS)
def test_a_plc_triggers_at_each_loopback_address(triggers: Triggers, host: str) -> None:
    port = free_port()
    listener = ModbusTriggers(triggers, ListenAddress(host, port))
    plc = ModbusTcpClient(host, port=port)
    assert plc.connect()
    plc.write_coil(TRIGGER, True)
    capture(triggers, 1)
    assert plc.read_discrete_inputs(0, count=4).bits[CAPTURED]
    plc.close()
    listener.close()


def test_a_plc_that_is_a_server_triggers_by_its_coil(
    triggers: Triggers, missed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modbus_client, "TIMEOUT_SECONDS", 60.0)  # a machine that is busy may need more than a second
    coil, register = 10, 100
    plc = PlcServer(port := free_port())
    settings = CameraSettings(
        source="video.mp4",
        trigger_plc=f"127.0.0.1:{port}",
        trigger_plc_unit=UNIT,
        trigger_plc_coil=coil,
        trigger_plc_register=register,
    )
    assert settings.trigger_plc
    listener = ModbusClientTriggers(triggers, settings.trigger_plc, settings)

    def has(bit: int) -> bool:
        return plc.coils[coil + ANSWERS + bit]

    plc.coils[coil] = True
    plc.server.start()
    wait_until(lambda: has(MISSED), 60, "the trigger before the connection to be missed")
    assert plc.registers[register + ANSWER + CAUSE] == CAUSES[Cause.AWAY]
    plc.coils[coil] = False
    wait_until(lambda: not has(ANSWERED) and has(READY), 60, "the camera to be ready")
    plc.registers[register : register + TEXT] = text_registers("p-1", TEXT)
    plc.coils[coil] = True
    trigger = capture(triggers, 3)
    assert (trigger.part, trigger.check) == ("p-1", False)
    wait_until(lambda: has(CAPTURED), 60, "the answer")
    start = register + ANSWER + FRAME
    assert text_of(plc.registers[start : start + FRAME_LENGTH]) == identity(3).frame_id
    plc.coils[coil] = False
    wait_until(lambda: not has(ANSWERED), 60, "the answer to be deleted")
    plc.coils[coil : coil + 2] = [True, True]
    assert capture(triggers, 4).check, "the coil beside it says that the part is one of a check"
    wait_until(lambda: has(CAPTURED), 60, "the answer")
    plc.server.close()
    plc.server.start()
    wait_until(lambda: has(MISSED), 60, "the coil that was set before the connection was lost to be answered")
    assert len(missed) == 2
    listener.close()
    assert not any(has(bit) for bit in range(4))
    plc.server.close()
