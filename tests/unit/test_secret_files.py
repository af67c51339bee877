"""Secrets of services in files: read, or refused in one line without the secret."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final

import pytest
from pydantic import SecretStr

from deploy.object_store.__main__ import SetupSettings
from services.camera.settings import CameraSettings
from services.inference.settings import InferenceSettings
from shared.environment import read_settings
from shared.settings import SecretFileSettings
from tests.unit.test_compose import FLOW

SECRET: Final = "correct-horse-battery"


def _kinds() -> list[type[SecretFileSettings]]:
    services = (
        getattr(importlib.import_module(f"services.{name}.settings"), f"{name.capitalize()}Settings") for name in FLOW
    )
    return [*services, SetupSettings]


def _secrets() -> list[tuple[type[SecretFileSettings], str]]:
    found = [
        (kind, name) for kind in _kinds() for name, field in kind.model_fields.items() if field.annotation is SecretStr
    ]
    return [(kind, name) for kind, name in found if name != "password"]  # the dashboard refuses that one


def _variable(kind: type[SecretFileSettings], name: str) -> str:
    return f"{kind.model_config.get('env_prefix', '')}{name}".upper()


@pytest.fixture(autouse=True)
def _only_these_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_SOURCE", "video.mp4")
    monkeypatch.setenv("INFERENCE_RECIPE", "seam")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return path


@pytest.mark.parametrize(("kind", "name"), _secrets(), ids=lambda part: getattr(part, "__name__", part))
def test_every_secret_setting_may_be_in_a_file(
    kind: type[SecretFileSettings], name: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other, field in kind.model_fields.items():
        if field.is_required() and field.annotation is SecretStr and other != name:
            monkeypatch.setenv(_variable(kind, other), "given")
    monkeypatch.setenv(f"{_variable(kind, name)}_FILE", str(file))
    assert getattr(read_settings(kind), name).get_secret_value() == SECRET


def test_the_address_of_a_camera_may_be_in_a_file_for_it_may_hold_a_password(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAMERA_SOURCE")
    file.write_text("rtsp://eva:secret@camera.plant.example/1\n")
    monkeypatch.setenv("CAMERA_SOURCE_FILE", str(file))
    assert read_settings(CameraSettings).source == "rtsp://eva:secret@camera.plant.example/1"


def test_an_empty_variable_beside_the_file_is_no_secret(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_BROKER_PASSWORD", "")
    monkeypatch.setenv("INFERENCE_BROKER_PASSWORD_FILE", str(file))
    assert read_settings(InferenceSettings).broker_password.get_secret_value() == SECRET


def _refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: Path) -> str:
    monkeypatch.setenv("INFERENCE_BROKER_PASSWORD_FILE", str(path))
    with pytest.raises(SystemExit) as ended:
        read_settings(InferenceSettings)
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert SECRET not in printed
    assert printed.startswith("INFERENCE_BROKER_PASSWORD_FILE: ")
    return printed


def test_a_secret_that_is_given_twice_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INFERENCE_BROKER_PASSWORD", SECRET)
    assert "INFERENCE_BROKER_PASSWORD is set as well: give one of the two" in _refusal(monkeypatch, capsys, file)


def test_a_missing_file_is_reported(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "can't be read: No such file" in _refusal(monkeypatch, capsys, file.with_name("other"))
    assert "can't be read: Is a directory" in _refusal(monkeypatch, capsys, file.parent)


def test_a_file_without_a_secret_is_reported(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("\n")
    assert "is empty" in _refusal(monkeypatch, capsys, file)
    file.write_bytes(b"\xff\xfe\x00")
    assert "holds no text" in _refusal(monkeypatch, capsys, file)


@pytest.mark.parametrize("address", ["s3://root:hunter2@store:9000/seamline", "root:[hunter2@store", "foo://hunter2@x"])
def test_the_address_of_the_store_that_is_set_up_never_tells_a_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    monkeypatch.setenv("OBJECT_STORE_URL", address)
    with pytest.raises(SystemExit):
        read_settings(SetupSettings, object_store_root_password="x" * 12, camera_storage_secret_key="y" * 12)
    said = capsys.readouterr().err
    assert "OBJECT_STORE_URL holds a password" in said
    assert "hunter2" not in said
