"""Certificates and keys in the settings: what can't be used is refused at the start, in one line that names it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from services.dashboard.settings import DashboardSettings
from services.explainer.settings import ExplainerSettings
from shared.environment import read_settings
from shared.settings import ServiceSettings
from tests.certificates import make_certificates, shown_by


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def refusal(kind: type[ServiceSettings], capsys: pytest.CaptureFixture[str], **settings: Any) -> str:
    with pytest.raises(SystemExit) as stopped:
        read_settings(kind, **settings)
    assert stopped.value.code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    return text


def test_a_service_may_show_a_certificate(certificates: Path) -> None:
    tls = ExplainerSettings(**shown_by("explainer", certificates)).client_tls()
    assert tls.check_hostname
    assert tls.verify_mode.name == "CERT_REQUIRED"
    assert [authority["subject"] for authority in tls.get_ca_certs()] == [tls.get_ca_certs()[0]["issuer"]]


def test_a_certificate_without_its_key_is_refused(certificates: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tls = shown_by("explainer", certificates)
    del tls["tls_key"]
    assert "set both EXPLAINER_TLS_CERT and EXPLAINER_TLS_KEY" in refusal(ExplainerSettings, capsys, **tls)


@pytest.mark.parametrize("name", ["tls_ca", "tls_cert", "tls_key"])
def test_a_file_that_is_not_there_is_named(certificates: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    tls = shown_by("explainer", certificates) | {name: Path("/nowhere/file.pem")}
    text = refusal(ExplainerSettings, capsys, **tls)
    assert f"EXPLAINER_{name.upper()} names a file that can't be read: /nowhere/file.pem" in text


def test_the_key_of_another_certificate_is_refused(certificates: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tls = shown_by("explainer", certificates) | {"tls_key": certificates / "trainer" / "private.key"}
    assert "EXPLAINER_TLS_CERT and EXPLAINER_TLS_KEY" in refusal(ExplainerSettings, capsys, **tls)


def test_a_key_with_a_password_is_refused_without_a_prompt(
    certificates: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tls = shown_by("explainer", certificates)
    locked = tmp_path / "locked.key"
    lock = ["openssl", "pkey", "-in", tls["tls_key"], "-aes256", "-passout", "pass:open-sesame", "-out", locked]
    subprocess.run(lock, check=True)
    assert "without a password" in refusal(ExplainerSettings, capsys, **tls | {"tls_key": locked})


def test_an_authority_that_is_none_is_refused(certificates: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = shown_by("explainer", certificates)["tls_key"]
    assert "EXPLAINER_TLS_CA holds no certificate" in refusal(ExplainerSettings, capsys, tls_ca=nothing)


def test_pages_by_https_need_both_files(certificates: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cert = certificates / "dashboard" / "https.crt"
    assert "DASHBOARD_HTTPS_KEY" in refusal(DashboardSettings, capsys, https_cert=cert)
    assert DashboardSettings(https_cert=cert, https_key=cert.with_suffix(".key")).address.startswith("https://")


def test_an_address_of_redis_can_t_switch_the_checks_off(capsys: pytest.CaptureFixture[str]) -> None:
    address = "rediss://redis:6379/0?ssl_cert_reqs=none"
    text = refusal(DashboardSettings, capsys, redis_url=address, redis_password="tell-nobody")
    assert "no options" in text
