"""The settings of outputs in the file of the lines."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.addresses import host_and_port
from shared.label_names import LabelName
from shared.messages import Name, PartDecided, PartVerdict
from shared.settings import check_readable, split_address

Seconds = Annotated[float, Field(gt=0, le=3_600)]
Milliseconds = Annotated[int, Field(ge=0, le=3_600_000)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Unit = Annotated[int, Field(ge=0, le=255, description="unit identifier of the PLC")]
Coil = Annotated[int, Field(ge=0, le=65_535)]
BLOCK: Final = 124
"""Number of registers of the block in which a PLC gets results."""

NODESET: Final = Path(sys.prefix) / "share" / "seamline" / "Opc.Ua.MachineVision.NodeSet2.xml"
"""The types of OPC 40100-1, where `make nodeset` and the container image `gateway-opcua` put them."""


class OutputSettings(BaseModel):
    """The settings that all outputs have: which decisions an output gets, and when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    remedy: ClassVar[str]
    """What to do when the receiver can't be reached."""

    verdicts: tuple[PartVerdict, ...] = Field(
        tuple(PartVerdict), min_length=1, description="verdicts of the parts that the output gets"
    )
    labels: tuple[LabelName, ...] = Field((), description="only parts that one of these made NG; none: all parts")
    recipes: tuple[Name, ...] = Field((), description="only parts of these recipes; none: of all")
    delay_ms: Milliseconds = Field(0, description="time from the capture of the first frame to the signal")
    deadline_ms: Milliseconds | None = Field(
        None,
        description="from the capture of the first frame; a later signal is not sent; unset: it is sent at any time",
    )
    delay_counts: int | None = Field(
        None,
        ge=0,
        description="counts of the line's encoder from the capture of the first frame to the signal, instead of a time",
    )
    deadline_counts: int | None = Field(
        None, gt=0, description="counts from the capture of the first frame; a signal of a part beyond them is not sent"
    )
    checks: bool = Field(
        True,
        description="the receiver gets the signals of checks, which are marked as tests; False: it would act on them",
    )

    @model_validator(mode="after")
    def _deadline_is_after_the_delay(self) -> Self:
        if self.deadline_ms is not None and self.deadline_ms <= self.delay_ms:
            raise ValueError("deadline_ms is not after delay_ms: no signal would ever be sent")
        return self

    @model_validator(mode="after")
    def _counts_replace_times(self) -> Self:
        if (self.delay_counts is None) != (self.deadline_counts is None):
            raise ValueError("delay_counts and deadline_counts belong together: set both, or none of them")
        if self.delay_counts is not None and self.deadline_counts is not None:
            if self.deadline_counts <= self.delay_counts:
                raise ValueError("deadline_counts is not after delay_counts: no signal would ever be sent")
            if self.delay_ms or ("deadline_ms" in self.model_fields_set and self.deadline_ms is not None):
                raise ValueError("delay_counts and deadline_counts replace delay_ms and deadline_ms: leave these out")
        return self

    @property
    def time_limit_ms(self) -> int | None:
        """The milliseconds from the capture to the deadline; None without one, or if it is in counts."""
        return None if self.delay_counts is not None else self.deadline_ms

    def wants(self, decision: PartDecided) -> bool:
        """Return whether the output gets the signal of a decision."""
        return (
            decision.verdict in self.verdicts
            and (not self.recipes or decision.recipe in self.recipes)
            and (not self.labels or bool(set(self.labels) & set(decision.faults)))
        )


class WebhookSettings(OutputSettings):
    """An HTTP receiver that gets one JSON document per decision."""

    remedy: ClassVar[str] = "start the receiver, or correct url, or ca_file for its certificate"

    type: Literal["webhook"]
    url: str = Field(repr=False, description="http:// or https://; its path may hold a token")
    secret_file: Path | None = Field(None, description="file of the secret that signs each request (HMAC-SHA256)")
    ca_file: Path | None = Field(None, description="authorities of the receiver's certificate; unset: the system's")
    timeout_seconds: Seconds = 5.0
    every_seconds: Seconds | None = Field(
        None,
        description="the signals of a batch are sent in one request, after this time or when the batch changes; unset: "
        "each signal in a request of its own",
    )

    @model_validator(mode="after")
    def _address_and_files_can_be_used(self) -> Self:
        if split_address("url", self.url).scheme not in ("http", "https"):
            raise ValueError("url starts with http:// or https://")
        if self.secret_file:
            check_readable("secret_file", self.secret_file)
        check_authorities(self.ca_file)
        return self


