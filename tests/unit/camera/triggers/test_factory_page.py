"""docs/factory.md says what the triggers of a camera do."""

from __future__ import annotations

import json
import re
from pathlib import Path

from services.camera.triggers import modbus_client
from services.camera.triggers import modbus_registers as modbus
from services.camera.triggers.trigger import Answer, Cause, Trigger

PAGE = (Path(__file__).parents[4] / "docs" / "factory.md").read_text(encoding="utf-8")


def test_the_page_names_every_cause_and_every_field_of_a_trigger() -> None:
    assert [cause for cause in Cause if f"| `{cause}` |" not in PAGE] == []
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    assert set(examples[0]) == set(Trigger.model_fields)
    assert Trigger.of(examples[0]).part == "part-000042"
    assert set(examples[1]) == set(Answer.model_fields)


def test_the_page_lists_the_addresses_that_a_plc_uses() -> None:
    texts = ", ".join(str(modbus.TEXT * place) for place in range(len(modbus.TEXTS)))
    assert f"| holding registers from {texts} | {', '.join(modbus.TEXTS)}: {modbus.TEXT} registers each" in PAGE
    assert f"| input registers {modbus.FRAME} to {modbus.FRAME + modbus.FRAME_LENGTH - 1} |" in PAGE
    causes = ", ".join(f"{number} {cause}" for cause, number in modbus.CAUSES.items())
    assert f"| input register {modbus.CAUSE} | cause: 0 captured, {causes} |" in PAGE
    first, last = modbus_client.ANSWER, modbus_client.ANSWER + modbus_client.ANSWER_LENGTH - 1
    assert f"registers {first} to {last} of the block are its input registers 0 to" in PAGE
    inputs = (modbus.READY, modbus.ANSWERED, modbus.CAPTURED, modbus.MISSED)
    assert inputs == (0, 1, 2, 3)
