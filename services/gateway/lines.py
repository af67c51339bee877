"""The file of the lines: the outputs of each line; and its parts and its check, if the recipe is not to say them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self

import structlog
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.gateway.encoders.settings import AnyEncoder, OutputEncoderSettings
from services.gateway.outputs.settings import AnyOutput, ModbusSettings, exclusive_use
from shared.errors import CannotStart
from shared.messages import Name
from shared.recipe import Parts, RequiredCheck

LONGEST: Final = 256 * 1024
"""Most characters of the file."""

_log = structlog.stdlib.get_logger("gateway")


class LineSettings(BaseModel):
    """The settings of one line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: Parts | None = Field(None, description="instead of the section parts of the recipe")
    check: RequiredCheck | None = Field(None, description="instead of the section check of the recipe")
    encoder: AnyEncoder | None = Field(None, description="counts how far parts move, for delays in counts")
    outputs: dict[Name, AnyOutput] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _counts_have_an_encoder(self) -> Self:
        for name, output in self.outputs.items():
            if output.deadline_counts is None:
                continue
            if self.encoder is None:
                raise ValueError(f"outputs.{name}: delay_counts needs the encoder of the line: add encoder")
            if output.deadline_counts > self.encoder.farthest:
                raise ValueError(
                    f"outputs.{name}: deadline_counts is more than half of what {self.encoder.bits} bits can count: "
                    f"{self.encoder.farthest} at most"
                )
        if isinstance(self.encoder, OutputEncoderSettings):
            servers = [name for name, output in self.outputs.items() if isinstance(output, ModbusSettings)]
            if self.encoder.output not in servers:
                raise ValueError(f"encoder: {self.encoder.output} is no output of this line of the type modbus")
        return self


class LinesFile(BaseModel):
    """The content of the file: the settings of lines by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lines: dict[Name, LineSettings] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _no_two_outputs_use_the_same(self) -> Self:
        users = dict[str, str]()
        for line, outputs in self.outputs.items():
            for name, output in outputs.items():
                used = exclusive_use(output, line)
                if used and (other := users.setdefault(used, f"{line}/{name}")) != f"{line}/{name}":
                    raise ValueError(f"{line}/{name} and {other} both use {used}: give one of them another")
        return self

    @property
    def parts(self) -> dict[str, Parts]:
        """The rules of parts that replace those of the recipe, by line."""
        return {name: line.parts for name, line in self.lines.items() if line.parts}

    @property
    def checks(self) -> dict[str, RequiredCheck]:
        """The required checks that replace those of the recipe, by line."""
        return {name: line.check for name, line in self.lines.items() if line.check}

    @property
    def encoders(self) -> dict[str, AnyEncoder]:
        """The settings of the encoders of the lines that have one."""
        return {name: line.encoder for name, line in self.lines.items() if line.encoder}

    @property
    def outputs(self) -> dict[str, dict[str, AnyOutput]]:
        """The settings of the outputs by line and name."""
        return {name: line.outputs for name, line in self.lines.items()}


def read_lines(path: Path | None) -> LinesFile:
    """Read the file of the lines; without a file, no line has settings.

    Raises:
        CannotStart: the file can't be read, or has a wrong value; the message names the value's place in the file.
    """
    if path is None:
        return LinesFile()
    if not path.exists():
        _log.warning("no file of the lines: the recipes say what a part is, and no line has outputs", path=str(path))
        return LinesFile()
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > LONGEST:
            raise CannotStart(f"{path}: longer than {LONGEST:,} characters")
        return LinesFile.model_validate(yaml.safe_load(text) or {})
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(f"{path}: can't be read ({error}): see GATEWAY_LINES") from error
    except yaml.YAMLError as error:
        # the whole error quotes the line, which may hold the token of an address
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", "") or "a forbidden character"
        raise CannotStart(f"{path}{f', line {mark.line + 1}' if mark else ''}: not YAML: {problem}") from None
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = "".join([".".join(str(part) for part in problem["loc"]), ": "] if problem["loc"] else [])
        raise CannotStart(f"{path}: {place}{problem['msg'].removeprefix('Value error, ')}") from error
