"""Settings of an OPC UA server that let no client in, or that would let one in by a readable password, are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.gateway.lines import read_lines
from services.gateway.outputs import settings as module
from services.gateway.outputs.settings import OpcUaSettings
from shared.errors import CannotStart

SECURE = dict.fromkeys(("certificate_file", "key_file", "password_file"), __file__) | {"user": "plc"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"user": None, "password_file": None}, "nothing lets a client in"),
        ({"password_file": None}, "user and password_file belong together"),
        ({"key_file": None}, "certificate_file and key_file belong together"),
        ({"certificate_file": None, "key_file": None}, "a password is never sent without encryption"),
        ({"password_file": "missing"}, "password_file names a file that can't be read"),
        ({"trusted_folder": "missing"}, "trusted_folder names no folder"),
        ({"fetch_seconds": 11}, "less than or equal to 10"),
        ({"deadline_ms": 5, "delay_ms": 5}, "deadline_ms is not after delay_ms"),
    ],
)
def test_settings_that_can_not_work_are_refused(changes: dict[str, Any], reason: str) -> None:
    OpcUaSettings.model_validate({"type": "opcua", **SECURE})
    with pytest.raises(ValueError, match=reason):
        OpcUaSettings.model_validate({"type": "opcua", **SECURE, **changes})


def test_the_gateway_says_what_to_run_when_the_types_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "lines.yaml"
    file.write_text("lines: {line-1: {outputs: {plc: {type: opcua, anonymous: true}}}}")
    read_lines(file)
    monkeypatch.setattr(module, "NODESET", tmp_path / "missing.xml")
    with pytest.raises(CannotStart, match=r"line-1\.outputs\.plc.*run make nodeset"):
        read_lines(file)
