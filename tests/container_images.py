"""The images of docker-compose.yml, for tests."""

from __future__ import annotations

import re
import warnings
from functools import cache
from pathlib import Path
from typing import Final

COMPOSE: Final = Path(__file__).parents[1] / "docker-compose.yml"
IMAGES: Final = ("RABBITMQ_IMAGE", "REDIS_IMAGE", "OBJECT_STORE_IMAGE", "PYTHON_IMAGE")
SERIES: Final = {
    "RABBITMQ_IMAGE": "rabbitmq:4-management",
    "REDIS_IMAGE": "redis:7.4-alpine",
    "PYTHON_IMAGE": "python:3.11-slim",
}
"""Tags that move: what an engine without a registry may have instead of the exact version."""


def shipped_image(variable: str) -> str:
    """The default of a variable of docker-compose.yml."""
    (image,) = set(re.findall(rf"\$\{{{variable}:-([^}}]+)\}}", COMPOSE.read_text()))
    return str(image)


@cache
def image_at_hand(variable: str) -> str:
    """The image as shipped; where no registry gives it, and the engine has one of its series, that one."""
    import docker
    from docker.errors import APIError, ImageNotFound

    images, exact, series = docker.from_env(timeout=300).images, shipped_image(variable), SERIES.get(variable, "")
    for find in (images.get, images.pull):
        try:
            find(exact)
        except APIError:
            continue
        return exact
    try:
        images.get(series or exact)
    except (APIError, ImageNotFound):
        raise RuntimeError(f"{exact} is neither on this Docker engine nor to be had: pull or load it") from None
    warnings.warn(f"{exact} is not to be had here: {series} is tested in its place", stacklevel=2)
    return series
