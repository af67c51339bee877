from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dashboard.settings import DashboardSettings
from services.gateway.settings import GatewaySettings
from shared.environment import read_settings
from shared.settings import ServiceSettings
from shared.shifts import Shifts

BERLIN = Shifts.parse("14:00, 06:00,22:00", "Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_yesterday_is_the_last_whole_day_of_the_plants_clock() -> None:
    assert BERLIN.yesterday(at("2026-02-01T00:10+01:00")) == (
        at("2026-01-31T00:00+01:00"),
        at("2026-02-01T00:00+01:00"),
    )
    first, last = BERLIN.yesterday(at("2026-10-26T12:00+01:00"))  # the clock was set back
    assert (first, last - first.astimezone(UTC)) == (at("2026-10-25T00:00+02:00"), timedelta(hours=25))


@pytest.mark.parametrize(
    ("moment", "start", "number"),
    [
        ("2026-01-31T06:00+01:00", "2026-01-31T06:00+01:00", 1),
        ("2026-01-31T13:59+01:00", "2026-01-31T06:00+01:00", 1),
        ("2026-01-31T22:00+01:00", "2026-01-31T22:00+01:00", 3),
        ("2026-02-01T05:59+01:00", "2026-01-31T22:00+01:00", 3),
        ("2026-07-01T06:00+02:00", "2026-07-01T06:00+02:00", 1),
    ],
)
def test_a_time_belongs_to_the_shift_of_the_plants_clock(moment: str, start: str, number: int) -> None:
    found = BERLIN.start(at(moment))
    assert found == at(start)
    assert BERLIN.number(found) == number


def test_the_night_when_the_clocks_change_is_one_longer_or_shorter_shift() -> None:
    autumn, spring = at("2026-10-24T22:00+02:00"), at("2026-03-28T22:00+01:00")
    assert BERLIN.after(autumn) - autumn == timedelta(hours=9)
    assert BERLIN.after(spring) - spring == timedelta(hours=7)


@given(st.integers(0, 15 * 366 * 86_400))
def test_shifts_follow_each_other_without_gap(seconds: int) -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    start = BERLIN.start(moment)
    assert start <= moment < BERLIN.after(start)
    assert BERLIN.start(BERLIN.after(start)) == BERLIN.after(start)
    assert BERLIN.start(BERLIN.after(start) - timedelta(microseconds=1)) == start


@pytest.mark.parametrize("settings", [DashboardSettings, GatewaySettings])
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"shifts": "six"}, "_SHIFTS takes the times when shifts begin"),
        ({"shifts": ""}, "_SHIFTS takes the times when shifts begin"),
        ({"shifts": "06:00+01:00"}, "_TIME_ZONE"),
        ({"time_zone": "Berlin"}, "such as Europe/Berlin"),
        ({"time_zone": "../etc"}, "such as Europe/Berlin"),
    ],
)
def test_invalid_shifts_are_refused_in_one_line(
    settings: type[ServiceSettings], wrong: dict[str, str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        read_settings(settings, **wrong)
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert says in message
    assert str(settings.model_config.get("env_prefix")) in message
    assert message.count("\n") == 1