class BrokerSettings(BaseModel):
    """The address of an MQTT broker, and a login there."""

    remedy: ClassVar[str] = "start the broker, or correct host, port, tls, ca_file, user or password_file"

    host: str = Field(min_length=1)
    port: Port = 1883
    user: str | None = None
    password_file: Path | None = None
    tls: bool = False
    ca_file: Path | None = Field(None, description="authorities of the broker's certificate; unset: the system's")
    timeout_seconds: Seconds = 5.0

    @model_validator(mode="after")
    def _login_is_complete(self) -> Self:
        if self.password_file and not self.user:
            raise ValueError("password_file needs a user")
        if self.password_file:
            check_readable("password_file", self.password_file)
        check_authorities(self.ca_file)
        return self


class MqttSettings(OutputSettings, BrokerSettings):
    """An MQTT broker: each decision with QoS 1, and a retained state with a last will."""

    type: Literal["mqtt"]
    topic: str = Field("seamline", pattern=r"^[A-Za-z0-9_./-]+$", description="first part of the topics")


class FileSettings(OutputSettings):
    """Files in a folder that an MES watches: one or more per batch. Each file appears complete."""

    remedy: ClassVar[str] = "let the user of the gateway write to the folder, or correct folder"

    type: Literal["file"]
    folder: Path
    format: Literal["csv", "jsonl"] = "csv"
    every_seconds: Seconds = Field(60.0, description="a file is written after this time, or when the batch changes")


class HandshakeSettings(OutputSettings):
    """Registers in which a PLC gets results and acknowledges them: docs/factory.md lists them."""

    buffer: int = Field(16, ge=1, le=256, description="results that wait for their acknowledgement, at most")
    ack_seconds: Seconds = Field(2.0, description="a result that is not acknowledged in this time is withdrawn")
    hold_ms: Milliseconds = Field(
        0, description="0: a result stays until it is acknowledged; else it is shown for this long, without that"
    )
    bits: tuple[LabelName, ...] = Field((), max_length=16, description="labels of the bits and scores, in their order")
    recipe_numbers: tuple[Name, ...] = Field(
        (), max_length=1_000, description="recipes that the PLC may choose for the line, numbered from 1 in their order"
    )
    deadline_ms: Milliseconds | None = 2_000


class ModbusSettings(HandshakeSettings):
    """A Modbus TCP server whose registers a PLC reads and writes."""

    remedy: ClassVar[str] = "end the program that listens there, or correct host or port"

    type: Literal["modbus"]
    host: str = Field("127.0.0.1", description="address to listen on; Modbus knows no login: use a network of its own")
    port: Port = 5020


class ModbusClientSettings(HandshakeSettings):
    """A PLC that is a Modbus TCP server: the gateway reads and writes its holding registers."""

    remedy: ClassVar[str] = "switch the PLC on, or correct host, port, unit or address"

    type: Literal["modbus_client"]
    host: str = Field(min_length=1)
    port: Port = 502
    unit: Unit = 1
    address: int = Field(0, ge=0, le=65_536 - BLOCK, description="first holding register of the block in the PLC")
    poll_ms: Annotated[int, Field(ge=1, le=1_000)] = Field(
        10, description="time between two reads of what the PLC acknowledges"
    )
    timeout_seconds: Seconds = 1.0


class ModbusCoilSettings(OutputSettings):
    """A coil of a PLC or of an I/O module that is a Modbus TCP server: set for a time with each signal."""

    remedy: ClassVar[str] = "switch the PLC on, or correct host, port, unit or coil"

    type: Literal["modbus_coil"]
    host: str = Field(min_length=1)
    port: Port = 502
    unit: Unit = 1
    coil: Coil
    pulse_ms: Annotated[int, Field(ge=1, le=60_000)] = Field(100, description="time for which the coil is set")
    timeout_seconds: Seconds = 1.0
    verdicts: tuple[PartVerdict, ...] = Field((PartVerdict.NG, PartVerdict.NOT_INSPECTED), min_length=1)
    deadline_ms: Milliseconds | None = 2_000
    checks: bool = Field(False, description="a coil can't tell a signal of a check from one of production")


