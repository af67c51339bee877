"""Accept triggers over the protocols in the settings. Only their modules and drivers are imported."""

from __future__ import annotations

from collections.abc import Callable

from services.camera.settings import CameraSettings
from services.camera.triggers.triggers import Triggers


def open_triggers(
    settings: CameraSettings, count_missed: Callable[[], None], refusal: Callable[[str], str] = lambda _recipe: ""
) -> Triggers:
    """Return the triggers of a camera. Triggers are missed until the camera captures; see `Triggers` for the arguments.

    Raises:
        CameraError: an address is already in use.
    """
    triggers = Triggers(
        settings.line,
        settings.name,
        count_missed,
        seconds=settings.trigger_seconds,
        delay_seconds=settings.trigger_delay_ms / 1000,
        refusal=refusal,
    )
    try:
        if settings.trigger_http:
            from services.camera.triggers.http import HttpTriggers  # noqa: PLC0415

            token = settings.trigger_token.get_secret_value() if settings.trigger_token else ""
            triggers.listen(HttpTriggers(triggers, settings.trigger_http, token))
        if settings.trigger_mqtt:
            from services.camera.triggers.mqtt import MqttTriggers  # noqa: PLC0415

            triggers.listen(MqttTriggers(triggers, settings.trigger_mqtt, settings))
        if settings.trigger_modbus:
            from services.camera.triggers.modbus import ModbusTriggers  # noqa: PLC0415

            triggers.listen(ModbusTriggers(triggers, settings.trigger_modbus))
        if settings.trigger_plc:
            from services.camera.triggers.modbus_client import ModbusClientTriggers  # noqa: PLC0415

            triggers.listen(ModbusClientTriggers(triggers, settings.trigger_plc, settings))
    except BaseException:
        triggers.close()
        raise
    return triggers
