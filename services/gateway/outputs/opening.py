"""Open the output that the settings describe. Only the chosen adapter is imported, with its driver."""

from __future__ import annotations

from services.gateway.outputs.port import LineRecipe, Output
from services.gateway.outputs.settings import (
    AnyOutput,
    FileSettings,
    ModbusClientSettings,
    ModbusCoilSettings,
    ModbusSettings,
    MqttSettings,
    OpcUaSettings,
    WebhookSettings,
)


def open_output(
    settings: AnyOutput, line: str, recipe: LineRecipe | None = None, *, only_checks: bool = False
) -> Output:
    """Return an output of a line. It connects when it is first used.

    Args:
        settings: of the output.
        line: its line.
        recipe: the recipe of the line, which a receiver may change; None: it can't.
        only_checks: the output tells the receiver nothing about the line, because another gateway may do so.
    """
    output: Output
    match settings:
        case WebhookSettings():
            from services.gateway.outputs.webhook import WebhookOutput  # noqa: PLC0415

            output = WebhookOutput(settings)
        case MqttSettings():
            from services.gateway.outputs.mqtt import MqttOutput  # noqa: PLC0415

            output = MqttOutput(settings, line, recipe, only_checks=only_checks)
        case ModbusSettings():
            from services.gateway.outputs.modbus import ModbusServer  # noqa: PLC0415

            output = ModbusServer(settings, recipe)
        case ModbusClientSettings():
            from services.gateway.outputs.modbus_client import ModbusClientOutput  # noqa: PLC0415

            output = ModbusClientOutput(settings, recipe)
        case ModbusCoilSettings():
            from services.gateway.outputs.modbus_coil import ModbusCoil  # noqa: PLC0415

            output = ModbusCoil(settings)
        case FileSettings():
            from services.gateway.outputs.file import FileOutput  # noqa: PLC0415

            output = FileOutput(settings)
        case OpcUaSettings():
            from services.gateway.outputs.opcua.server import OpcUaServer  # noqa: PLC0415

            output = OpcUaServer(settings, line, recipe)
    return output
