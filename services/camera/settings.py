"""Settings of the camera, from ``CAMERA_…`` in the environment."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Self
from urllib.parse import unquote

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from shared.messages import Name
from shared.settings import ServiceSettings, split_address

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
MODBUS_PORT: Final = 502
MQTT_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
FILE_ADDRESS: Final = re.compile(r"file:(?://(?:localhost)?)?(?P<path>/[^/].*)", re.IGNORECASE)
"""The address of a file of this machine (RFC 8089)."""


class RegionOfInterest(NamedTuple):
    """A rectangle of the image, in pixels from the image's upper left corner."""

    x: int
    y: int
    width: int
    height: int


class Resolution(NamedTuple):
    """The size of an image, in pixels."""

    width: int
    height: int


class ListenAddress(NamedTuple):
    """The host and port on which a server listens."""

    host: str
    port: int


class PlcAddress(NamedTuple):
    """The address of a PLC that is a Modbus TCP server."""

    host: str
    port: int


class MqttBroker(NamedTuple):
    """The address of an MQTT broker, and whether connections to it are encrypted."""

    host: str
    port: int
    tls: bool


def parse_address(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError("an address to listen on is HOST:PORT, such as 127.0.0.1:8090")
    return ListenAddress(host.strip("[]"), int(port))


def parse_plc(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        parts = split_address("CAMERA_TRIGGER_PLC", f"modbus://{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port == 0 or parts.path:
        raise ValueError("a PLC is HOST[:PORT], such as 192.168.10.5:502")
    return PlcAddress(host, port or MODBUS_PORT)


def parse_mqtt(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = split_address("CAMERA_TRIGGER_MQTT", value)
    if parts.scheme not in MQTT_PORTS or not parts.hostname:
        raise ValueError("an MQTT broker is mqtt://HOST[:PORT], or mqtts:// if it is encrypted")
    return MqttBroker(parts.hostname, parts.port or MQTT_PORTS[parts.scheme], parts.scheme == "mqtts")


def parse_region(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    numbers = _whole_numbers(value, ",", 4)
    if numbers is None or min(numbers) < 0 or 0 in numbers[2:]:
        raise ValueError("a region is x,y,width,height in pixels, such as 100,0,640,480")
    return RegionOfInterest(*numbers)


def parse_resolution(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    numbers = _whole_numbers(value, "x", 2)
    if numbers is None or min(numbers) < 1:
        raise ValueError("a resolution is WIDTHxHEIGHT in pixels, such as 1920x1080")
    return Resolution(*numbers)


def parse_source(value: Any) -> Any:
    """Return a source without the quotation marks that `docker run --env-file` leaves, and without spaces around it.

    ``file://`` and a ``~`` before a path are resolved.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    text = text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
    if file := FILE_ADDRESS.fullmatch(text):
        return unquote(file["path"])
    return os.path.expanduser(text) if text.startswith("~") else text  # noqa: PTH111  a user may be unknown


def _whole_numbers(value: str, separator: str, count: int) -> list[int] | None:
    parts = value.split(separator)
    try:
        return [int(part) for part in parts] if len(parts) == count else None
    except ValueError:
        return None


class CameraSettings(ServiceSettings):
    """Settings of the camera."""

    model_config = SettingsConfigDict(env_prefix="CAMERA_", env_ignore_empty=True)

    source: Annotated[str, BeforeValidator(parse_source)] = Field(
        repr=False,
        description="a video file, a folder of JPEG and PNG images, a USB camera by its index (`0`) or its device "
        "(`/dev/v4l/by-id/…`), an `rtsp://` or `http://` address, or a GigE Vision or USB3 Vision camera "
        "(`genicam:` and its name, serial number or IP address; `genicam:` alone: the only one)",
    )
    kind: Literal["auto", "video", "live", "image"] = Field(
        "auto",
        description="what the source is: a `video` that ends, a `live` camera that is opened again whenever it "
        "disconnects, or the address of a still `image` that is requested again and again; `auto`: what it answers",
    )
    silence_seconds: float = Field(
        4, gt=0, le=600, description="time without an image after which a live camera is opened again"
    )
    accept_repaired: bool = Field(
        False, description="inspect images that the decoder repaired after a loss of data, instead of counting them"
    )
    line: Name = Field("line-1", description="name of the production line")
    name: Name = Field("camera-1", description="name of the camera on its line")
    batch: Name | None = Field(None, description="name of the batch that is produced")
    part: Annotated[Name, Field(max_length=32)] | None = Field(
        None, description="name of the part in view, or the beginning of its name where parts are counted"
    )
    frames_per_part: int = Field(
        0, ge=0, description="number of frames after which a new part begins; 0: do not count parts"
    )

    roi: Annotated[RegionOfInterest | None, NoDecode, BeforeValidator(parse_region)] = Field(
        None, description="region of interest `x,y,width,height` in pixels; unset: the whole image"
    )
    every_nth: int = Field(1, ge=1, description="take every n-th image of the source")
    most_per_second: float = Field(0, ge=0, description="largest number of images per second; 0: all")
    frames: int = Field(0, ge=0, description="number of frames after which the camera stops; 0: never")
    pace: Literal["source", "fast"] = Field(
        "source", description="play a video at its own speed (`source`), or as fast as the line accepts it (`fast`)"
    )
    at_end: Literal["stop", "loop"] = Field(
        "stop", description="at the end of a video or folder: `stop`, or `loop` to begin again"
    )
    frames_per_second: float = Field(
        10, gt=0, le=1000, description="speed of a source without a speed of its own, such as a folder"
    )
    resolution: Annotated[Resolution | None, NoDecode, BeforeValidator(parse_resolution)] = Field(
        None, description="`WIDTHxHEIGHT` to request from a USB or GenICam camera; unset: the camera's default"
    )

    exposure_microseconds: float | None = Field(
        None, gt=0, description="exposure of a GenICam camera; turns its automatic exposure off; unset: as it is set up"
    )
    gain: float | None = Field(
        None,
        ge=0,
        description="gain of a GenICam camera, in its own unit; turns its automatic gain off; unset: as it is set up",
    )
    trigger: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")] | None = Field(
        None,
        description="what triggers a GenICam camera: `off` (it runs freely), `software` (this service, "
        "`CAMERA_FRAMES_PER_SECOND` times a second) or the name of an input, such as `Line1`; unset: as it is set up",
    )
    pixel_format: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")] | None = Field(
        None, description="pixel format of a GenICam camera, such as `Mono8` or `BayerRG8`; unset: as it is set up"
    )
    packet_size: int | None = Field(
        None,
        ge=576,
        le=16_000,
        description="bytes of a network packet of a GigE Vision camera, such as 8000 where the network passes jumbo "
        "frames; unset: as it is set up, or less if such packets do not arrive",
    )
    features: str | None = Field(
        None,
        description="other features of a GenICam camera, applied first: `Name=Value`, separated by spaces, such as "
        "`AcquisitionFrameRate=20 ReverseX=true`",
    )

    trigger_http: Annotated[ListenAddress | None, NoDecode, BeforeValidator(parse_address)] = Field(
        None, description="`HOST:PORT` on which to take triggers over HTTP; unset: none"
    )
    trigger_mqtt: Annotated[MqttBroker | None, NoDecode, BeforeValidator(parse_mqtt)] = Field(
        None, description="`mqtt://HOST[:PORT]` or `mqtts://…`: MQTT broker from which to take triggers; unset: none"
    )
    trigger_modbus: Annotated[ListenAddress | None, NoDecode, BeforeValidator(parse_address)] = Field(
        None, description="`HOST:PORT` on which to take triggers over Modbus TCP; unset: none"
    )
    trigger_plc: Annotated[PlcAddress | None, NoDecode, BeforeValidator(parse_plc)] = Field(
        None,
        description="`HOST[:PORT]`: PLC that is a Modbus TCP server, and whose coil the camera reads; unset: none",
    )
    trigger_plc_unit: int = Field(1, ge=0, le=255, description="unit identifier of the PLC")
    trigger_plc_coil: int = Field(0, ge=0, le=65_500, description="first of the six coils of the trigger in the PLC")
    trigger_plc_register: int = Field(
        0, ge=0, le=65_300, description="first of the 194 holding registers of the trigger in the PLC"
    )
    trigger_plc_poll_ms: int = Field(10, ge=1, le=1_000, description="time between two reads of the coil")
    trigger_seconds: float = Field(
        1, gt=0, le=60, description="a trigger whose image does not come in this time is missed"
    )
    trigger_delay_ms: int = Field(
        0,
        ge=0,
        le=60_000,
        description="time from the trigger to its image, which is the first one that is read after this time",
    )
    trigger_token: SecretStr | None = Field(
        None, repr=False, description="bearer token of triggers over HTTP; required beyond this machine"
    )
    trigger_topic: str = Field(
        "seamline", pattern=r"^[A-Za-z0-9_./-]+$", description="first part of the MQTT topics of triggers"
    )
    trigger_user: str | None = Field(None, description="user at the MQTT broker of triggers")
    trigger_password: SecretStr | None = Field(None, repr=False, description="password of this user")

    frozen_seconds: float = Field(
        5, ge=0, description="time of equal images after which a live camera counts as frozen; 0: never"
    )
    blind_seconds: float = Field(
        3, ge=0, description="time after which a dark, overexposed, covered or blurred live camera is reported"
    )
    dark: float = Field(
        20, ge=0, le=255, description="an image is dark if 99 of 100 pixels are below this grey value; 0: never"
    )
    overexposed: float = Field(
        235,
        ge=0,
        le=255,
        description="an image is overexposed if 99 of 100 pixels are above this grey value; 255: never",
    )
    covered: float = Field(
        12, ge=0, le=255, description="a camera is covered if 98 of 100 pixels differ by less than this; 0: never"
    )
    reference: Path | None = Field(
        None,
        description="image file of the scene as it should be; if there is no file, the first image is stored there "
        "that is not dark, overexposed or covered",
    )
    sight_ratio: float = Field(
        0.4,
        gt=0,
        lt=1,
        description="share of the brightness, contrast and sharpness of the reference below which an image is dark, "
        "covered or blurred",
    )

    encoding: Literal["jpeg", "png"] = Field(
        "jpeg", description="`jpeg`, or `png`, which is lossless and ten times as large"
    )
    jpeg_quality: int = Field(90, ge=1, le=100, description="quality of JPEG, 1 to 100")
    record: Path | None = Field(None, description="folder for mp4 videos of the sent frames; unset: record none")
    record_minutes: float = Field(5, gt=0, description="length of each video; a power cut loses the last one")

    outbox_folder: Path = Field(
        Path("var/outbox"), description="folder of the outbox; on a disk that survives a restart"
    )
    outbox_frames: int = Field(
        10_000, ge=1, description="frames that may wait in the outbox; more are dropped, and counted"
    )
    outbox_bytes: int = Field(2 * 1024**3, ge=1, description="bytes that may wait in the outbox")
    window: int = Field(64, ge=1, le=512, description="frames that may be sent to the broker without a confirm")
    report_seconds: float = Field(3, gt=0, description="time between two reports")
    drain_seconds: float = Field(5, ge=0, description="time for which a stop waits for the confirms of frames")

    @property
    def is_triggered(self) -> bool:
        """Whether the camera is triggered: each frame needs a trigger."""
        return bool(self.trigger_http or self.trigger_mqtt or self.trigger_modbus or self.trigger_plc)

    @model_validator(mode="after")
    def _triggers_of_a_network_need_a_token(self) -> Self:
        beyond = self.trigger_http and self.trigger_http.host not in LOOPBACK
        if beyond and not self.trigger_token:
            raise ValueError("CAMERA_TRIGGER_HTTP listens beyond this machine: set CAMERA_TRIGGER_TOKEN")
        return self
