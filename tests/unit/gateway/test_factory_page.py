"""docs/factory.md and the JSON schema of signals say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from services.gateway.lines import LinesFile
from services.gateway.outputs import modbus_registers as registers
from services.gateway.outputs.port import Signal
from shared.recipe import Parts, RequiredCheck

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "factory.md").read_text(encoding="utf-8")


def test_the_schema_is_that_of_the_signal() -> None:
    written = json.loads((DOCS / "factory-signal.schema.json").read_text(encoding="utf-8"))
    assert written == Signal.model_json_schema()


def test_the_page_lists_every_register() -> None:
    listed = {int(number) for number in re.findall(r"^\| (\d+)", PAGE, re.MULTILINE)}
    assert listed == {
        registers.CONTROL,
        registers.TAKEN,
        registers.COUNT,
        registers.RECIPE,
        registers.STATUS,
        registers.HEARTBEAT,
        registers.ERROR,
        registers.WAITING,
        registers.OVERRUNS,
        registers.PARTS,
        registers.LINE_RECIPE,
        registers.LINE_RECIPE + 1,
        registers.NUMBER,
        registers.VERDICT,
        registers.ACTION,
        registers.LABELS,
        registers.MISSING,
        registers.SCORES,
        registers.CAPTURED,
        registers.NAME,
    }


def test_the_examples_of_the_page_are_read() -> None:
    documents = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    assert Parts.model_validate(documents[0]["parts"]).cameras == ("front", "back")
    assert LinesFile.model_validate(documents[1]).parts["line-1"].at_least == 2
    names = [name for name in documents[2]["lines"]["line-1"]["outputs"] if name in ("gate", "history")]
    outputs = {name: documents[2]["lines"]["line-1"]["outputs"][name] for name in names}
    assert set(LinesFile.model_validate({"lines": {"line-1": {"outputs": outputs}}}).outputs["line-1"]) == set(names)

    required = next(document for document in documents if "check" in document)
    assert RequiredCheck.model_validate(required["check"]).while_due == "reject"
    (lines,) = (each for each in documents if "check" in each.get("lines", {}).get("line-1", {}))
    assert LinesFile.model_validate(lines).checks["line-1"].valid_hours == 12


@pytest.mark.parametrize("section", [Parts, RequiredCheck])
def test_the_page_names_every_field_of_a_section_of_the_recipe(section: type[BaseModel]) -> None:
    assert not [name for name in section.model_fields if f"| `{name}` |" not in PAGE]
