"""Logging in and out, and what ends a session."""

from __future__ import annotations

import time

import httpx
import pytest

from services.dashboard.web.callers import Role
from shared.messaging import open_broker
from tests.dashboards import embedded_settings, open_dashboard, problem, soon
from tests.integration.dashboard.access.conftest import PASSWORD, House, log_in
from tests.processes import free_port

LINES = "/api/lines"


@pytest.mark.parametrize(
    "path", ["/api/lines", "/api/events", "/metrics", "/readyz", "/api/docs", "/api/openapi.json", "/nothing"]
)
def test_an_unknown_caller_gets_no_answer(stranger: httpx.Client, path: str) -> None:
    answer = stranger.get(path)
    problem(answer, 401, "log in")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_health_of_the_process_needs_no_login(stranger: httpx.Client) -> None:
    assert stranger.get("/healthz", headers={"Host": "anything.example"}).text == "ok\n"


@pytest.mark.parametrize("host", ["127.0.0.1/login?", "127.0.0.1/healthz#", "127.0.0.1/static/x?"])
def test_no_host_name_makes_a_request_look_like_a_login(stranger: httpx.Client, host: str) -> None:
    assert stranger.get(LINES, headers={"Host": host}).status_code in (400, 401, 421)


def test_an_unknown_browser_is_led_to_the_login_and_then_to_the_page(house: House) -> None:
    stranger, name = house.stranger(), house.person(Role.VIEWER)
    answer = stranger.get("/frames?verdict=ng&line=line-1", headers={"Accept": "text/html"})
    asked = "/login?next=/frames%3Fverdict%3Dng%26line%3Dline-1"
    assert (answer.status_code, answer.headers["location"]) == (303, asked)
    assert 'value="/frames?verdict=ng&amp;line=line-1"' in stranger.get(asked).text
    fields = {"name": name, "password": PASSWORD, "next": "/frames?verdict=ng&line=line-1"}
    assert stranger.post("/login", data=fields).headers["location"] == "/frames?verdict=ng&line=line-1"
    assert stranger.get("/frames").status_code == 200


@pytest.mark.parametrize("path", ["/api/people", "/api/labelling/sources/line-seam/labels", "/people"])
def test_a_body_that_is_too_large_is_refused(house: House, path: str) -> None:
    kind = "application/json" if path.startswith("/api/") else "application/x-www-form-urlencoded"
    pieces = (b" " * (64 * 1024) for _ in range(20))
    assert house.someone(Role.VIEWER).post(path, content=pieces, headers={"Content-Type": kind}).status_code == 413


def test_the_login_leads_to_no_other_site(house: House) -> None:
    stranger, name = house.stranger(), house.person(Role.VIEWER)
    for target in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:x", "/\n/x"):
        answer = stranger.post("/login", data={"name": name, "password": PASSWORD, "next": target})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_the_cookie_is_sent_to_pages_of_the_dashboard_only(house: House) -> None:
    stranger, name = house.stranger(), house.person(Role.VIEWER)
    assert "set-cookie" not in log_in(stranger, "nobody").headers
    given = log_in(stranger, name).headers.get_list("set-cookie")
    assert [cookie.partition("=")[0] for cookie in given] == ["seamline-session", "seamline-device"]
    for cookie in given:
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie


def test_behind_tls_the_cookie_is_sent_over_tls_only(house: House) -> None:
    origin = str(house.address).rstrip("/").replace("http://", "https://")
    login = {"name": house.person(Role.VIEWER), "password": PASSWORD}
    given = house.stranger().post("/api/session", json=login, headers={"Origin": origin}).headers.get_list("set-cookie")
    for cookie in given:
        assert cookie.startswith("__Host-seamline-")
        assert "Secure" in cookie.split("; ")
    assert house.stranger().get(LINES, headers={"Cookie": given[0].partition(";")[0]}).status_code == 200


