"""Settings of the dashboard."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.dashboard.statistics.shifts import Shifts
from shared.contracts.retention_rules import DataKind, RetentionRules
from shared.settings import ServiceSettings, check_pair, split_address

LONGEST_ACCOUNT_DAYS: Final = 31
"""The longest window of the accounting."""
EMBEDDED: Final = "embedded"
"""Scheme of `DashboardSettings.redis_url` for a Redis inside this process."""


class DashboardSettings(ServiceSettings):
    """The settings of the dashboard."""

    model_config = SettingsConfigDict(env_prefix="DASHBOARD_")

    host: str = Field(
        "127.0.0.1", description="address of the pages and the API; any but loopback needs DASHBOARD_LOGIN"
    )
    port: int = Field(8000, ge=1, le=65535, description="port of the pages and the API")
    login: bool = Field(
        False, description="people log in, and programs send a token; without it, only loopback is allowed"
    )
    first_admin_password: SecretStr = Field(
        SecretStr(""), description="password of the person `admin`, who is made if there is no admin; needed once"
    )
    session_idle_hours: float = Field(12.0, gt=0, le=744, description="a session ends after this time without use")
    session_days: float = Field(7.0, gt=0, le=31, description="a session ends after this time even if it is in use")
    https_cert: Path | None = Field(
        None, description="file of the certificate of the pages and the API, which are then served by HTTPS only"
    )
    https_key: Path | None = Field(None, description="file of the key of that certificate, without a password")
    allowed_hosts: str = Field(
        "", description="host names by which browsers may call it, with commas; on loopback: localhost and 127.0.0.1"
    )

    connections: int = Field(
        1_000, ge=20, le=20_000, description="connections at once; at most half of the files that the process may open"
    )
    connections_per_address: int = Field(
        500, ge=10, le=20_000, description="connections of one address, except of DASHBOARD_TRUSTED_PROXIES"
    )
    trusted_proxies: str = Field(
        "", description="addresses of reverse proxies, with commas: their header with the caller's address is trusted"
    )

    audit_storage_url: str = Field(
        "",
        pattern=r"^$|^(file|s3|s3s)://",
        description="bucket or folder of the audit log alone, as STORAGE_URL; unset: the storage of everything else",
    )

    redis_url: str = Field(
        "embedded://", description="redis[s]://HOST[:PORT][/NUMBER], or embedded:// for a Redis inside this process"
    )
    redis_user: str = Field("", description="unset: Redis' default user")
    redis_password: SecretStr = Field(SecretStr(""), description="needed for a Redis that is not on this machine")
    redis_prefix: str = Field("seamline", pattern=r"^[a-z0-9_-]+$", description="prefix of every key of the dashboard")

    prefetch: int = Field(
        5_000, ge=1, le=65_000, description="messages of a queue that are applied and not yet archived, at most"
    )
    segment_seconds: float = Field(1.0, gt=0, le=60, description="a segment of the archive is written after this time")
    segment_messages: int = Field(500, ge=1, le=10_000, description="or when it holds this number of messages")

    seen_days: int = Field(30, ge=1, description="a redelivery is recognised for this time")
    minute_hours: int = Field(48, ge=1, description="counts by minute are stored for this time")
    hour_days: int = Field(
        400,
        ge=1,
        description="counts by hour and shift, and those of batches, are stored for this time; by day, for ever",
    )
    slice_hour_days: int = Field(
        35, ge=1, description="counts by hour of single cameras, batches and models are stored for this time"
    )
    shifts: str = Field("06:00,14:00,22:00", description="when shifts begin, on the plant's clock")
    time_zone: str = Field("UTC", description="the plant's clock, such as Europe/Berlin")
    frame_days: int = Field(30, ge=1, description="a frame can be looked up for this time")
    flagged_frames: int = Field(20_000, ge=1, description="flagged frames that can be looked up, per line")
    passed_frames: int = Field(5_000, ge=1, description="frames that passed and can be looked up, per line")
    error_frames: int = Field(
        2_000, ge=1, description="frames with the verdict `error` that can be looked up, per line"
    )

    retention: str = Field(
        "none", description="how long data stays, such as ok=7d, ng=365d/200GB, heatmaps=90d; none: nothing is removed"
    )
    storage_gigabytes: int = Field(
        0,
        ge=0,
        description="size of the object storage, for the day on which it is full; 0: that of the disk, if known",
    )

    upload_megabytes: int = Field(
        500,
        ge=1,
        le=4_000,
        description="the largest video that may be uploaded; TMPDIR needs room for two such for each upload at "
        "once, for each archive that is downloaded, and for 1 GB of videos",
    )
    transfers: int = Field(
        2,
        ge=1,
        le=16,
        description="uploads at once, and exports with images at once; further requests are refused, to be tried again",
    )

    ng_hold_seconds: float = Field(5.0, gt=0, description="a line shows NG for this time after the last NG frame")
    delay_seconds: float = Field(
        10.0, gt=0, description="a line whose frames are inspected later than this after their capture is behind"
    )
    silence_seconds: float = Field(
        15.0, gt=0, description="a camera or worker that has sent no report for this time is lost"
    )

    @property
    def loopback(self) -> bool:
        """Return whether only programs of this machine can reach it."""
        return is_loopback(self.host)

    @property
    def address(self) -> str:
        """Return the URL for browsers of this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.https_cert else 'http'}://{host}:{self.port}/"

    @property
    def certificates(self) -> tuple[Path, ...]:
        return (*super().certificates, *([self.https_cert] if self.https_cert else []))

    @property
    def shift_times(self) -> Shifts:
        """Return the shifts on the plant's clock."""
        return Shifts.parse(self.shifts, self.time_zone)

    @property
    def embedded(self) -> bool:
        """Return whether Redis is inside this process."""
        return urlsplit(self.redis_url).scheme == EMBEDDED

    @model_validator(mode="after")
    def _check_that_others_log_in(self) -> Self:
        if not self.loopback and not self.login:
            raise ValueError(
                f"set DASHBOARD_LOGIN=true to listen on {self.host}, or DASHBOARD_HOST=127.0.0.1 for this machine alone"
            )
        return self

    @model_validator(mode="after")
    def _check_https(self) -> Self:
        check_pair("DASHBOARD_HTTPS_CERT", self.https_cert, "DASHBOARD_HTTPS_KEY", self.https_key)
        return self

    @model_validator(mode="after")
    def _check_shifts(self) -> Self:
        Shifts.parse(self.shifts, self.time_zone)
        return self

    @model_validator(mode="after")
    def _check_audit_address(self) -> Self:
        split_address("DASHBOARD_AUDIT_STORAGE_URL", self.audit_storage_url)
        return self

    @property
    def retention_rules(self) -> RetentionRules:
        """Return how long each kind of data stays."""
        return RetentionRules.parse(self.retention)

    @model_validator(mode="after")
    def _check_retention(self) -> Self:
        try:
            rules = self.retention_rules
        except ValueError as error:
            raise ValueError(f"DASHBOARD_RETENTION: {error}") from None
        needed = max(self.seen_days, self.frame_days, self.slice_hour_days, LONGEST_ACCOUNT_DAYS) + 1
        days = rules.of(DataKind.ARCHIVE).days
        if days and days < needed:
            raise ValueError(
                f"DASHBOARD_RETENTION: archive={days}d: give at least {needed}d: the archive has to hold what "
                "DASHBOARD_SEEN_DAYS, DASHBOARD_FRAME_DAYS, DASHBOARD_SLICE_HOUR_DAYS and the accounting show"
            )
        if rules.of(DataKind.AUDIT).days and self.audit_storage_url.startswith("s3"):
            raise ValueError(
                "DASHBOARD_RETENTION: leave audit out: entries in a bucket of their own are locked, and the bucket "
                "removes them (OBJECT_STORE_AUDIT_REMOVAL_DAYS)"
            )
        return self

    @model_validator(mode="after")
    def _check_redis_address(self) -> Self:
        parts = split_address("DASHBOARD_REDIS_URL", self.redis_url)
        if parts.scheme not in (EMBEDDED, "redis", "rediss"):
            raise ValueError("DASHBOARD_REDIS_URL starts with redis://, rediss:// or embedded://")
        if parts.query:
            raise ValueError("DASHBOARD_REDIS_URL takes no options after a question mark")
        if not self.embedded and not self.redis_password.get_secret_value() and not is_loopback(parts.hostname or ""):
            raise ValueError("set DASHBOARD_REDIS_PASSWORD: a Redis that other machines can reach needs one")
        return self


def is_loopback(host: str) -> bool:
    """Return whether an address or name means this machine alone."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
