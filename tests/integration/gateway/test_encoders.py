"""The count of an encoder is read from where a plant has it: a PLC, an MQTT topic, or registers that the PLC writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pymodbus.client import ModbusTcpClient

from services.gateway.encoders.encoder import Encoder
from services.gateway.encoders.reading import EncoderReader, open_encoder, open_reader
from services.gateway.encoders.settings import ModbusEncoderSettings, MqttEncoderSettings, OutputEncoderSettings
from services.gateway.handler import now
from services.gateway.outputs.modbus import ModbusServer
from services.gateway.outputs.modbus_registers import COUNT
from services.gateway.outputs.port import OutputUnavailable
from services.gateway.outputs.settings import ModbusSettings
from shared.health import Health
from shared.modbus_server import words
from tests.mosquitto import USER, Mosquitto
from tests.plc_server import UNIT, PlcServer
from tests.processes import free_port, wait_until


@contextmanager
def running(reader: EncoderReader, encoder: Encoder) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=reader.run, args=(encoder, stop, Health().add_loop("the encoder")))
    thread.start()
    yield
    stop.set()
    thread.join(60)


def has(encoder: Encoder, count: int) -> Callable[[], bool]:
    return lambda: encoder.passed(count) == 0


def test_a_count_is_read_from_the_registers_of_a_plc_that_goes_away_and_comes_back() -> None:
    plc = PlcServer(port := free_port())
    plc.registers[20:22] = [0xFFF0, 0x0001]
    settings = ModbusEncoderSettings(
        type="modbus", host="127.0.0.1", port=port, unit=UNIT, address=20, low_word_first=True, timeout_seconds=60
    )
    reader, encoder = open_reader(settings, {}), open_encoder(settings, now)
    with pytest.raises(OutputUnavailable, match="can't be reached"):
        reader.check()
    plc.server.start()
    reader.check()
    with running(reader, encoder):
        wait_until(has(encoder, 0x1FFF0), 60, "the count")
        plc.server.close()
        wait_until(lambda: "the PLC" in encoder.failure, 60, "the failure")
        plc.registers[20] = 0xFFF4
        plc.server.start()
        wait_until(has(encoder, 0x1FFF4), 60, "the count after the outage")
    plc.server.close()


def test_a_count_is_read_from_an_mqtt_topic(mosquitto: Mosquitto) -> None:
    where = {"host": "127.0.0.1", "port": mosquitto.port, "user": USER, "password_file": mosquitto.password_file}
    settings = MqttEncoderSettings(type="mqtt", topic="plant/belt", timeout_seconds=60, **where)
    reader, encoder = open_reader(settings, {}), open_encoder(settings, now)
    reader.check()
    with pytest.raises(OutputUnavailable, match="Not authorized"):
        open_reader(settings.model_copy(update={"user": "another"}), {}).check()
    with running(reader, encoder), mosquitto.subscriber("nothing") as plant:

        def publish_until(document: str, happened: Callable[[], bool]) -> None:
            def publish() -> bool:
                plant.publish("plant/belt", document)
                return happened()

            wait_until(publish, 60, document)  # the encoder may not have subscribed so far

        publish_until("4711", has(encoder, 4711))
        publish_until('{"count": 4720}', has(encoder, 4720))
        publish_until("fast", lambda: "the topic plant/belt has no count" in encoder.failure)


def test_a_count_is_taken_from_registers_that_the_plc_writes() -> None:
    port = free_port()
    server = ModbusServer(ModbusSettings(type="modbus", port=port))
    server.check()
    settings = OutputEncoderSettings(type="output", output="plc")
    reader, encoder = open_reader(settings, {"plc": server}), open_encoder(settings, now)
    plc = ModbusTcpClient("127.0.0.1", port=port)
    assert plc.connect()

    def write() -> bool:
        plc.write_registers(COUNT, words(70_000, 2))
        return has(encoder, 70_000)()

    with running(reader, encoder):
        wait_until(write, 60, "the count")
    plc.close()
    server.close()
