"""The command that makes certificates: what it makes, keeps and renews."""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.certificates import make_certificates
from tests.servers import DEPLOY
from tests.unit.test_compose import NODES

SERVERS = {"rabbitmq", "redis", "object-store"}
SERVICES = {"object-store-setup", "camera", "inference", "explainer", "trainer", "gateway", "dashboard"}


def run(*words: str | Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    command = ["/bin/sh", DEPLOY / "make-certs", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def issued(folder: Path) -> dict[str, bytes]:
    """The certificates, but for copies of the authority's."""
    files = [file for file in folder.glob("*/*.crt") if file.name != "ca.crt" or file.parent.name == "authority"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def names_in(certificate: Path) -> set[tuple[str, str]]:
    return set(ssl._ssl._test_decode_cert(str(certificate))["subjectAltName"])  # type: ignore[attr-defined]


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


def test_valid_certificates_are_kept_and_renewed_on_request(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "tls", "--camera", "camera-2")
    before = issued(folder)
    make_certificates(folder)
    assert issued(folder) == before
    make_certificates(folder, "--renew")
    after = issued(folder)
    assert {name for name in before if after[name] == before[name]} == {"authority/ca.crt"}
    assert "camera-2/public.crt" in after


def test_a_further_name_of_the_machine_renews_the_certificates_of_servers_alone(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "tls")
    before = issued(folder)
    make_certificates(folder, "--host", "quality.plant.example", "--host", "10.0.0.7")
    after = issued(folder)
    renewed = {name for name in before if after[name] != before[name]}
    assert renewed == {"dashboard/https.crt", *(f"{server}/public.crt" for server in SERVERS)}
    names = names_in(folder / "dashboard" / "https.crt")
    assert {("DNS", "quality.plant.example"), ("IP Address", "10.0.0.7"), ("DNS", "localhost")} <= names


def test_the_certificate_of_rabbitmq_names_all_nodes_of_a_cluster(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "tls")
    assert {("DNS", name) for name in NODES} <= names_in(folder / "rabbitmq" / "public.crt")


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


def test_without_the_key_of_the_authority_valid_certificates_stay_and_none_is_issued(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "tls")
    (folder / "authority" / "ca.key").unlink()
    before = issued(folder)
    assert run(folder).returncode == 0
    refused = run(folder, "--renew")
    assert refused.returncode == 2
    assert "ca.key back" in refused.stderr
    assert issued(folder) == before


def test_a_missing_openssl_is_reported(tmp_path: Path) -> None:
    failed = run(tmp_path / "tls", path=str(tmp_path))
    assert failed.returncode == 2
    assert (
        failed.stderr == "make-certs: openssl is not installed: install the package of that name, and run this again\n"
    )


@pytest.mark.parametrize("words", [("--host", "a b"), ("--camera", "../x"), ("--other",)])
def test_an_invalid_name_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    failed = run(tmp_path / "tls", *words)
    assert failed.returncode == 2
    assert failed.stderr.startswith("make-certs: ")
    assert not (tmp_path / "tls").exists()
