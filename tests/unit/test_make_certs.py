"""The command that makes certificates: what it makes, keeps and renews."""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.certificates import make_certificates
from tests.servers import DEPLOY

SERVERS = {"rabbitmq", "redis", "object-store"}
SERVICES = {"camera", "inference", "explainer", "trainer", "dashboard"}


def run(*words: str | Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    command = ["/bin/sh", DEPLOY / "make-certs", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def serials(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): subprocess.run(
            ["openssl", "x509", "-in", file, "-noout", "-serial"], check=True, capture_output=True, text=True
        ).stdout
        for file in folder.glob("*/*.crt")
        if file.name != "ca.crt" or file.parent.name == "authority"
    }


def test_every_container_has_a_folder_that_its_user_alone_may_read(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "tls")
    assert {path.name for path in folder.iterdir()} == {"authority"} | SERVERS | SERVICES
    assert folder.stat().st_mode & 0o077 == 0
    assert {file.stat().st_mode & 0o777 for file in (folder / "authority").iterdir()} == {0o600}
    for name in SERVERS | SERVICES:
        modes = {file.name: file.stat().st_mode & 0o777 for file in (folder / name).iterdir() if file.is_file()}
        assert modes["private.key"] == 0o640
        assert set(modes.values()) == {0o640}
        assert "ca.key" not in modes


def test_it_tells_when_each_certificate_ends(tmp_path: Path) -> None:
    told = run(tmp_path / "tls").stdout.splitlines()
    assert len(told) == 1 + len(SERVERS) + len(SERVICES) + 1
    assert all(" ends " in line and line.endswith("GMT") for line in told)


def test_what_is_good_is_kept_and_renewed_when_asked_for(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "tls", "--camera", "camera-2")
    before = serials(folder)
    make_certificates(folder)
    assert serials(folder) == before
    make_certificates(folder, "--renew")
    after = serials(folder)
    assert {name for name in before if after[name] == before[name]} == {"authority/ca.crt"}
    assert "camera-2/public.crt" in after


def test_a_further_name_of_the_dashboard_renews_its_certificate_alone(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "tls")
    before = serials(folder)
    make_certificates(folder, "--host", "quality.plant.example", "--host", "10.0.0.7")
    after = serials(folder)
    assert {name for name in before if after[name] != before[name]} == {"dashboard/https.crt"}
    names = ssl._ssl._test_decode_cert(str(folder / "dashboard" / "https.crt"))["subjectAltName"]  # type: ignore[attr-defined]
    assert {("DNS", "quality.plant.example"), ("IP Address", "10.0.0.7"), ("DNS", "localhost")} <= set(names)


def test_a_certificate_that_ends_soon_is_renewed(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "tls")
    ca, camera = folder / "authority", folder / "camera"
    request: list[str | Path] = ["openssl", "req", "-new", "-key", camera / "private.key", "-subj", "/CN=camera"]
    sign: list[str | Path] = [
        "openssl",
        "x509",
        "-req",
        "-CA",
        ca / "ca.crt",
        "-CAkey",
        ca / "ca.key",
        "-set_serial",
        "1",
        "-days",
        "29",
    ]
    asked = subprocess.run(request, check=True, capture_output=True).stdout
    short = subprocess.run(sign, input=asked, check=True, capture_output=True).stdout
    (camera / "public.crt").write_bytes(short)
    make_certificates(folder)
    assert (camera / "public.crt").read_bytes() != short


def test_a_missing_openssl_is_told(tmp_path: Path) -> None:
    failed = run(tmp_path / "tls", path=str(tmp_path))
    assert failed.returncode == 2
    assert (
        failed.stderr == "make-certs: openssl is not installed: install the package of that name, and run this again\n"
    )


@pytest.mark.parametrize("words", [("--host", "a b"), ("--camera", "../x"), ("--other",)])
def test_what_is_no_name_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    failed = run(tmp_path / "tls", *words)
    assert failed.returncode == 2
    assert failed.stderr.startswith("make-certs: ")
    assert not (tmp_path / "tls").exists()
