"""Settings of a service: environment variables with the prefix of the service, read once in its ``main``."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

BROKERS = ("sqlite", "amqp", "amqps")
STORES = ("file", "s3", "s3s")
BROKER_OPTIONS = {"topology": "given", "heartbeat": r"[5-9]|[1-9]\d|[12]\d\d|300"}
"""Options of RabbitMQ's address, and patterns of their values."""


class SecretFileError(ValueError):
    """The file of a secret can't be used; the message says what to do, and does not contain the secret."""


class _SecretFiles(PydanticBaseSettingsSource):
    """Read a secret setting from the file that ``<NAME>_FILE`` names, as Docker and Kubernetes mount them."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[str | None, str, bool]:
        variable = f"{self.config.get('env_prefix', '')}{field_name}".upper()
        path = os.environ.get(f"{variable}_FILE") if (field.annotation is SecretStr or not field.repr) else None
        if not path:
            return None, field_name, False
        if os.environ.get(variable):
            raise SecretFileError(f"{variable}_FILE: {variable} is set as well: give one of the two")
        return _read_secret(f"{variable}_FILE", Path(path)), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: secret for name, secret in found.items() if secret is not None}


def _read_secret(variable: str, path: Path) -> str:
    try:
        secret = path.read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise SecretFileError(f"{variable}: {path} holds no text") from None
    except OSError as error:
        raise SecretFileError(f"{variable}: {path} can't be read: {error.strerror}") from None
    if not secret:
        raise SecretFileError(f"{variable}: {path} is empty")
    return secret


class SecretFileSettings(BaseSettings):
    """Settings whose secrets may be in files: ``X_FILE`` names the file of the secret setting ``X``."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the file of a secret before its variable; if both are set, `_SecretFiles` raises an error."""
        return init_settings, _SecretFiles(settings_cls), env_settings, dotenv_settings, file_secret_settings


