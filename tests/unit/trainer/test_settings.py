from pathlib import Path

import pytest

from services.trainer.settings import TrainerSettings
from shared.contracts.training import TrainingOptions
from shared.environment import read_settings
from shared.settings import ServiceSettings

README = Path(__file__).parents[3] / "services" / "trainer" / "README.md"


def test_the_readme_has_every_setting_with_its_default() -> None:
    rows = []
    for name, field in TrainerSettings.model_fields.items():
        if name not in ServiceSettings.model_fields:
            known = field.default_factory is None and field.default is not None
            rows.append(f"| `TRAINER_{name.upper()}` | {f'`{field.default}`' if known else ''} | {field.description} |")
    table = "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])
    assert table in README.read_text(encoding="utf-8"), f"the table is now:\n{table}"


def test_the_readme_has_every_option() -> None:
    text = README.read_text(encoding="utf-8")
    assert [name for name in TrainingOptions.model_fields if f"| `{name}` |" not in text] == []


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("LEASE_SECONDS", "0", "TRAINER_LEASE_SECONDS: give more than 0"),
        ("BROKER_URL", "redis://x", "settings: TRAINER_BROKER_URL starts with one of"),
        ("BROKER_URL", "amqp://x/?topolgy=given", "settings: TRAINER_BROKER_URL: after the question mark come"),
        ("BROKER_URL", "amqp://x/?heartbeat=0", "settings: TRAINER_BROKER_URL: after the question mark come"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, complaint: str
) -> None:
    monkeypatch.setenv(f"TRAINER_{name}", value)
    with pytest.raises(SystemExit) as ended:
        read_settings(TrainerSettings)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(complaint)
