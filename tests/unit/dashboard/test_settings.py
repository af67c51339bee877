from __future__ import annotations

import pytest

from services.dashboard.settings import DashboardSettings
from shared.settings import read_settings


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "dashboard.plant.example"])
def test_listening_to_others_without_a_password_is_refused(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        read_settings(DashboardSettings, host=host)
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "set DASHBOARD_PASSWORD" in message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_loopback_needs_no_password(host: str) -> None:
    assert not DashboardSettings(host=host).asks_password


def test_a_password_in_the_redis_address_is_refused_and_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_settings(DashboardSettings, redis_url="redis://:tell-nobody@redis:6379/0")
    message = capsys.readouterr().err
    assert "DASHBOARD_REDIS_PASSWORD" in message
    assert "tell-nobody" not in message


def test_a_redis_that_others_reach_must_ask_for_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_settings(DashboardSettings, redis_url="redis://redis:6379/0")
    assert "DASHBOARD_REDIS_PASSWORD" in capsys.readouterr().err
