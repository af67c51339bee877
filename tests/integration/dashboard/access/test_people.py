"""People and tokens: admins manage them, and no change is lost."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import httpx
import pytest
from typer.testing import CliRunner

from services.dashboard.__main__ import cli
from services.dashboard.access import passwords
from services.dashboard.access.audit import Audit
from services.dashboard.access.directory import TokenAdded
from services.dashboard.access.first_admin import NoAdmin, ensure_first_admin
from services.dashboard.access.people import FIRST_ADMIN, People
from services.dashboard.access.repository import PeopleRepository
from services.dashboard.access.sessions import digest_of
from services.dashboard.web.callers import Role
from services.dashboard.web.problems import Problem
from shared.storage.opening import open_store
from tests.dashboards import embedded_settings, environment_of, problem, soon
from tests.integration.dashboard.access.conftest import PASSWORD, House, log_in

LINES = "/api/lines"


@pytest.fixture
def admin(house: House) -> httpx.Client:
    return house.browser(FIRST_ADMIN)


@pytest.fixture
def people(tmp_path: Path) -> People:
    """Return people in a storage of their own."""
    store = open_store(embedded_settings(tmp_path))
    return People(PeopleRepository(store), Audit(store))


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize("role", Role)
def test_each_role_has_its_own_permissions_and_no_others(house: House, role: Role) -> None:
    client = house.someone(role)
    asked = {
        Role.VIEWER: client.get(LINES),
        Role.OPERATOR: client.put("/api/frames/01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042/mark", json={}),
        Role.ENGINEER: client.delete("/api/trainings/training-1"),
        Role.ADMIN: client.get("/api/people"),
    }
    for needed, answer in asked.items():
        assert (answer.status_code == 403) is (not role.may(needed)), needed
        if not role.may(needed):
            problem(answer, 403, f"requires the role {needed}")


def test_a_person_is_added_with_a_password_that_is_shown_once(house: House, admin: httpx.Client) -> None:
    made = admin.post("/api/people", json={"name": "Ada", "role": "operator"}).json()
    assert (made["name"], made["role"], made["added_by"]) == ("ada", "operator", "admin")
    assert log_in(house.stranger(), "ada", made["password"]).status_code == 200
    problem(admin.post("/api/people", json={"name": "ada", "role": "viewer"}), 409, "already")
    assert "password" not in admin.get("/api/people").json()["people"][0]
    kept = b"".join(house.store.get(key) for key in house.store.keys("people/"))
    assert made["password"].encode() not in kept


@pytest.mark.parametrize("password", ["short", "passwordpassword", "seamline2026", "x" * 129, "123456789012"])
def test_a_password_that_is_easily_guessed_is_refused_and_not_repeated(admin: httpx.Client, password: str) -> None:
    answer = admin.post("/api/people", json={"name": "eva", "role": "viewer", "password": password})
    assert (answer.status_code, password in answer.text) == (422, False)


def test_the_same_password_is_accepted_however_a_keyboard_composes_it() -> None:
    assert passwords.matches(
        passwords.hash_password("Überholspur grün gemäht"), "U\u0308berholspur gru\u0308n gema\u0308ht"
    )


def test_the_last_admin_stays_one(people: People) -> None:
    people.add("ada", Role.ADMIN, None, by="tests")
    people.add("eva", Role.ENGINEER, None, by="tests")
    with pytest.raises(Problem, match="only admin"):
        people.change_role("ada", Role.VIEWER, by="tests")
    with pytest.raises(Problem, match="only admin"):
        people.remove("ada", by="tests")
    assert people.directory().people["ada"].role is Role.ADMIN


def test_of_two_admins_that_remove_each_other_at_once_one_stays(people: People) -> None:
    for name in ("ada", "eva"):
        people.add(name, Role.ADMIN, None, by="tests")
    others = [People(PeopleRepository(people._repository._store), people._audit) for _ in range(2)]

    def remove(which: int) -> bool:
        try:
            others[which].remove(("ada", "eva")[which], by="tests")
        except Problem:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(remove, range(2)))
    assert sum(done) == 1
    soon(lambda: len(people.directory().admins) == 1)


def test_no_change_is_lost_when_several_dashboards_change_people_at_once(people: People) -> None:
    several = [People(PeopleRepository(people._repository._store), people._audit) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: several[n % 4].add_token(f"program-{n}", Role.VIEWER, 1, by="tests"), range(16)))
    fresh = People(PeopleRepository(people._repository._store), people._audit)
    assert {token.name for token in fresh.directory().tokens.values()} == {f"program-{n}" for n in range(16)}


def test_a_token_has_its_role_until_it_is_revoked(house: House, admin: httpx.Client) -> None:
    stranger = house.stranger()
    made = admin.post("/api/tokens", json={"name": "prometheus", "role": "viewer", "days": 30}).json()
    headers = bearer(made["secret"])
    assert stranger.get("/metrics", headers=headers).status_code == 200
    assert stranger.get("/api/session", headers=headers).json()["name"] == "token:prometheus"
    problem(stranger.get("/api/people", headers=headers), 403, "requires the role admin")
    problem(stranger.put("/api/session/password", json={"current": "x", "new": "y"}, headers=headers), 403, "a person")
    listed = admin.get("/api/tokens")
    assert made["id"] in listed.text
    assert made["secret"] not in listed.text
    assert admin.delete(f"/api/tokens/{made['id']}").status_code == 204
    problem(stranger.get("/metrics", headers=headers), 401, "log in")
    problem(admin.delete(f"/api/tokens/{made['id']}"), 404, "no such token")


def test_an_expired_or_unknown_token_is_refused(house: House) -> None:
    now = datetime.now(UTC)
    over = TokenAdded(
        by="tests", at=now, id="token-over", name="over", role=Role.ADMIN, digest=digest_of("over"), expires_at=now
    )
    PeopleRepository(house.store).store(over)
    soon(lambda: "token-over" in house.browser(FIRST_ADMIN).get("/api/tokens").text)
    for secret in ("over", "seamline_guessed", "", "ü"):
        headers = [(b"Authorization", f"Bearer {secret}".strip().encode())]
        assert house.stranger().get(LINES, headers=headers).status_code == 401


def test_everything_that_admins_do_is_in_the_audit_log(house: House, admin: httpx.Client) -> None:
    admin.post("/api/people", json={"name": "mia", "role": "viewer"})
    admin.put("/api/people/mia/role", json={"role": "operator"})
    admin.put("/api/people/mia/password", json={})
    admin.delete("/api/people/mia")
    problem(admin.delete("/api/people/mia"), 404, "no person")
    made = admin.post("/api/tokens", json={"name": "mias-script", "role": "viewer"}).json()
    admin.delete(f"/api/tokens/{made['id']}")
    entries = admin.get("/api/audit", params={"text": "mia", "limit": 100}).json()["entries"]
    done = [entry["action"] for entry in reversed(entries) if entry["by"] == FIRST_ADMIN]
    people = ["person.add", "person.role", "person.password", "person.remove"]
    assert done == [*people, "token.add", "token.revoke"]
    assert entries[-2]["details"] == {"role": "operator", "before": "viewer"}
    assert "password" not in str([entry["details"] for entry in entries])


def test_the_audit_log_is_searched_by_pages_and_given_as_csv(house: House, admin: httpx.Client) -> None:
    audit = Audit(house.store)
    for number in range(5):
        audit.record("frame.mark", f"frame-{number}", "=cmd", note="needle")
    found, before = list[str](), None
    while True:
        asked = {"text": "NEEDLE", "limit": "2", "action": "frame", **({"before": before} if before else {})}
        page = admin.get("/api/audit", params=asked).json()
        found += [entry["subject"] for entry in page["entries"]]
        if (before := page["next"]) is None:
            break
    assert found == [f"frame-{number}" for number in (4, 3, 2, 1, 0)]
    for path in ("/api/audit/table.csv", "/audit/table.csv"):
        rows = list(csv.DictReader(io.StringIO(admin.get(path, params={"by": "=cmd"}).text)))
        assert [row["by"] for row in rows] == ["'=cmd"] * 5, "no spreadsheet may take it for a formula"
    old = {"from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00:00Z"}
    assert admin.get("/api/audit", params=old).json() == {"entries": [], "next": None}
    problem(admin.get("/api/audit", params={"from": old["from"]}), 422, "400 days")


def test_logins_are_in_the_audit_log_and_logouts_too(house: House, admin: httpx.Client) -> None:
    name = house.person(Role.VIEWER)
    house.browser(name).delete("/api/session")
    entries = admin.get("/api/audit", params={"by": name}).json()["entries"]
    assert [entry["action"] for entry in entries] == ["session.end", "session.begin"]


def test_the_page_shows_a_secret_once_and_each_error(house: House, admin: httpx.Client) -> None:
    page = admin.post("/people", data={"name": "zoe", "role": "viewer", "password": ""})
    assert page.headers["cache-control"] == "no-store"
    secret = page.text.partition("<code>")[2].partition("</code>")[0]
    assert log_in(house.stranger(), "zoe", secret).status_code == 200
    assert secret not in admin.get("/people").text
    refused = admin.post("/people", data={"name": "zoe", "role": "viewer", "password": ""})
    assert (refused.status_code, "already" in refused.text) == (409, True)
    assert admin.post("/people/zoe/role", data={"role": "operator"}).headers["location"] == "/people"
    assert admin.post("/people/zoe/remove").headers["location"] == "/people"
    token = admin.post("/tokens", data={"name": "script", "role": "viewer", "days": "7"})
    assert "seamline_" in token.text


def test_the_first_admin_is_made_once(tmp_path: Path) -> None:
    settings = embedded_settings(tmp_path, login=True, first_admin_password=PASSWORD)
    store = open_store(settings)
    ensure_first_admin(store, settings, Event())
    known = People(PeopleRepository(store), Audit(store)).directory().people[FIRST_ADMIN]
    assert known.role is Role.ADMIN
    ensure_first_admin(
        store, embedded_settings(tmp_path, login=True, first_admin_password="another long secret"), Event()
    )
    assert People(PeopleRepository(store), Audit(store)).directory().people[FIRST_ADMIN] == known


@pytest.mark.parametrize(("password", "says"), [("", "people add NAME"), ("admin1234567", "easily guessed")])
def test_without_an_admin_the_error_says_what_to_do(tmp_path: Path, password: str, says: str) -> None:
    settings = embedded_settings(tmp_path, login=True, first_admin_password=password)
    with pytest.raises(NoAdmin, match=says) as refused:
        ensure_first_admin(open_store(settings), settings, Event())
    assert "admin1234567" not in str(refused.value)


def test_the_command_line_manages_people_without_a_login(tmp_path: Path) -> None:
    settings = embedded_settings(tmp_path)
    environment, store = environment_of(settings), open_store(settings)

    def run(*words: str, typed: str = "") -> tuple[int, str]:
        told = CliRunner().invoke(cli, words, env=environment, input=typed)
        return told.exit_code, told.output

    assert run("people", "add", "Eva", "--role", "admin", typed=f"{PASSWORD}\n") == (0, "")
    assert run("people", "add", "eva", "--generate") == (2, "there is a person eva already\n")
    assert run("people", "add", "no name", "--generate")[0] == 2
    assert run("people", "password", "eva", typed="short\n")[0] == 2
    code, password = run("people", "password", "eva", "--generate")
    people = People(PeopleRepository(store), Audit(store))
    assert (code, passwords.matches(people.directory().people["eva"].password, password.strip())) == (0, True)
    assert run("people", "remove", "eva") == (2, "this is the only admin: make another one first\n")
    assert run("people", "add", "ada", "--generate")[0] == 0
    assert run("people", "role", "ada", "admin") == (0, "")
    assert run("people", "remove", "eva") == (0, "")
    assert "ada" in run("people", "list")[1]
    secret = run("token", "add", "prometheus", "--days", "7")[1].strip()
    (token,) = People(PeopleRepository(store), Audit(store)).directory().tokens.values()
    assert token.digest == digest_of(secret)
    assert token.expires_at - token.added_at < timedelta(days=7, seconds=60)
    assert "prometheus" in run("token", "list")[1]
    assert run("token", "revoke", token.id) == (0, "")
    assert {entry.by for entry in Audit(store).newest(token.added_at, datetime.now(UTC), None)} == {"console"}


@pytest.mark.parametrize("name", ["local", "console", "set-up", "trainer", "LOCAL", "console."])
def test_no_person_gets_a_name_of_the_systems_own_authors(house: House, name: str) -> None:
    admin = house.browser(FIRST_ADMIN)
    problem(admin.post("/api/people", json={"name": name, "role": "viewer"}), 422, "the system itself uses")
    problem(admin.post("/api/tokens", json={"name": name, "role": "viewer"}), 422, "the system itself uses")


def test_a_token_lasts_a_year_at_most_and_says_when_it_was_used_last(house: House) -> None:
    admin = house.browser(FIRST_ADMIN)
    order = {"name": "prometheus", "role": "viewer", "days": 366}
    assert admin.post("/api/tokens", json={**order, "days": 367}).status_code == 422
    made = admin.post("/api/tokens", json=order).json()

    def used_at() -> str | None:
        tokens = admin.get("/api/tokens", params={"limit": 500}).json()["tokens"]
        (found,) = (each["used_at"] for each in tokens if each["id"] == made["id"])
        return str(found) if found else None

    assert used_at() is None
    bearer = {"Authorization": f"Bearer {made['secret']}"}
    assert house.stranger().get("/metrics", headers=bearer).status_code == 200
    assert used_at()
