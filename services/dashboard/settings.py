"""Settings of the dashboard."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from shared.contracts.retention_rules import DataKind, RetentionRules
from shared.settings import ServiceSettings, check_pair, split_address
from shared.shifts import Shifts

LONGEST_ACCOUNT_DAYS: Final = 31
"""Most days of the accounting."""
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
        SecretStr(""), description="password of the user `admin`, who is added if there is no admin; needed once"
    )
    session_idle_hours: float = Field(12.0, gt=0, le=744, description="a session ends after this time without use")
    session_days: float = Field(7.0, gt=0, le=31, description="a session ends after this time even if it is in use")
    https_cert: Path | None = Field(
        None, description="file of the certificate of the pages and the API, which are then served by HTTPS only"
    )
    https_key: Path | None = Field(None, description="file of the key of that certificate, without a password")
    allowed_hosts: str = Field(
        "", description="accepted host names, separated by commas; unset: any, or on loopback localhost and 127.0.0.1"
    )

    connections: int = Field(
        1_000,
        ge=20,
        le=20_000,
        description="most connections at the same time; at most half of the process's limit of open files",
    )
    connections_per_address: int = Field(
        500,
        ge=10,
        le=20_000,
        description="most connections of one address at the same time, except of DASHBOARD_TRUSTED_PROXIES",
    )
    trusted_proxies: str = Field(
        "",
        description="addresses of reverse proxies, separated by commas, whose header with the caller's address is "
        "trusted",
    )

    audit_storage_url: str = Field(
        "",
        pattern=r"^$|^(file|s3|s3s)://",
        description="bucket or folder of the audit log, in the form of STORAGE_URL; unset: that of all other data",
    )

    redis_url: str = Field(
        "embedded://", description="redis[s]://HOST[:PORT][/NUMBER], or embedded:// for a Redis inside this process"
    )
    redis_user: str = Field("", description="unset: Redis' default user")
    redis_password: SecretStr = Field(SecretStr(""), description="needed for a Redis that is not on this machine")
    redis_prefix: str = Field("seamline", pattern=r"^[a-z0-9_-]+$", description="prefix of every key of the dashboard")

    prefetch: int = Field(
        5_000, ge=1, le=65_000, description="most messages of a queue that are applied and not archived yet"
    )
    segment_seconds: float = Field(1.0, gt=0, le=60, description="a segment of the archive is written after this time")
    segment_messages: int = Field(
        500, ge=1, le=10_000, description="a segment is also written when it has this number of messages"
    )

    seen_days: int = Field(30, ge=1, description="a redelivery is recognised for this time")
    minute_hours: int = Field(48, ge=1, description="counts by minute are stored for this time")
    hour_days: int = Field(
        400,
        ge=1,
        description="counts by hour, shift and batch are stored for this time; counts by day are stored for ever",
    )
    slice_hour_days: int = Field(
        35, ge=1, description="counts by hour of each camera, batch and model are stored for this time"
    )
    shifts: str = Field("06:00,14:00,22:00", description="times at which shifts begin, by the plant's clock")
    time_zone: str = Field("UTC", description="the plant's clock, such as Europe/Berlin")
    frame_days: int = Field(30, ge=1, description="a frame can be looked up for this time")
    flagged_frames: int = Field(20_000, ge=1, description="most flagged frames per line that can be looked up")
    passed_frames: int = Field(
        5_000, ge=1, description="most frames per line that can be looked up and are not flagged"
    )
    error_frames: int = Field(
        2_000, ge=1, description="most frames per line with the verdict `error` that can be looked up"
    )

    retention: str = Field(
        "none",
        description="age or size beyond which data is removed, by kind, such as ok=7d, ng=365d/200GB, heatmaps=90d; "
        "none: nothing is removed",
    )
    storage_gigabytes: int = Field(
        0,
        ge=0,
        description="size of the object storage, to forecast when it is full; 0: the size of its disk, if known",
    )

    upload_megabytes: int = Field(
        500,
        ge=1,
        le=4_000,
        description="size of the largest upload; TMPDIR needs twice this size for each upload and each download of "
        "an archive at the same time, and 1 GB for videos",
    )
    transfers: int = Field(
        2,
        ge=1,
        le=16,
        description="most uploads, and most exports with images, at the same time; further requests are refused",
    )

    ng_hold_seconds: float = Field(
        5.0, gt=0, description="the page of a line shows NG for this time after the last NG frame"
    )
    delay_seconds: float = Field(
        10.0, gt=0, description="a line whose frames are inspected later than this after their capture is behind"
    )
    silence_seconds: float = Field(
        15.0, gt=0, description="a camera or worker that has sent no report for this time is lost"
    )

    @property
    def loopback(self) -> bool:
        """Whether only programs on this machine can reach the dashboard."""
        return is_loopback(self.host)

    @property
    def address(self) -> str:
        """The URL of the dashboard for browsers on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.https_cert else 'http'}://{host}:{self.port}/"

    @property
    def certificates(self) -> tuple[Path, ...]:
        return (*super().certificates, *([self.https_cert] if self.https_cert else []))

    @property
    def shift_times(self) -> Shifts:
        """The shifts, by the plant's clock."""
        return Shifts.parse(self.shifts, self.time_zone)

    @property
    def embedded(self) -> bool:
        """Whether Redis runs inside this process."""
        return urlsplit(self.redis_url).scheme == EMBEDDED

    @model_validator(mode="after")
    def _check_login_unless_loopback(self) -> Self:
        if not self.loopback and not self.login:
            raise ValueError(
                f"set DASHBOARD_LOGIN=true to listen on {self.host}, or DASHBOARD_HOST=127.0.0.1 for this machine only"
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
        """The retention rules of all kinds of data."""
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
    """Return whether an address or name is a loopback address, which only this machine can reach."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