@pytest.mark.parametrize("foreign", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
def test_a_page_of_another_site_can_use_no_cookie_and_log_no_person_in(house: House, foreign: dict[str, str]) -> None:
    name, admin = house.person(Role.VIEWER), house.browser("admin")
    problem(admin.delete(f"/api/people/{name}", headers=foreign), 403, "another site")
    form = house.stranger().post("/login", data={"name": name, "password": PASSWORD}, headers=foreign)
    assert (form.status_code, "set-cookie" in form.headers) == (403, False)
    assert log_in(house.stranger(), name).status_code == 200


def test_a_person_sees_their_session_until_they_log_out(house: House) -> None:
    name = house.person(Role.ENGINEER)
    client = house.browser(name)
    assert client.get("/api/session").json() == {"name": name, "role": "engineer", "kind": "person"}
    stolen = f"seamline-session={client.cookies['seamline-session']}"
    assert house.stranger().get(LINES, headers={"Cookie": stolen}).status_code == 200
    assert client.delete("/api/session").status_code == 204
    problem(client.get(LINES), 401, "log in")
    problem(house.stranger().get(LINES, headers={"Cookie": stolen}), 401, "log in")


def test_names_are_accepted_in_capitals_and_with_spaces_around(house: House) -> None:
    assert log_in(house.stranger(), f"  {house.person(Role.VIEWER).upper()} ").status_code == 200


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(house: House) -> None:
    stranger, name = house.stranger(), house.person(Role.VIEWER)
    wrong, unknown = log_in(stranger, name, "wrong"), log_in(stranger, "nobody-at-all", PASSWORD)
    problem(wrong, 401, "name or password is wrong")
    assert wrong.json() == unknown.json()
    form = stranger.post("/login", data={"name": name, "password": "wrong"})
    assert (form.status_code, "Name or password is wrong" in form.text) == (401, True)


def test_an_error_does_not_repeat_the_password(stranger: httpx.Client) -> None:
    answer = stranger.post("/api/session", json={"name": "viewer", "password": {"secret": "tell nobody"}})
    assert (answer.status_code, "tell nobody" in answer.text) == (422, False)


def test_a_large_body_without_login_is_refused(stranger: httpx.Client) -> None:
    problem(stranger.post("/api/session", content=b"x" * 100_000), 413, "bytes at most")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert stranger.post("/login", content=iter([b"x" * 100_000]), headers=form).status_code == 413


def test_another_password_or_role_ends_every_session_of_that_person(house: House) -> None:
    name = house.person(Role.ENGINEER)
    admin, here, there = house.browser("admin"), house.browser(name), house.browser(name)
    assert admin.put(f"/api/people/{name}/role", json={"role": "viewer"}).status_code == 200
    assert [client.get(LINES).status_code for client in (here, there, admin)] == [401, 401, 200]
    assert log_in(here, name).status_code == 200
    made = admin.put(f"/api/people/{name}/password", json={}).json()["password"]
    assert here.get(LINES).status_code == 401
    assert [log_in(here, name, password).status_code for password in (PASSWORD, made)] == [401, 200]
    assert admin.delete(f"/api/people/{name}").status_code == 204
    assert here.get(LINES).status_code == 401


def test_changing_the_own_password_ends_the_other_sessions(house: House) -> None:
    name, new = house.person(Role.VIEWER), "lanterns of copper moss"
    here, elsewhere = house.browser(name), house.browser(name)
    for current, wish, status, says in ((new, new, 403, "wrong"), (PASSWORD, "short", 422, "12 to 128")):
        problem(here.put("/api/session/password", json={"current": current, "new": wish}), status, says)
    form = here.post("/account", data={"current": PASSWORD, "new": new, "again": "another"})
    assert (form.status_code, "typed in two ways" in form.text) == (422, True)
    form = here.post("/account", data={"current": PASSWORD, "new": new, "again": new})
    assert (form.status_code, "The password is changed" in form.text) == (200, True)
    assert (here.get(LINES).status_code, elsewhere.get(LINES).status_code) == (200, 401)
    assert log_in(elsewhere, name, new).status_code == 200


@pytest.mark.parametrize("limit", [{"session_idle_hours": 1 / 3600}, {"session_days": 1 / 86_400}])
def test_a_session_that_is_idle_or_old_ends(house: House, limit: dict[str, float]) -> None:
    settings = house.settings.model_copy(update={**limit, "port": free_port()})
    with open_dashboard(settings, house.broker) as client:

        def seen_after(seconds: float) -> int:
            """Return the answer to a session of this age; on a busy machine it is older."""
            given = log_in(client, "admin").headers["set-cookie"].partition(";")[0]
            time.sleep(seconds)
            return client.get(LINES, headers={"Cookie": given}).status_code

        soon(lambda: seen_after(0) == 200, "a young session to be seen in time")
        assert seen_after(1.2) == 401  # what is promised is a time


def test_the_live_stream_ends_with_the_session(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.dashboard.live.endpoints.CHECK_SECONDS", 0.2)
    name = house.person(Role.VIEWER)
    with house.browser(name).stream("GET", "/api/events", timeout=60) as stream:
        lines = stream.iter_lines()
        assert next(lines)
        house.browser("admin").put(f"/api/people/{name}/role", json={"role": "operator"})
        assert list(lines)  # to the end


def test_without_a_login_callers_of_this_machine_may_do_everything_and_the_page_says_so(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    settings = embedded_settings(tmp_path_factory.mktemp("local"))
    broker = open_broker(settings)
    with open_dashboard(settings, broker) as client:
        assert client.get("/api/session").json() == {"name": "local", "role": "admin", "kind": "local"}
        assert "This machine only, no login" in client.get("/").text
        assert client.get("/login").headers["location"] == "/"
        assert client.get("/metrics").status_code == 200
    broker.close()


def test_people_see_their_own_sessions_and_end_them(house: House) -> None:
    name, another = house.person(Role.VIEWER), house.someone(Role.VIEWER)
    here, there, elsewhere = (house.browser(name) for _ in range(3))
    listed = here.get("/api/sessions").json()["sessions"]
    assert [each["current"] for each in listed].count(True) == 1
    assert len(listed) == 3
    assert {each["address"] for each in listed} == {"127.0.0.1"}
    assert listed[0]["browser"].startswith("python-httpx")
    (of_there,) = (each["id"] for each in there.get("/api/sessions").json()["sessions"] if each["current"])
    problem(another.delete(f"/api/sessions/{of_there}"), 404, "no such session of yours")
    assert here.delete(f"/api/sessions/{of_there}").status_code == 204
    assert [client.get(LINES).status_code for client in (here, there, elsewhere)] == [200, 401, 200]
    assert "python-httpx" in here.get("/account").text
    assert here.post("/account/sessions/end").status_code == 303
    assert [client.get(LINES).status_code for client in (here, elsewhere, another)] == [200, 401, 200]
    assert len(here.get("/api/sessions").json()["sessions"]) == 1