class ServiceSettings(SecretFileSettings):
    """Settings of every service. A subclass sets ``env_prefix`` to the name of the service and adds its own."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, validate_default=True)

    broker_url: str = Field(
        "sqlite:///var/broker",
        description="sqlite:///FOLDER, or amqp[s]://HOST[:PORT][,HOST…][/VHOST][?topology=given][&heartbeat=SECONDS]",
    )
    broker_user: str = ""
    broker_password: SecretStr = SecretStr("")
    storage_url: str = Field("file:///var/objects", description="file:///FOLDER, or s3[s]://HOST:PORT/BUCKET")
    storage_access_key: str = ""
    storage_secret_key: SecretStr = SecretStr("")
    tls_ca: Path | None = Field(
        None, description="file of the authorities that sign the certificates of servers; unset: those of the system"
    )
    tls_cert: Path | None = Field(None, description="file of the certificate that the service shows to servers")
    tls_key: Path | None = Field(None, description="file of the key of that certificate, without a password")
    log_format: Literal["json", "console"] = "console"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    health_host: str = Field("127.0.0.1", description="address of /healthz and /metrics")
    health_port: int = Field(0, ge=0, le=65535, description="0: do not serve them")

    @model_validator(mode="after")
    def _addresses_are_complete(self) -> Self:
        prefix = str(self.model_config.get("env_prefix", "")).upper()
        for field, url, schemes in (
            ("BROKER_URL", self.broker_url, BROKERS),
            ("STORAGE_URL", self.storage_url, STORES),
        ):
            if split_address(f"{prefix}{field}", url).scheme not in schemes:
                raise ValueError(f"{prefix}{field} starts with one of {', '.join(s + '://' for s in schemes)}")
        if self.broker_url.startswith("amqp"):
            check_broker_options(f"{prefix}BROKER_URL", self.broker_url)
        if self.broker_url.startswith("amqp") and not (self.broker_user and self.broker_password.get_secret_value()):
            raise ValueError(f"set {prefix}BROKER_USER and {prefix}BROKER_PASSWORD: RabbitMQ asks for them")
        if self.storage_url.startswith("s3") and not (
            self.storage_access_key and self.storage_secret_key.get_secret_value()
        ):
            raise ValueError(
                f"set {prefix}STORAGE_ACCESS_KEY and {prefix}STORAGE_SECRET_KEY: the object store asks for them"
            )
        return self

    @model_validator(mode="after")
    def _certificates_can_be_used(self) -> Self:
        prefix = str(self.model_config.get("env_prefix", "")).upper()
        if self.tls_ca:
            check_readable(f"{prefix}TLS_CA", self.tls_ca)
        check_pair(f"{prefix}TLS_CERT", self.tls_cert, f"{prefix}TLS_KEY", self.tls_key)
        try:
            self.client_tls()
        except ssl.SSLError:
            raise ValueError(f"{prefix}TLS_CA holds no certificate in PEM format: {self.tls_ca}") from None
        return self

    @property
    def certificates(self) -> tuple[Path, ...]:
        """Return the files of the certificates that the service shows."""
        return (self.tls_cert,) if self.tls_cert else ()

    def client_tls(self) -> ssl.SSLContext:
        """Return a context that checks the certificate and name of servers, and shows our certificate on request."""
        context = ssl.create_default_context(cafile=self.tls_ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.tls_cert:
            context.load_cert_chain(self.tls_cert, self.tls_key, password="")  # never ask the terminal for one
        return context


def check_pair(cert_name: str, cert: Path | None, key_name: str, key: Path | None) -> None:
    """Check that a certificate and its key are both set or both unset, and belong together.

    Raises:
        ValueError: they can't be used.
    """
    if cert is None and key is None:
        return
    if cert is None or key is None:
        raise ValueError(f"set both {cert_name} and {key_name}, or neither")
    check_readable(cert_name, cert)
    check_readable(key_name, key)
    try:
        ssl.create_default_context().load_cert_chain(cert, key, password="")
    except ssl.SSLError:
        raise ValueError(
            f"{cert_name} and {key_name} are no certificate and its key in PEM format, without a password: "
            f"{cert} and {key}"
        ) from None


def check_readable(name: str, file: Path) -> None:
    """Check that a file can be read.

    Raises:
        ValueError: it can't.
    """
    try:
        file.read_bytes()
    except OSError as error:
        raise ValueError(f"{name} names a file that can't be read: {file} ({error.strerror})") from None


def split_address(name: str, url: str) -> SplitResult:
    """Split the address of a server or a folder.

    The text is searched for a password first: `urlsplit` quotes a password with ``/``, ``?``, ``#`` or ``[`` in its
    errors.

    Raises:
        ValueError: it contains a password, or is not an address.
    """
    if "@" in url and not url.startswith(("file:", "sqlite:")):
        raise ValueError(f"{name} holds a password: give it in a variable of its own")
    try:
        parts = urlsplit(url)
        # only RabbitMQ may have several nodes
        nodes = parts.netloc.split(",") if parts.scheme.startswith("amqp") else [parts.netloc]
        _ = [urlsplit(f"//{node}").port for node in nodes]
    except ValueError:
        raise ValueError(f"{name} is no address: after the host comes a port of 0 to 65535, or none") from None
    if len(nodes) > 1 and "" in nodes:
        raise ValueError(f"{name} has a comma without a host: write one comma between two hosts")
    return parts


def check_broker_options(name: str, url: str) -> None:
    """Check what follows the question mark of RabbitMQ's address.

    Raises:
        ValueError: it is not an option of RabbitMQ's address.
    """
    for option, value in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        if option not in BROKER_OPTIONS or not re.fullmatch(BROKER_OPTIONS[option], value):
            raise ValueError(
                f"{name}: after the question mark come topology=given, or heartbeat=SECONDS (5 to 300), or both "
                "with & between them"
            )


def folder_of(url: str) -> Path:
    """Return the folder of a ``sqlite:`` or ``file:`` address: ``var/x`` for ``file:///var/x``.

    As in SQLAlchemy, three slashes name a folder below the working directory, and four an absolute one.

    Raises:
        ValueError: there are two slashes, or no folder follows.
    """
    parts = urlsplit(url)
    folder = parts.path.removeprefix("/")
    if parts.netloc or not folder:
        raise ValueError(f"{parts.scheme}:///FOLDER has three slashes and a folder; four for an absolute folder")
    return Path(folder)
