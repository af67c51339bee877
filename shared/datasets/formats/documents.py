"""Read JSON, YAML and XML files of other tools, with a size limit, a check by a model, and without XML entities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar
from xml.etree.ElementTree import Element, ParseError

import yaml
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pydantic import TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import from_json

from shared.datasets.tables import DatasetError
from shared.validation import describe

MOST_JSON_BYTES: Final = 512 * 2**20
MOST_TEXT_BYTES: Final = 64 * 2**20
"""Most bytes of a YAML, XML or text file."""
HEAD_BYTES: Final = 4_096
"""Bytes of the beginning of a file that show its format."""

T = TypeVar("T")


@dataclass(frozen=True)
class InvalidEntry:
    """An entry of a list that can't be read; the other entries are read all the same."""

    entry: object
    reason: str

    @property
    def problem(self) -> str:
        """The message: why the entry can't be read, and what to do."""
        return f"can't be read ({self.reason}): correct it, or remove it"

    def field(self, name: str) -> object:
        """Return a field of the entry; None if the entry lacks it or has no fields."""
        return self.entry.get(name) if isinstance(self.entry, dict) else None


def _entry_or_invalid(entry: object, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(entry)
    except ValidationError as error:
        return InvalidEntry(entry, _first_error(error))


ListEntry = Annotated[T, WrapValidator(_entry_or_invalid)]
"""An entry of a list, or `InvalidEntry`."""


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """Read a file of at most ``most_bytes``.

    Raises:
        DatasetError: the file can't be read, or is larger.
    """
    try:
        if path.stat().st_size > most_bytes:
            raise DatasetError([f"{path}: is larger than {most_bytes // 2**20} MiB: export fewer images at a time"])
        return path.read_bytes()
    except OSError as error:
        raise DatasetError([f"{path}: can't be read ({error.strerror})"]) from error


def read_json(path: Path, model: type[T], kind: str) -> T:
    """Read a JSON file by a pydantic model or type.

    Raises:
        DatasetError: the file can't be read, or is not of this kind.
    """
    content = read_bytes(path, MOST_JSON_BYTES)
    try:
        return TypeAdapter(model).validate_python(from_json(content.removeprefix(b"\xef\xbb\xbf")))
    except ValidationError as error:
        raise DatasetError(
            [f"{path.name}: is not in the format {kind}: {_first_error(error)}: export it again"]
        ) from error
    except ValueError as error:
        raise DatasetError([f"{path.name}: can't be read as JSON ({error}): export it again"]) from error


def _first_error(error: ValidationError) -> str:
    """Return the field of the first error, and the error."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"field {field}: {describe(first)}" if field else describe(first)


def read_yaml(path: Path) -> object:
    """Read a YAML file without aliases.

    Raises:
        DatasetError: the file can't be read.
    """
    try:
        text = read_bytes(path, MOST_TEXT_BYTES).decode("utf-8-sig")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise DatasetError([f"{path.name}: has an alias (*): write it out"])
        return yaml.safe_load(text)
    except (UnicodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(
            [f"{path.name}: can't be read as YAML ({str(error).splitlines()[0]}): export it again"]
        ) from error


def read_xml(path: Path) -> Element:
    """Read an XML file without entities and references to other files.

    Raises:
        DatasetError: the file can't be read.
    """
    content = read_bytes(path, MOST_TEXT_BYTES)
    try:
        return fromstring(content, forbid_dtd=True)
    except (ParseError, ValueError, DefusedXmlException, RecursionError) as error:
        raise DatasetError(
            [f"{path.name}: can't be read as XML ({error or type(error).__name__}): export it again"]
        ) from error


def has_fields(path: Path, *fields: str) -> bool:
    """Return whether a file is a JSON object that contains the names of all these fields."""
    if not read_head(path).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return False
    content = read_bytes(path, MOST_JSON_BYTES)
    return all(f'"{field}"'.encode() in content for field in fields)


def read_head(path: Path) -> bytes:
    """Return the first `HEAD_BYTES` of a file; empty if the file can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


def parse_number(text: str | None) -> float | None:
    """Return a finite number, or None for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None
