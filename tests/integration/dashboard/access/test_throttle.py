"""Guessing passwords is slow, and keeps nobody out who has logged in before."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from services.dashboard.access import Role, throttle
from services.dashboard.access.throttle import FREE, LONGEST_WAIT, wait_after
from tests.dashboards import problem
from tests.integration.dashboard.access.conftest import PASSWORD, House, log_in


@pytest.fixture
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy: the first waits are shorter than a test may take."""
    monkeypatch.setattr(throttle, "wait_after", lambda _tries: timedelta(minutes=2))


def fail(client: httpx.Client, name: str, times: int) -> list[int]:
    return [log_in(client, name, "wrong").status_code for _ in range(times)]


@pytest.mark.usefixtures("long_waits")
def test_after_some_wrong_passwords_one_has_to_wait_and_is_told_how_long(house: House) -> None:
    stranger, name = house.stranger(), house.person(Role.VIEWER)
    for each in (name, "nobody"):
        assert fail(stranger, each, FREE + 2) == [401] * (FREE + 1) + [429]
    answer = log_in(stranger, name)  # even with the right one
    problem(answer, 429, "try again in")
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    form = stranger.post("/login", data={"name": name, "password": PASSWORD})
    assert (form.status_code, "Too many failed logins" in form.text, "retry-after" in form.headers) == (429, True, True)
    assert log_in(stranger, house.person(Role.VIEWER)).status_code == 200


@pytest.mark.usefixtures("long_waits")
def test_whoever_hammers_at_a_name_does_not_keep_its_owner_out(house: House) -> None:
    name, attacker = house.person(Role.VIEWER), house.stranger()
    owner, still_logged_in = house.browser(name), house.browser(name)
    owner.delete("/api/session")
    assert fail(attacker, name, FREE + 2)[-1] == 429
    assert log_in(owner, name).status_code == 200
    assert still_logged_in.get("/api/lines").status_code == 200
    assert fail(owner, name, FREE + 2)[-1] == 429, "the owner's browser is no way to guess either"


def test_the_wait_doubles_and_is_never_longer_than_minutes() -> None:
    assert [wait_after(FREE + more).total_seconds() for more in (1, 2, 3)] == [2, 4, 8]
    assert wait_after(10_000) == LONGEST_WAIT <= timedelta(minutes=5)
