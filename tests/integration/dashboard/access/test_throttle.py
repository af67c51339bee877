"""Failed logins are rate-limited, and a person who has logged in before is not locked out."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.dashboard.access import throttle
from services.dashboard.access.service import AccessService, LoggedIn
from services.dashboard.access.throttle import FREE_TRIES, LONGEST_WAIT, network_of, wait_after
from services.dashboard.web.callers import Role
from tests.dashboards import problem, soon
from tests.integration.dashboard.access.conftest import PASSWORD, House, log_in


@pytest.fixture
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow fewer free tries: on a busy machine the first waits would be over before the test goes on."""
    monkeypatch.setattr(throttle, "wait_after", lambda _tries, _free=0: timedelta(minutes=2))


def fail(client: httpx.Client, name: str, times: int) -> list[int]:
    return [log_in(client, name, "wrong").status_code for _ in range(times)]


@pytest.mark.usefixtures("long_waits")
def test_after_some_wrong_passwords_a_try_has_to_wait_and_the_answer_says_how_long(house: House) -> None:
    stranger, name = house.stranger(), house.person(Role.VIEWER)
    for each in (name, "nobody"):
        assert fail(stranger, each, FREE_TRIES + 2) == [401] * (FREE_TRIES + 1) + [429]
    answer = log_in(stranger, name)  # even with the right one
    problem(answer, 429, "try again in")
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    form = stranger.post("/login", data={"name": name, "password": PASSWORD})
    assert (form.status_code, "Too many failed logins" in form.text, "retry-after" in form.headers) == (429, True, True)
    assert log_in(stranger, house.person(Role.VIEWER)).status_code == 200


@pytest.mark.usefixtures("long_waits")
def test_many_tries_with_a_name_do_not_lock_its_owner_out(house: House) -> None:
    name, attacker = house.person(Role.VIEWER), house.stranger()
    owner, still_logged_in = house.browser(name), house.browser(name)
    owner.delete("/api/session")
    assert fail(attacker, name, FREE_TRIES + 2)[-1] == 429
    assert log_in(owner, name).status_code == 200
    assert still_logged_in.get("/api/lines").status_code == 200
    assert fail(owner, name, FREE_TRIES + 2)[-1] == 429, "the owner's browser is no way to guess either"


@pytest.mark.usefixtures("long_waits")
def test_many_tries_from_another_address_do_not_lock_the_owner_out_of_a_new_browser(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, attacker = house.person(Role.VIEWER), house.stranger()
    assert fail(attacker, name, FREE_TRIES + 2)[-1] == 429
    monkeypatch.setattr(throttle, "network_of", lambda _address: "192.0.2.7")
    assert log_in(house.stranger(), name).status_code == 200


@pytest.mark.usefixtures("long_waits")
def test_an_address_that_tries_many_names_has_to_wait(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "network_of", lambda _address: "192.0.2.8")
    monkeypatch.setattr(throttle, "FREE_TRIES_OF_ADDRESS", 8)
    attacker, owner = house.stranger(), house.browser(house.person(Role.VIEWER))
    answers = [log_in(attacker, f"somebody-{number}", "wrong").status_code for number in range(10)]
    assert answers == [401] * 9 + [429]
    assert owner.get("/api/lines").status_code == 200


def test_an_ipv6_address_is_counted_by_its_network() -> None:
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert network_of("192.0.2.1") == "192.0.2.1"


def test_a_known_browser_logs_in_at_once_while_150_unknown_ones_log_in(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = house.person(Role.VIEWER)
    owner, count, checked, known_is_in = house.browser(name), 150, AccessService.log_in, threading.Event()

    def log_in_later(self: AccessService, name: str, *given: Any) -> LoggedIn:
        if name.startswith("stranger-"):
            known_is_in.wait(120)
        return checked(self, name, *given)

    monkeypatch.setattr(AccessService, "log_in", log_in_later)
    limits = httpx.Limits(max_connections=count)
    strangers = httpx.Client(base_url=house.address, trust_env=False, timeout=120, limits=limits)
    with strangers, ThreadPoolExecutor(count) as threads:
        others = [threads.submit(log_in, strangers, f"stranger-{number}", "wrong") for number in range(count)]
        try:
            soon(lambda: any(each.done() for each in others), "a stranger to be turned away, because the queue is full")
            assert log_in(owner, name).status_code == 200, "it is served while all unknown browsers wait"
        finally:
            known_is_in.set()
        answers = [each.result() for each in others]
    assert {answer.status_code for answer in answers} <= {401, 429, 503}
    turned_away = [answer for answer in answers if answer.status_code != 401]
    assert turned_away
    assert all("retry-after" in answer.headers for answer in turned_away)


def test_the_wait_doubles_and_is_never_longer_than_minutes() -> None:
    assert [wait_after(FREE_TRIES + more).total_seconds() for more in (1, 2, 3)] == [2, 4, 8]
    assert wait_after(10_000) == LONGEST_WAIT <= timedelta(minutes=5)
