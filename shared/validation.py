"""Say in plain words what is wrong with a value, and what to give instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType


def marked(text: str) -> str:
    """Return a text unchanged: being marked, it is in the catalogues of `shared.language`."""
    return text


PATTERNS: Final = {
    r"^[A-Za-z0-9][A-Za-z0-9_-]*$": marked("letters, digits, _ and -, after a letter or digit"),
    r"^[A-Za-z0-9][A-Za-z0-9_.-]*$": marked("letters, digits, _, - and dots, after a letter or digit"),
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$": marked("at most 40 letters, digits, _, - and dots, after a letter or digit"),
    r"^[A-Za-z0-9_]+$": marked("letters, digits and _"),
    r"^[A-Za-z0-9_./-]+$": marked("letters, digits, _, -, dots and slashes"),
    r"^[a-z0-9_-]+$": marked("small letters, digits, _ and -"),
    r"^[a-z0-9]$": marked("one small letter or digit"),
    r"^[0-9A-HJKMNP-TV-Z]{26}-[0-9]{9}$": marked("the id of a frame, such as 01JF6Z6TX4W8E1V2M6C3N9Q7RB-000000042"),
    r"^([0-9]{1,7}|[0-9A-HJKMNP-TV-Z]{26}-[0-9]{9})$": marked("the number of a frame, or its id"),
    r"^[0-9A-HJKMNP-TV-Z]{26}$": marked("an id of 26 digits and capital letters, such as 01JF6Z6TX4W8E1V2M6C3N9Q7RB"),
    r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$": marked("the `next` of a page"),
    r"^[0-9a-f]{64}$": marked("a SHA-256 of 64 hexadecimal digits"),
    r"^[0-9a-f]{64}\.(jpg|png)$": marked("the SHA-256 of an image in 64 hexadecimal digits, then .jpg or .png"),
    r"^[0-9a-f]{24}$": marked("an id of 24 hexadecimal digits"),
    r"^[0-9a-f]{16}$": marked("an id of 16 hexadecimal digits"),
    r"^token-[0-9a-z]{26}$": marked("the id of a token, such as token-01jf6z6tx4w8e1v2m6c3n9q7rb"),
    r"^[a-z]+\.[a-z]+$": marked("the name of a queue, such as inference.frames"),
    r"^(video|line)-[A-Za-z0-9][A-Za-z0-9_-]{0,63}$": marked("the id of a source, such as line-seam"),
    r"^$|^(file|s3|s3s)://": marked("an address that begins with file://, s3:// or s3s://"),
    r"^[^\s:/]+:\d{1,5}$": marked("HOST:PORT"),
    r"^[^#+]+$": marked("the topic of an MQTT broker, without # and +"),
}
"""What each pattern of a field allows."""

WORDS: Final = {
    "missing": marked("missing: give a value"),
    "extra_forbidden": marked("there is no such field: check its spelling, or remove it"),
    "string_too_short": marked("give {min_length} or more characters"),
    "string_too_long": marked("give {max_length} characters at most"),
    "greater_than": marked("give more than {gt}"),
    "greater_than_equal": marked("give {ge} or more"),
    "less_than": marked("give less than {lt}"),
    "less_than_equal": marked("give {le} or less"),
    "multiple_of": marked("give a multiple of {multiple_of}"),
    "finite_number": marked("give a finite number"),
    "enum": marked("give {expected}"),
    "literal_error": marked("give {expected}"),
    "too_short": marked("give {min_length} or more"),
    "too_long": marked("give no more than {max_length}"),
    "json_invalid": marked("not JSON: {error}"),
    "bytes_type": marked("give bytes"),
    "path_type": marked("give a path"),
}
"""What to give instead, by the type of the error; with its values."""

BEGINNINGS: Final = {
    "int": marked("give a whole number"),
    "float": marked("give a number"),
    "decimal": marked("give a number"),
    "bool": marked("give true or false"),
    "string": marked("give a text"),
    "list": marked("give a list"),
    "tuple": marked("give a list"),
    "set": marked("give a list"),
    "frozen_set": marked("give a list"),
    "iterable": marked("give a list"),
    "dict": marked("give fields with names"),
    "mapping": marked("give fields with names"),
    "model": marked("give fields with names"),
    "json": marked("give JSON"),
    "datetime": marked("give a time such as 2026-01-31T06:00:00Z"),
    "timezone": marked("give a time with its zone, such as 2026-01-31T06:00:00Z"),
    "date": marked("give a date such as 2026-01-31"),
    "time_delta": marked("give a number of seconds"),
    "time": marked("give a time such as 06:00"),
    "url": marked("give an address such as https://host:8000"),
}
"""What to give instead, by the beginning of the error's type."""

OWN: Final = ("value_error", "assertion_error")
"""Errors whose message is the product's."""
KNOWN: Final = frozenset(get_args(ErrorType))
"""The types of the library's errors; other types are the product's."""


def describe(problem: ErrorDetails | Mapping[str, Any], translate: Callable[[str], str] = str) -> str:
    """Return what is wrong with a value, without its place and without the value; ``translate`` changes each text."""
    kind, context = str(problem["type"]), problem.get("ctx", {})
    if kind in OWN or kind not in KNOWN:
        return translate(str(problem["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, "))
    if kind == "string_pattern_mismatch":
        allowed = PATTERNS.get(str(context["pattern"]))
        if allowed is None:
            return translate(marked("it has characters that it can't have here"))
        return translate(marked("give {allowed}")).format(allowed=translate(allowed))
    if kind in WORDS:
        values = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
        return translate(WORDS[kind]).format(**values)
    longest = max((start for start in BEGINNINGS if kind.startswith(start)), key=len, default=None)
    return translate(BEGINNINGS[longest] if longest else marked("give another value"))


def first_problem(error: ValidationError) -> str:
    """Return what is wrong with the first wrong value."""
    return describe(error.errors(include_url=False)[0])
