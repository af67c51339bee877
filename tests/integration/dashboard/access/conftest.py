"""A dashboard where people log in, shared by the tests of a module: each makes its own people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pytest
from ulid import ULID

from services.dashboard.access.audit import Audit
from services.dashboard.access.people import FIRST_ADMIN, People
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.settings import DashboardSettings
from services.dashboard.web.callers import Role
from shared.messaging import open_broker
from shared.messaging.port import Broker
from shared.storage.opening import open_store
from shared.storage.port import ObjectStore
from tests.dashboards import embedded_settings, open_dashboard

PASSWORD = "umbrella copper thirty lanterns"
"""Of everybody."""


def log_in(client: httpx.Client, name: str, password: str = PASSWORD) -> httpx.Response:
    return client.post("/api/session", json={"name": name, "password": password})


@dataclass(frozen=True)
class House:
    """A dashboard and its browsers."""

    settings: DashboardSettings
    broker: Broker
    store: ObjectStore
    address: httpx.URL
    opened: ExitStack

    def stranger(self) -> httpx.Client:
        """Return a browser without a session."""
        client = httpx.Client(base_url=self.address, trust_env=False, timeout=60)
        self.opened.callback(client.close)
        return client

    def browser(self, name: str) -> httpx.Client:
        """Return a browser in which a person has logged in."""
        client = self.stranger()
        assert log_in(client, name).status_code == 200
        return client

    def person(self, role: Role) -> str:
        """Add a person, and return their name."""
        name = f"{role}-{str(ULID())[-10:].lower()}"
        order = {"name": name, "role": role.value, "password": PASSWORD}
        assert self.browser(FIRST_ADMIN).post("/api/people", json=order).status_code == 201
        return name

    def someone(self, role: Role) -> httpx.Client:
        """Add a person, and return a browser in which they have logged in."""
        return self.browser(self.person(role))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    settings = embedded_settings(tmp_path_factory.mktemp("house"), login=True)
    broker, store = open_broker(settings), open_store(settings)
    People(PeopleRepository(store), Audit(store)).make_first(PASSWORD)
    with ExitStack() as opened:
        client = opened.enter_context(open_dashboard(settings, broker))
        yield House(settings, broker, store, client.base_url, opened)
    broker.close()


@pytest.fixture
def stranger(house: House) -> httpx.Client:
    return house.stranger()
