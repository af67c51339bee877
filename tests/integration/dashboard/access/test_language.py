"""The language of the pages and of errors: of the account, of the browser, or of the request."""

from __future__ import annotations

import pytest

from services.dashboard.access.repository import PeopleRepository
from services.dashboard.web.callers import Role
from shared.storage.port import StorageUnavailable
from tests.integration.dashboard.access.conftest import House, log_in

GERMAN = {"Accept-Language": "de-DE,de;q=0.9"}
PAGE = {"Accept": "text/html"}


def test_errors_are_in_the_language_of_the_request(house: House) -> None:
    browser = house.someone(Role.VIEWER)
    path = "/api/lines/nowhere"
    assert browser.get(path).json()["detail"].startswith("there is no line 'nowhere'")
    assert browser.get(path, headers=GERMAN).json()["detail"].startswith("eine Linie 'nowhere' gibt es nicht")
    assert browser.get("/nowhere", headers=GERMAN | PAGE).text.count("Nicht gefunden") == 3
    invalid = browser.get("/api/frames?limit=0", headers=GERMAN).json()
    assert invalid["errors"] == [{"where": "query.limit", "what": "mindestens 1 angeben"}]


def test_a_chosen_language_goes_before_the_browsers_and_stays_in_the_account(house: House) -> None:
    name = house.person(Role.VIEWER)
    browser = house.browser(name)
    assert '<html lang="de">' in browser.get("/frames", headers=GERMAN).text
    chosen = browser.post("/language", data={"language": "en", "next": "/frames?line=line-1"}, headers=GERMAN)
    assert (chosen.status_code, chosen.headers["location"]) == (303, "/frames?line=line-1")
    assert '<html lang="en">' in browser.get("/frames", headers=GERMAN).text

    browser.post("/language", data={"language": "de"})
    elsewhere = house.browser(name)
    assert '<html lang="de">' in elsewhere.get("/frames").text


def test_an_error_before_the_caller_is_known_is_in_the_language_of_the_account(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = house.person(Role.VIEWER)
    house.browser(name).post("/language", data={"language": "de"})
    elsewhere = house.browser(name)

    def away(_repository: PeopleRepository) -> None:
        raise StorageUnavailable("the object store does not answer")

    monkeypatch.setattr(PeopleRepository, "directory", away)
    guarded = elsewhere.get("/frames", headers=PAGE)
    assert guarded.status_code == 503
    assert '<html lang="de">' in guarded.text


def test_a_stranger_chooses_the_language_of_the_login(house: House) -> None:
    browser = house.stranger()
    assert "Log in" in browser.get("/login").text
    answer = browser.post("/language", data={"language": "de", "next": "//elsewhere.example"})
    assert answer.headers["location"] == "/"
    assert "Anmelden" in browser.get("/login").text
    assert log_in(browser, "nobody-here").json()["detail"] == "Name oder Passwort ist falsch"


def test_an_unknown_language_is_refused(house: House) -> None:
    assert house.stranger().post("/language", data={"language": "xx"}).status_code == 422
