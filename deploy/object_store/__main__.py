"""Set up the object store before the services start: ``python -m deploy.object_store``. It may run again.

Only this command uses the root user of the store. It makes the buckets, locks the objects of the audit log, and makes a
user with its own policy for each service. ``… add-camera LINE NAME`` and ``… remove-camera LINE NAME`` make and delete
the user of one more camera, whose password is in ``CAMERA_STORAGE_SECRET_KEY``.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol, Self
from urllib.parse import urlsplit

import typer
import urllib3
from minio import Minio, MinioAdmin
from minio.commonconfig import ENABLED, GOVERNANCE, Filter
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException, MinioException
from minio.lifecycleconfig import Expiration, LifecycleConfig, NoncurrentVersionExpiration, Rule
from minio.objectlockconfig import DAYS, ObjectLockConfig
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed
from urllib3.exceptions import HTTPError

from deploy.object_store.rights import AUDIT, RIGHTS, policy
from shared.environment import read_settings
from shared.messages import Name
from shared.settings import SecretFileSettings, split_address

RETRY_SECONDS: Final = 60.0
"""Seconds for which a failed set-up is repeated, because the store may be starting."""
TIMEOUT: Final = urllib3.Timeout(connect=5, read=30)


class CannotSetUp(Exception):
    """The store can't be set up; the message says what to do."""


