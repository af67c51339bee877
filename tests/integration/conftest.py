"""What the tests of several services use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mosquitto import Mosquitto


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    server = Mosquitto(tmp_path_factory.mktemp("mosquitto"))
    server.server.start()
    yield server
    server.server.remove()
