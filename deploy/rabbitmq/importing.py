"""Make users, queues and exchanges of a running RabbitMQ: ``python -m deploy.rabbitmq.importing``.

This is for Kubernetes, where an operator starts RabbitMQ instead of start.sh. Existing objects are not deleted, and
passwords are set to those in the environment: ``<SERVICE>_PASSWORD`` of each service, and ``CAMERA_PASSWORD_<number>``
of the cameras that ``CAMERAS`` names, such as ``line-1/camera-1,line-1/camera-2``, from number 0.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import urllib3
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed
from urllib3.exceptions import HTTPError

from deploy.rabbitmq.__main__ import ADMINISTRATOR, COMPOSED, camera_definitions, definitions
from shared.environment import read_settings

RETRY_SECONDS: Final = 120.0
"""Time for retries, because RabbitMQ may have just started."""


class ImportSettings(BaseSettings):
    """The address of RabbitMQ's management, and the user who may make users there."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    rabbitmq_management_url: str
    rabbitmq_admin_user: str
    rabbitmq_admin_password: SecretStr
    cameras: str = ""


def wanted_definitions(admin: str, cameras: str, environment: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Return the definitions to import: the topology, and the users whose passwords are in the environment.

    Args:
        admin: the user who imports; gets all rights in the virtual host.
        cameras: ``<line>/<name>`` of each camera, with commas.
        environment: the passwords.

    Raises:
        KeyError: the password of a camera is missing.
    """
    found = definitions()
    services = [user.name for user in COMPOSED if f"{user.name.upper()}_PASSWORD" in environment]
    wanted = {
        **found,
        "users": [
            {**user, "password": environment[f"{user['name'].upper()}_PASSWORD"]}
            for user in found["users"]
            if user["name"] in services
        ],
        "permissions": [
            *({**each, "user": admin} for each in found["permissions"] if each["user"] == ADMINISTRATOR),
            *(each for each in found["permissions"] if each["user"] in services),
        ],
        "topic_permissions": [each for each in found["topic_permissions"] if each["user"] in services],
    }
    for number, (line, name) in enumerate(_cameras(cameras)):
        for kind, things in camera_definitions(line, name, environment[f"CAMERA_PASSWORD_{number}"]).items():
            wanted[kind] += things
    return wanted


def _cameras(text: str) -> Iterator[tuple[str, str]]:
    for camera in filter(None, text.split(",")):
        line, _, name = camera.partition("/")
        yield line, name


@retry(retry=retry_if_exception_type(HTTPError), stop=stop_after_delay(RETRY_SECONDS), wait=wait_fixed(2), reraise=True)
def _import(settings: ImportSettings, wanted: dict[str, list[dict[str, Any]]]) -> int:
    login = f"{settings.rabbitmq_admin_user}:{settings.rabbitmq_admin_password.get_secret_value()}"
    answer = urllib3.request(
        "POST",
        f"{settings.rabbitmq_management_url.rstrip('/')}/api/definitions",
        json=wanted,
        headers=urllib3.make_headers(basic_auth=login),
        timeout=60,
    )
    return answer.status


def main() -> None:
    """Import the definitions into a running RabbitMQ."""
    settings = read_settings(ImportSettings)
    try:
        wanted = wanted_definitions(settings.rabbitmq_admin_user, settings.cameras, os.environ)
        status = _import(settings, wanted)
    except KeyError as error:
        sys.stderr.write(f"set {error.args[0]}: the password of a camera\n")
        raise SystemExit(2) from None
    except HTTPError as error:
        sys.stderr.write(f"RabbitMQ's management can't be reached ({type(error).__name__})\n")
        raise SystemExit(1) from None
    if status >= 300:
        sys.stderr.write(f"RabbitMQ refused the definitions ({status}): check RABBITMQ_ADMIN_USER and _PASSWORD\n")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