class SetupSettings(SecretFileSettings):
    """The address of the store, and the secrets of its users."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    object_store_url: str = Field("s3://object-store:9000/seamline", description="s3[s]://HOST:PORT/BUCKET")
    object_store_root_user: str = "root"
    object_store_root_password: SecretStr
    object_store_users: Literal["each", "single"] = Field(
        "each", description="single: the store has no users, and the services have the root user's keys"
    )
    object_store_tls_ca: Path | None = Field(
        None, description="file of the authority that signed the store's certificate; unset: those of the system"
    )
    object_store_audit_days: int = Field(
        3650, ge=1, description="days for which an entry of the audit log can't be deleted"
    )
    object_store_audit_removal_days: int = Field(
        0, ge=0, description="the bucket removes entries of the audit log of this age; 0: never"
    )
    camera_line: Name = "line-1"
    camera_name: Name = "camera-1"
    camera_storage_secret_key: SecretStr = SecretStr("")
    inference_storage_secret_key: SecretStr = SecretStr("")
    explainer_storage_secret_key: SecretStr = SecretStr("")
    trainer_storage_secret_key: SecretStr = SecretStr("")
    gateway_storage_secret_key: SecretStr = SecretStr("")
    dashboard_storage_secret_key: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _check_removal(self) -> Self:
        if 0 < self.object_store_audit_removal_days < self.object_store_audit_days:
            raise ValueError(
                "OBJECT_STORE_AUDIT_REMOVAL_DAYS: give at least OBJECT_STORE_AUDIT_DAYS, for which entries are locked, "
                "or 0 to keep them for ever"
            )
        return self

    @field_validator("object_store_url")
    @classmethod
    def _check_address(cls, url: str) -> str:
        if split_address("OBJECT_STORE_URL", url).scheme not in ("s3", "s3s"):
            raise ValueError("OBJECT_STORE_URL starts with s3:// or s3s://")
        return url

    @property
    def bucket(self) -> str:
        """The bucket of all data except the audit log."""
        return urlsplit(self.object_store_url).path.strip("/")

    @property
    def audit_bucket(self) -> str:
        """The bucket of the audit log."""
        return f"{self.bucket}-audit"


class Admin(Protocol):
    """The administration of users and policies, as MinIO offers it."""

    def policy_add(self, policy_name: str, *, policy: dict[str, Any]) -> object:
        """Make or replace a policy."""
        ...

    def policy_remove(self, policy_name: str) -> object:
        """Delete a policy."""
        ...

    def policy_set(self, policy_name: str, user: str) -> object:
        """Make this policy the only policy of a user."""
        ...

    def user_add(self, access_key: str, secret_key: str) -> object:
        """Make a user, or change its secret key."""
        ...

    def user_remove(self, access_key: str) -> object:
        """Delete a user."""
        ...


def camera_user(line: str, name: str) -> str:
    """Return the access key of a camera."""
    return f"camera.{line}.{name}"


def make_buckets(client: Minio, settings: SetupSettings) -> None:
    """Make missing buckets, and let the bucket of the audit log lock its objects.

    Raises:
        CannotSetUp: the bucket of the audit log exists and can't lock objects.
    """
    _make_bucket(client, settings.bucket, lock=False)
    _make_bucket(client, settings.audit_bucket, lock=settings.object_store_users == "each")
    if settings.object_store_users == "each" or settings.object_store_audit_removal_days:
        # only if needed: a simple store may take the removal of a lifecycle rule for the removal of the bucket
        _set_audit_removal(client, settings)
    if settings.object_store_users == "single":
        return
    lock = ObjectLockConfig(GOVERNANCE, settings.object_store_audit_days, DAYS)
    try:
        if client.get_object_lock_config(settings.audit_bucket) != lock:
            client.set_object_lock_config(settings.audit_bucket, lock)
    except MinioException as error:
        raise CannotSetUp(
            f"bucket {settings.audit_bucket} can't lock objects ({_code(error)}): it was made without object lock, and "
            "has to be made again with it"
        ) from error


def _set_audit_removal(client: Minio, settings: SetupSettings) -> None:
    """Let the bucket of the audit log remove old entries with all their versions, or never remove any."""
    days = settings.object_store_audit_removal_days
    if days == 0:
        client.delete_bucket_lifecycle(settings.audit_bucket)
        return
    rule = Rule(
        ENABLED,
        rule_filter=Filter(prefix=f"{AUDIT}/"),
        rule_id="retention",
        expiration=Expiration(days=days),
        noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=1),
    )
    client.set_bucket_lifecycle(settings.audit_bucket, LifecycleConfig([rule]))


def make_users(admin: Admin, settings: SetupSettings) -> None:
    """Make a user with its policy for each service, and for the camera of the settings."""
    if settings.camera_storage_secret_key.get_secret_value():
        add_camera(admin, settings, settings.camera_line, settings.camera_name)
    for service in RIGHTS:
        if service != "camera":
            secret: SecretStr = getattr(settings, f"{service}_storage_secret_key")
            if not secret.get_secret_value():
                raise CannotSetUp(f"set {service.upper()}_STORAGE_SECRET_KEY: run make env, or see .env.example")
            _make_user(admin, service, secret, policy(service, settings.bucket, settings.audit_bucket))


def add_camera(admin: Admin, settings: SetupSettings, line: str, name: str) -> None:
    """Make the user of a camera, who may write the images of its line and read nothing."""
    document = policy("camera", settings.bucket, settings.audit_bucket, line)
    _make_user(admin, camera_user(line, name), settings.camera_storage_secret_key, document)


def remove_camera(admin: Admin, line: str, name: str) -> None:
    """Delete the user of a camera."""
    admin.user_remove(camera_user(line, name))
    admin.policy_remove(f"seamline-{camera_user(line, name)}")


def _make_bucket(client: Minio, bucket: str, *, lock: bool) -> None:
    if not client.bucket_exists(bucket):
        client.make_bucket(bucket, object_lock=lock)


def _make_user(admin: Admin, user: str, secret: SecretStr, document: dict[str, Any]) -> None:
    admin.policy_add(f"seamline-{user}", policy=document)
    admin.user_add(user, secret.get_secret_value())
    admin.policy_set(f"seamline-{user}", user=user)


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────

cli = typer.Typer(add_completion=False, invoke_without_command=True)
Line = Annotated[str, typer.Argument(help="the production line")]
Camera = Annotated[str, typer.Argument(help="the camera's name on its line")]


@cli.callback()
def main(context: typer.Context) -> None:
    """Make the buckets, and a user with a policy for each service."""
    if context.invoked_subcommand is None:
        with _one_line_errors():
            _set_up(read_settings(SetupSettings))


@cli.command("add-camera")
def add_camera_command(line: Line, name: Camera) -> None:
    """Make the user of one more camera."""
    with _one_line_errors():
        settings = read_settings(SetupSettings, camera_line=line, camera_name=name)
        if not settings.camera_storage_secret_key.get_secret_value():
            raise CannotSetUp("set CAMERA_STORAGE_SECRET_KEY: the password of the camera")
        if _has_users(settings):
            add_camera(_admin(settings), settings, settings.camera_line, settings.camera_name)


@cli.command("remove-camera")
def remove_camera_command(line: Line, name: Camera) -> None:
    """Delete the user of a camera."""
    with _one_line_errors():
        settings = read_settings(SetupSettings, camera_line=line, camera_name=name)
        if _has_users(settings):
            remove_camera(_admin(settings), settings.camera_line, settings.camera_name)


@retry(retry=retry_if_exception_type(HTTPError), stop=stop_after_delay(RETRY_SECONDS), wait=wait_fixed(1), reraise=True)
def _set_up(settings: SetupSettings) -> None:
    make_buckets(_client(settings), settings)
    if _has_users(settings):
        make_users(_admin(settings), settings)


def _has_users(settings: SetupSettings) -> bool:
    if settings.object_store_users == "single":
        sys.stderr.write("OBJECT_STORE_USERS=single: all services need the root user's keys to the object store\n")
    return settings.object_store_users == "each"


def _client(settings: SetupSettings) -> Minio:
    parts = urlsplit(settings.object_store_url)
    user, password = settings.object_store_root_user, settings.object_store_root_password.get_secret_value()
    secure, http = parts.scheme == "s3s", _pool(settings)
    return Minio(parts.netloc, access_key=user, secret_key=password, secure=secure, http_client=http)


def _admin(settings: SetupSettings) -> MinioAdmin:
    parts = urlsplit(settings.object_store_url)
    root = StaticProvider(settings.object_store_root_user, settings.object_store_root_password.get_secret_value())
    secure, http = parts.scheme == "s3s", _pool(settings)
    return MinioAdmin(endpoint=parts.netloc, credentials=root, secure=secure, http_client=http)


def _pool(settings: SetupSettings) -> urllib3.PoolManager:
    context = ssl.create_default_context(cafile=settings.object_store_tls_ca)
    return urllib3.PoolManager(timeout=TIMEOUT, retries=3, ssl_context=context)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except CannotSetUp as error:
        message, code = str(error), 2
    except (MinioException, MinioAdminException) as error:
        message, code = f"the object store refused: {_code(error)}: check OBJECT_STORE_ROOT_USER and _PASSWORD", 1
    except HTTPError as error:
        message, code = f"the object store can't be reached ({type(error).__name__})", 1
    else:
        return
    sys.stderr.write(f"{message}\n")
    raise SystemExit(code)


def _code(error: Exception) -> str:
    return str(getattr(error, "code", None) or getattr(error, "_code", None) or type(error).__name__)


if __name__ == "__main__":
    cli()
