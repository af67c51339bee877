"""Open the output that the settings describe. Only the chosen adapter is imported, with its driver."""

from __future__ import annotations

from services.gateway.outputs.port import Output
from services.gateway.outputs.settings import (
    AnyOutput,
    FileSettings,
    ModbusSettings,
    MqttSettings,
    OpcUaSettings,
    WebhookSettings,
)


def open_output(settings: AnyOutput, line: str) -> Output:
    """Return an output of a line. It connects when it is first used."""
    match settings:
        case WebhookSettings():
            from services.gateway.outputs.webhook import WebhookOutput  # noqa: PLC0415

            return WebhookOutput(settings)
        case MqttSettings():
            from services.gateway.outputs.mqtt import MqttOutput  # noqa: PLC0415

            return MqttOutput(settings, line)
        case ModbusSettings():
            from services.gateway.outputs.modbus import ModbusServer  # noqa: PLC0415

            return ModbusServer(settings)
        case FileSettings():
            from services.gateway.outputs.file import FileOutput  # noqa: PLC0415

            return FileOutput(settings)
        case OpcUaSettings():
            from services.gateway.outputs.opcua.server import OpcUaServer  # noqa: PLC0415

            return OpcUaServer(settings, line)
