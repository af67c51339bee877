"""Say in plain words what is wrong with a value, and what to give instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

PATTERNS: Final = {
    r"^[A-Za-z0-9][A-Za-z0-9_-]*$": "letters, digits, _ and -, after a letter or digit",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]*$": "letters, digits, _, - and dots, after a letter or digit",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$": "at most 40 letters, digits, _, - and dots, after a letter or digit",
    r"^[A-Za-z0-9_./-]+$": "letters, digits, _, -, dots and slashes",
    r"^[a-z0-9_-]+$": "small letters, digits, _ and -",
    r"^[a-z0-9]$": "one small letter or digit",
    r"^[0-9A-HJKMNP-TV-Z]{26}-[0-9]{9}$": "the id of a frame, such as 01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042",
    r"^([0-9]{1,7}|[0-9A-HJKMNP-TV-Z]{26}-[0-9]{9})$": "the number of a frame, or its id",
    r"^[0-9A-HJKMNP-TV-Z]{26}$": "an id of 26 digits and capital letters, such as 01JF6Z6TX4W8E1V2M6C3N9Q7RB",
    r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$": "the `next` of a page",
    r"^[0-9a-f]{64}$": "a SHA-256 of 64 hexadecimal digits",
    r"^[0-9a-f]{24}$": "an id of 24 hexadecimal digits",
    r"^[0-9a-f]{16}$": "an id of 16 hexadecimal digits",
    r"^token-[0-9a-z]{26}$": "the id of a token, such as token-01jf6z6tx4w8e1v2m6c3n9q7rb",
    r"^[a-z]+\.[a-z]+$": "the name of a queue, such as inference.frames",
    r"^(video|line)-[A-Za-z0-9][A-Za-z0-9_-]{0,63}$": "the id of a source, such as line-seam",
    r"^$|^(file|s3|s3s)://": "an address that begins with file://, s3:// or s3s://",
    r"^[^\s:/]+:\d{1,5}$": "HOST:PORT",
}
"""What each pattern of a field allows."""

WORDS: Final = {
    "missing": "missing: give a value",
    "extra_forbidden": "there is no such field: check its spelling, or remove it",
    "string_too_short": "give {min_length} or more characters",
    "string_too_long": "give {max_length} characters at most",
    "greater_than": "give more than {gt}",
    "greater_than_equal": "give {ge} or more",
    "less_than": "give less than {lt}",
    "less_than_equal": "give {le} or less",
    "multiple_of": "give a multiple of {multiple_of}",
    "finite_number": "give a finite number",
    "enum": "give {expected}",
    "literal_error": "give {expected}",
    "too_short": "give {min_length} or more",
    "too_long": "give no more than {max_length}",
    "json_invalid": "not JSON: {error}",
    "bytes_type": "give bytes",
    "path_type": "give a path",
}
"""What to give instead, by the type of the error; with its values."""

BEGINNINGS: Final = {
    "int": "give a whole number",
    "float": "give a number",
    "decimal": "give a number",
    "bool": "give true or false",
    "string": "give a text",
    "list": "give a list",
    "tuple": "give a list",
    "set": "give a list",
    "frozen_set": "give a list",
    "iterable": "give a list",
    "dict": "give fields with names",
    "mapping": "give fields with names",
    "model": "give fields with names",
    "json": "give JSON",
    "datetime": "give a time such as 2026-01-31T06:00:00Z",
    "timezone": "give a time with its zone, such as 2026-01-31T06:00:00Z",
    "date": "give a date such as 2026-01-31",
    "time_delta": "give a number of seconds",
    "time": "give a time such as 06:00",
    "url": "give an address such as https://host:8000",
}
"""The same by the beginning of the type."""

OWN: Final = ("value_error", "assertion_error")
"""Errors whose message is the product's."""
KNOWN: Final = frozenset(get_args(ErrorType))
"""The types of the library's errors; other types are the product's."""


def describe(problem: ErrorDetails | Mapping[str, Any]) -> str:
    """Return what is wrong with a value, without its place and without the value."""
    kind, context = str(problem["type"]), problem.get("ctx", {})
    if kind in OWN or kind not in KNOWN:
        return str(problem["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind == "string_pattern_mismatch":
        allowed = PATTERNS.get(str(context["pattern"]))
        return f"give {allowed}" if allowed else "it has characters that it can't have here"
    if kind in WORDS:
        values = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
        return WORDS[kind].format(**values)
    longest = max((start for start in BEGINNINGS if kind.startswith(start)), key=len, default=None)
    return BEGINNINGS[longest] if longest else "give another value"


def first_problem(error: ValidationError) -> str:
    """Return what is wrong with the first wrong value."""
    return describe(error.errors(include_url=False)[0])
