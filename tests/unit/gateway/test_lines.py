"""The file of the lines is checked by connecting, before and after it is saved; no error repeats a token in it."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pydantic import ValidationError
from structlog.testing import capture_logs

from services.gateway.check import check_outputs
from services.gateway.commands import run_command
from services.gateway.lines import LinesFile, read_lines
from services.gateway.lines_watch import LinesFileWatch
from services.gateway.settings import GatewaySettings
from shared.errors import CannotStart
from shared.logging import configure_logging
from tests.processes import free_port
from tests.receiver import Receiver

LOOPBACK = x509.IPAddress(ip_address("127.0.0.1"))
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
    assert [str(each) for each in check_outputs(lines)] == ["line-1/mes: ok"]
    receiver.go_away()
    (failed,) = check_outputs(lines)
    assert failed.failure.startswith(f"http://127.0.0.1:{receiver.port}: ConnectError: ")
    told = capsys.readouterr()
    assert "hunter2" not in f"{told.out} {told.err} {failed} {lines!r}"


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def line_with(**outputs: dict[str, Any]) -> str:
    return json.dumps({"lines": {"line-1": {"outputs": outputs}}})


def test_each_output_that_cant_be_reached_is_named_with_its_address_and_what_to_do(tmp_path: Path, mute: int) -> None:
    (tmp_path / "mes").write_text("in the way")
    nothing, quick = free_port(), {"timeout_seconds": 0.2}
    local = {"host": "127.0.0.1"}
    outputs: dict[str, tuple[dict[str, Any], str]] = {
        "webhook": (
            {"type": "webhook", "url": f"http://127.0.0.1:{mute}/parts", **quick},
            f"http://127.0.0.1:{mute}: R",
        ),
        "broker": ({"type": "mqtt", **local, "port": mute, **quick}, f"127.0.0.1:{mute}: the broker does not answer"),
        "no-broker": ({"type": "mqtt", **local, "port": nothing}, f"127.0.0.1:{nothing}: [Errno"),
        "plc": ({"type": "modbus_client", **local, "port": mute, **quick}, f"127.0.0.1:{mute}, unit 1, did not answer"),
        "gate": ({"type": "modbus_coil", **local, "port": nothing, "coil": 3}, f"127.0.0.1:{nothing} can't be reached"),
        "server": ({"type": "modbus", "port": mute}, f"can't listen on 127.0.0.1:{mute}: Address already in use"),
        "history": ({"type": "file", "folder": str(tmp_path / "mes")}, f"{tmp_path / 'mes'}: "),
    }
    lines = LinesFile.model_validate_json(line_with(**{name: settings for name, (settings, _) in outputs.items()}))
    for checked, (name, (_, said)) in zip(check_outputs(lines), outputs.items(), strict=True):
        assert checked.name == f"line-1/{name}"
        assert said in checked.failure
        assert checked.failure.endswith(f": {lines.outputs['line-1'][name].remedy}")
    (served,) = [each for each in check_outputs(lines, in_force=lines) if each.name == "line-1/server"]
    assert not served.failure, "a gateway that runs has this address"


@pytest.fixture
def expired(tmp_path: Path) -> Path:
    """A certificate that expired, and its key, in one file."""
    key = rsa.generate_private_key(65_537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    at = datetime.now(UTC) - timedelta(days=30)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(at)
        .not_valid_after(at + timedelta(days=29))
        .add_extension(x509.SubjectAlternativeName([LOOPBACK]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "expired.pem"
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(text + certificate.public_bytes(Encoding.PEM))
    return file


def test_a_receiver_whose_certificate_has_expired_is_named_with_the_reason(expired: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(expired)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError), context.wrap_socket(connection, server_side=True):
                pass

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}/parts"
        lines = LinesFile.model_validate_json(line_with(mes={"type": "webhook", "url": url, "ca_file": str(expired)}))
        (checked,) = check_outputs(lines)
        thread.join(60)
    assert "certificate has expired" in checked.failure


def test_an_opc_ua_server_whose_certificate_has_expired_is_reported(expired: Path) -> None:
    served = {"certificate_file": str(expired), "key_file": str(expired), "anonymous": True, "port": free_port()}
    lines = LinesFile.model_validate_json(line_with(vision={"type": "opcua", **served}))
    (checked,) = check_outputs(lines)
    assert f"certificate_file {expired} expired on " in checked.failure


def test_a_check_ends_in_time_whatever_the_timeout_of_an_output_is(mute: int) -> None:
    url = f"http://127.0.0.1:{mute}/"
    lines = LinesFile.model_validate_json(line_with(mes={"type": "webhook", "url": url, "timeout_seconds": 3_600}))
    (checked,) = check_outputs(lines, seconds=0.2)
    assert checked.failure == f"no answer in 0.2 s: {lines.outputs['line-1']['mes'].remedy}"


def test_a_file_is_saved_if_each_output_can_be_reached_or_a_person_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target, new = tmp_path / "lines.yaml", tmp_path / "new.yaml"
    monkeypatch.setenv("GATEWAY_LINES", str(target))
    reached = line_with(history={"type": "file", "folder": str(tmp_path / "mes")})
    away = line_with(gate={"type": "modbus_coil", "host": "127.0.0.1", "port": free_port(), "coil": 3})
    steps = [
        (reached, ["save", str(new)], 0, reached),
        (away, ["check", str(new)], 1, reached),
        (away, ["save", str(new)], 1, reached),
        (away, ["save", str(new), "--force"], 0, away),
        (line_with(gate={"type": "modbus_coil"}), ["save", str(new), "--force"], 2, away),
    ]
    for content, command, code, saved in steps:
        new.write_text(content)
        assert run_command(command) == code
        assert target.read_text() == saved
    told = capsys.readouterr()
    assert "save with --force if it is off" in told.err
    assert "lines.line-1.outputs.gate.modbus_coil.host" in told.err
    assert run_command(["check"]) == 1
    assert "line-1/gate: the PLC 127.0.0.1:" in capsys.readouterr().out
    target.unlink()
    assert run_command(["check"]) == 2
    assert f"{target}: not found" in capsys.readouterr().err


def test_a_gateway_that_runs_logs_what_is_wrong_with_a_file_that_was_saved(tmp_path: Path) -> None:
    file = tmp_path / "lines.yaml"
    file.write_text(line_with())
    watch = LinesFileWatch(file, read_lines(file))
    away = line_with(gate={"type": "modbus_coil", "host": "127.0.0.1", "port": (port := free_port()), "coil": 3})
    for content, events in (
        (away, [("error", f"the PLC 127.0.0.1:{port} can't be reached"), ("info", "")]),
        (line_with(gate={"type": "coil"}), [("error", f"{file}: lines.line-1.outputs.gate: Input tag 'coil'")]),
        (line_with(), [("info", "")]),
    ):
        file.write_text(content)
        with capture_logs() as logs:
            for _ in range(3):
                watch.look()
        told = [(log["log_level"], log.get("reason", "")) for log in logs]
        assert [level for level, _ in told] == [level for level, _ in events]
        assert all(reason.startswith(said) for (_, reason), (_, said) in zip(told, events, strict=True))


def test_two_outputs_that_would_use_the_same_are_refused(tmp_path: Path) -> None:
    plc, folder = {"type": "modbus_client", "host": "plc"}, {"type": "file", "folder": str(tmp_path)}
    broker, gate = {"type": "mqtt", "host": "broker"}, {"type": "modbus_coil", "host": "plc", "coil": 3}
    file = tmp_path / "lines.yaml"
    for output, used in (
        ({"type": "modbus"}, "the address 127.0.0.1:5020"),
        (plc, "the registers from 0 of plc:502 unit 1"),
        (gate, "the coil 3 of plc:502 unit 1"),
        (broker, "the topic seamline/line-1 of broker:1883"),
        (folder, f"the folder {tmp_path} for the csv files of line-1"),
    ):
        file.write_text(line_with(one=output, other={**output, "verdicts": ["ng"]}))
        with pytest.raises(CannotStart) as refusal:
            read_lines(file)
        assert str(refusal.value) == (f"{file}: line-1/other and line-1/one both use {used}: give one of them another")


def test_a_file_of_authorities_that_holds_no_certificate_is_refused(tmp_path: Path) -> None:
    (authorities := tmp_path / "ca.pem").write_text("nothing")
    broker = {"type": "mqtt", "host": "broker", "tls": True, "ca_file": str(authorities)}
    with pytest.raises(ValidationError, match="ca_file holds no certificate"):
        LinesFile.model_validate_json(line_with(broker=broker))
