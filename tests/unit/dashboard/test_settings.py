from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.dashboard.settings import DashboardSettings
from services.dashboard.statistics.buckets import BucketLength
from services.dashboard.store.keys import Keys
from shared.environment import read_settings
from shared.settings import ServiceSettings

README = Path(__file__).parents[3] / "services" / "dashboard" / "README.md"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "dashboard.plant.example"])
def test_listening_to_others_without_a_login_is_refused(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        read_settings(DashboardSettings, host=host)
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "set DASHBOARD_LOGIN=true" in message


@pytest.mark.parametrize(
    "user", ["ann:SECRET", "ann:SECRET#1", ":SECRET/x", "ann:SECRET?x", "ann:SECRET[x", "[SECRET]"]
)
@pytest.mark.parametrize(
    ("setting", "address"),
    [
        ("BROKER_URL", "amqp://{}@127.0.0.1/seamline"),
        ("STORAGE_URL", "s3://{}@127.0.0.1:9000/seamline"),
        ("AUDIT_STORAGE_URL", "s3://{}@127.0.0.1:9000/seamline"),
        ("REDIS_URL", "redis://{}@127.0.0.1:6379/0"),
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(
    setting: str, address: str, user: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"DASHBOARD_{setting}", address.format(user))
    with pytest.raises(SystemExit) as stopped:
        read_settings(DashboardSettings)
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert f"DASHBOARD_{setting} holds a password" in message
    assert "SECRET" not in message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_loopback_needs_no_login(host: str) -> None:
    assert not DashboardSettings(host=host).login


def test_a_password_in_the_redis_address_is_refused_and_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_settings(DashboardSettings, redis_url="redis://:tell-nobody@redis:6379/0")
    message = capsys.readouterr().err
    assert "DASHBOARD_REDIS_URL holds a password" in message
    assert "tell-nobody" not in message


def test_a_redis_that_others_reach_must_ask_for_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_settings(DashboardSettings, redis_url="redis://redis:6379/0")
    assert "DASHBOARD_REDIS_PASSWORD" in capsys.readouterr().err


def rows_of(first_cell: str) -> dict[str, list[str]]:
    """The rows of a table of the README whose first cell matches, by its first group."""
    rows = [line.strip("| \n").split(" | ") for line in README.read_text(encoding="utf-8").splitlines()]
    return {match.group(1): row[1:] for row in rows if (match := re.match(first_cell, row[0]))}


def test_the_readme_lists_every_setting_with_its_default_and_meaning() -> None:
    listed = rows_of(r"`DASHBOARD_(\w+)`")
    own = {
        name.upper(): field
        for name, field in DashboardSettings.model_fields.items()
        if name not in ServiceSettings.model_fields
    }
    assert sorted(listed) == sorted(own)
    for name, field in own.items():
        default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else str(field.default)
        assert listed[name] == [f"`{default}`" if default else "", field.description], name


def test_the_readme_lists_every_key_in_redis() -> None:
    keys = Keys("p")
    named = {name for name, member in vars(Keys).items() if isinstance(member, property)}
    made = [getattr(keys, name) for name in named]
    made += [keys.seen("inspected", "S", 0), keys.total("l"), keys.frames("l", "flagged"), keys.verdict("f")]
    made += [keys.explanation("f"), keys.session("S"), keys.cameras("l"), keys.throughput("l", 1), keys.latencies("l")]
    made += [
        keys.training("t"),
        keys.epochs("t"),
        keys.promotions("r"),
        keys.thresholds("r"),
        *(keys.bucket("l", step, "x") for step in BucketLength),
    ]
    made += [keys.sessions("l", "c"), keys.slices("l"), keys.began("l"), keys.requested("f"), keys.requested_check("l")]
    made += [keys.audited_recipe("l")]
    made += [
        keys.login("d"),
        keys.failures("w"),
        keys.logins("p"),
        keys.applied("b"),
        keys.last("l"),
        keys.waiting("w"),
        keys.device("d"),
    ]
    public = {name for name in vars(Keys) if not name.startswith("_") and name != "prefix"}
    assert len(made) == len(public) + len(BucketLength) - 1, "a key was added: say it in the README and here"
    kinds = "bitmap|hash|string|list|set|sorted set|channel"
    cells = re.findall(rf"^\| (`[a-z].*?) \| (?:{kinds}) \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    documented = re.findall(r"`([a-z]+)[`:]", " ".join(cells))
    assert {key.split(":")[1] for key in made} == set(documented)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"retention": "ok=7x"}, "DASHBOARD_RETENTION: ok=7x: a limit is an age in days such as 30d"),
        ({"retention": "archive=30d"}, "DASHBOARD_RETENTION: archive=30d: give at least 36d"),
        ({"retention": "archive=100d", "frame_days": 200}, "give at least 201d"),
        (
            {"retention": "audit=400d", "audit_storage_url": "s3://store:9000/seamline-audit"},
            "DASHBOARD_RETENTION: leave audit out",
        ),
    ],
)
def test_a_wrong_retention_rule_is_refused_at_the_start(
    changes: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_settings(DashboardSettings, **changes)
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert says in message
