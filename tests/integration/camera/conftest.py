"""Cameras as processes of their own, which end with the test that started them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.camera_process import CameraProcess


@pytest.fixture
def start_camera(tmp_path: Path) -> Iterator[Callable[..., CameraProcess]]:
    """Starts a camera in the test's folder, or in another one, with these variables in its environment."""
    started: list[CameraProcess] = []

    def start(*environments: dict[str, str], folder: Path = tmp_path) -> CameraProcess:
        started.append(CameraProcess(folder, {name: value for part in environments for name, value in part.items()}))
        return started[-1]

    yield start
    for camera in started:
        camera.kill()
