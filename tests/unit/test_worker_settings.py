"""Settings of inference and explainer: refused when wrong, and in the READMEs as they are in the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from services.explainer.settings import ExplainerSettings
from services.inference.settings import InferenceSettings
from shared.environment import read_settings
from shared.settings import ServiceSettings

SERVICES = Path(__file__).parents[2] / "services"


def _row(prefix: str, name: str, field: FieldInfo) -> str:
    default = (
        ""
        if field.is_required()
        else f"`{field.default:g}`"
        if isinstance(field.default, float | int)
        else f"`{field.default}`"
    )
    required = "**required**: " if field.is_required() else ""
    return f"| `{prefix}{name.upper()}` | {default} | {required}{field.description} |"


@pytest.mark.parametrize(("service", "kind"), [("inference", InferenceSettings), ("explainer", ExplainerSettings)])
def test_the_readme_has_every_setting_with_its_default(service: str, kind: type[ServiceSettings]) -> None:
    own = {name: field for name, field in kind.model_fields.items() if name not in ServiceSettings.model_fields}
    rows = [_row(f"{service.upper()}_", name, field) for name, field in own.items()]
    table = "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])
    assert table in (SERVICES / service / "README.md").read_text(encoding="utf-8"), f"the table is now:\n{table}"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, "INFERENCE_RECIPE: missing"),
        ({"RECIPE": "../seam"}, "INFERENCE_RECIPE: give letters, digits"),
        ({"RECIPE": "seam", "ENGINE": "torch"}, "INFERENCE_ENGINE: give 'openvino' or 'tensorflow'"),
        ({"RECIPE": "seam", "BATCH": "0"}, "INFERENCE_BATCH: give 1 or more"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: dict[str, str], complaint: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"INFERENCE_{name}", value)
    with pytest.raises(SystemExit) as ended:
        read_settings(InferenceSettings)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(complaint)


def test_an_engine_that_is_not_installed_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("services.inference.settings.find_spec", lambda name: None)
    monkeypatch.setenv("INFERENCE_RECIPE", "seam")
    monkeypatch.setenv("INFERENCE_ENGINE", "tensorflow")
    with pytest.raises(SystemExit):
        read_settings(InferenceSettings)
    assert "tensorflow is not installed here: install its packages" in capsys.readouterr().err