class CameraTriggerSettings(BaseModel):
    """A camera that takes triggers over HTTP, which a client of OPC UA triggers by a method."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(description="address of CAMERA_TRIGGER_HTTP, such as http://127.0.0.1:8090/trigger")
    token_file: Path | None = Field(None, description="file of CAMERA_TRIGGER_TOKEN")
    timeout_seconds: Seconds = 5.0

    @model_validator(mode="after")
    def _address_and_file_can_be_used(self) -> Self:
        if split_address("url", self.url).scheme != "http":
            raise ValueError("url starts with http://: a camera takes triggers without encryption")
        if self.token_file:
            check_readable("token_file", self.token_file)
        return self


class OpcUaSettings(OutputSettings):
    """An OPC UA server in the terms of OPC 40100-1 (Machine Vision): docs/factory.md has its nodes."""

    remedy: ClassVar[str] = "end the program that listens there, or correct host, port, certificate_file or key_file"

    type: Literal["opcua"]
    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: Port = 4840
    certificate_file: Path | None = Field(
        None, description="of the server, as PEM or DER; every connection is encrypted"
    )
    key_file: Path | None = Field(None, description="private key of the certificate, without a password")
    trusted_folder: Path | None = Field(None, description="certificates of the clients that may connect; unset: any")
    user: str | None = None
    password_file: Path | None = None
    anonymous: bool = Field(False, description="let clients in without user and password")
    automatic: bool = Field(False, description="execute continuously without a client that starts it")
    buffer: int = Field(100, ge=1, le=10_000, description="results that clients can fetch, the last ones")
    fetch_seconds: float = Field(
        2.0,
        gt=0,
        le=10,
        description="a result that no client has got by its event or fetched in this time is withdrawn",
    )
    triggers: dict[Name, CameraTriggerSettings] = Field(
        default_factory=dict, description="cameras that the method Trigger triggers together, by name"
    )
    deadline_ms: Milliseconds | None = 2_000

    @model_validator(mode="after")
    def _clients_can_be_let_in(self) -> Self:
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("certificate_file and key_file belong together")
        if bool(self.user) != bool(self.password_file):
            raise ValueError("user and password_file belong together")
        if not self.user and not self.anonymous:
            raise ValueError("nothing lets a client in: set user and password_file, or anonymous: true")
        if not self.certificate_file and (self.user or self.trusted_folder):
            raise ValueError("set certificate_file and key_file: a password is never sent without encryption")
        for name in ("certificate_file", "key_file", "password_file"):
            if file := getattr(self, name):
                check_readable(name, file)
        if self.trusted_folder and not self.trusted_folder.is_dir():
            raise ValueError(f"trusted_folder names no folder: {self.trusted_folder}")
        return self

    @model_validator(mode="after")
    def _types_are_there(self) -> Self:
        if not NODESET.exists():
            raise ValueError(
                f"the types of OPC 40100-1 are not installed ({NODESET}): run make nodeset, or use the container image "
                "of the target gateway-opcua"
            )
        return self


AnyOutput = Annotated[
    WebhookSettings
    | MqttSettings
    | FileSettings
    | ModbusSettings
    | ModbusClientSettings
    | ModbusCoilSettings
    | OpcUaSettings,
    Field(discriminator="type"),
]


def check_authorities(ca_file: Path | None) -> None:
    """Check that the certificates of a file of authorities can be used; raises `ValueError`."""
    if ca_file is None:
        return
    check_readable("ca_file", ca_file)
    try:
        ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise ValueError(f"ca_file holds no certificate: {ca_file}: give a file of the format PEM") from None


def exclusive_use(output: AnyOutput, line: str) -> str | None:
    """Return what only one output of all lines may use; None: nothing."""
    match output:
        case ModbusSettings() | OpcUaSettings():
            return f"the address {host_and_port(output.host, output.port)}"
        case MqttSettings():
            return f"the topic {output.topic}/{line} of {host_and_port(output.host, output.port)}"
        case FileSettings():
            return f"the folder {output.folder} for the {output.format} files of {line}"
        case ModbusClientSettings():
            return (
                f"the registers from {output.address} of {host_and_port(output.host, output.port)} unit {output.unit}"
            )
        case ModbusCoilSettings():
            return f"the coil {output.coil} of {host_and_port(output.host, output.port)} unit {output.unit}"
        case WebhookSettings():
            return None
