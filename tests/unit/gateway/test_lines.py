"""The address of a receiver may hold a token, which no error and no log line repeats."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from services.gateway.check import check_outputs
from services.gateway.lines import read_lines
from services.gateway.settings import GatewaySettings
from shared.errors import CannotStart
from shared.logging import configure_logging
from tests.receiver import Receiver

LINES = "lines:\n  line-1:\n    outputs:\n      mes: {{type: webhook, url: {url}}}\n"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("'http://user:hunter2@plant/x'", "url holds a password"),
        ("'http://user:hunter2#@plant/x'", "url holds a password"),
        ("'http://plant:hunter2/x'", "url is no address"),
        ("'ftp://plant/hunter2'", "url starts with http:// or https://"),
        ("http://plant/hunter2: x: y", "line 4: not YAML"),
        ("@hunter2", "line 4: not YAML"),
        ("'http://plant/hunter2", "not YAML"),
    ],
)
def test_a_wrong_address_is_not_repeated(tmp_path: Path, url: str, said: str) -> None:
    path = tmp_path / "lines.yaml"
    path.write_text(LINES.format(url=url))
    with pytest.raises(CannotStart, match=said) as refusal:
        read_lines(path)
    assert "hunter2" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_token_of_a_receiver_is_in_no_line_of_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for client in ("httpx", "httpcore"):
        logging.getLogger(client).setLevel(logging.NOTSET)
    configure_logging("gateway", GatewaySettings(log_level="DEBUG", folder=tmp_path))
    receiver = Receiver()
    path = tmp_path / "lines.yaml"
    path.write_text(LINES.format(url=f"'{receiver.url}/hunter2?token=hunter2'"))
    lines = read_lines(path)
    assert check_outputs(lines)
    receiver.go_away()
    assert not check_outputs(lines)
    told = capsys.readouterr()
    assert "line-1/mes: ok" in told.out
    assert "hunter2" not in f"{told.out} {told.err} {lines!r}"
