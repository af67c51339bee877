"""The language of a page or a report: its texts, numbers and times.

A text in the code is English, and the key of its translation in ``locale/<language>/LC_MESSAGES/seamline.po``:

- `gettext` and `ngettext`, in templates ``_`` and ``ngettext``, translate a text where it stands.
- `marked` marks a constant, which `translated` translates where it is shown; so it does with a finished sentence.
- `reported` translates a finished sentence of a message, such as the reason of a verdict, by `REPORTED`.
- `word` translates a value of an enumeration; ``enumeration_words.py`` lists the values that pages show.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime
from enum import Enum
from functools import cache, lru_cache
from gettext import NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

ENGLISH: Final = "en"
LANGUAGES: Final = {ENGLISH: "English", "de": "Deutsch"}
CATALOGUES: Final = Path(__file__).parent / "locale"
FORMS: Final[Mapping[str, Mapping[str, str]]] = {
    ENGLISH: {
        "minute": "dd MMM y HH:mm",
        "second": "dd MMM y HH:mm:ss",
        "day": "dd MMM y",
        "short": "dd MMM HH:mm",
        "short second": "dd MMM HH:mm:ss",
        "short day": "dd MMM",
        "weekday": "EEE dd MMM",
        "weekday time": "EEE HH:mm",
        "time": "HH:mm",
        "time second": "HH:mm:ss",
    },
    "de": {
        "minute": "dd.MM.y HH:mm",
        "second": "dd.MM.y HH:mm:ss",
        "day": "dd.MM.y",
        "short": "dd.MM. HH:mm",
        "short second": "dd.MM. HH:mm:ss",
        "short day": "dd.MM.",
        "weekday": "EEE dd.MM.",
        "weekday time": "EEE HH:mm",
        "time": "HH:mm",
        "time second": "HH:mm:ss",
    },
}
"""Formats of times by language: with 24 hours, and with the same number of digits in each row of a table."""
REPORTED: Final = frozenset({"shared/reported_texts.py", "shared/validation.py"})
"""The modules with the sentences of messages, and with those about wrong values, which they contain."""
NESTED: Final = frozenset(
    {"reason", "error", "state", "format", "sources", "given", "used", "left_out", "place", "places", "allowed"}
)
"""The names of placeholders whose values are themselves sentences, or lists of sentences."""
MOST_SENTENCES: Final = 10_000
"""Most sentences whose translations are cached: hundreds of frames have the same reason."""
PLACE: Final = re.compile(r"%\((\w+)\)([sd])")
"""A placeholder of a text, which is replaced by a value: any (``s``), or whole numbers (``d``), such as 2-5, 9."""
BRACES: Final = re.compile(r"\{(\w+)\}")
"""The other form of a placeholder, in texts about wrong values."""

_language: ContextVar[str] = ContextVar("language", default=ENGLISH)


def language() -> str:
    """Return the language of the present request, such as ``de``."""
    return _language.get()


def speak(chosen: str | None) -> None:
    """Set the language of the present request, if it is one of `LANGUAGES`."""
    if chosen in LANGUAGES:
        _language.set(chosen)


@contextmanager
def speaking(chosen: str) -> Iterator[None]:
    """Set the language within a block, to one of `LANGUAGES`."""
    before = _language.set(chosen)
    try:
        yield
    finally:
        _language.reset(before)


# ── texts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def catalogue(of: str) -> Catalog:
    """Return the texts of a language with their translations."""
    with (CATALOGUES / of / "LC_MESSAGES" / "seamline.po").open("rb") as file:
        return read_po(file, locale=of)


@cache
def _translations(of: str) -> NullTranslations:
    if of == ENGLISH:
        return NullTranslations()
    compiled = BytesIO()
    write_mo(compiled, catalogue(of))
    compiled.seek(0)
    return Translations(compiled)


def find(text: str) -> str:
    """Return the translation of a text, with its placeholders."""
    return _translations(language()).gettext(text)


def find_plural(one: str, many: str, number: int) -> str:
    """Return the translation of a text for a number, singular or plural, with its placeholders."""
    return _translations(language()).ngettext(one, many, number)


def find_in_context(context: str, text: str) -> str:
    """Return the translation of a text that has several meanings; ``context`` says which one."""
    return _translations(language()).pgettext(context, text)


def gettext(text: str, **values: object) -> str:
    """Return the translation of a text with the values in its placeholders; the text has each percent sign twice."""
    return find(text) % values


def ngettext(one: str, many: str, number: int, **values: object) -> str:
    """Return the translation of a text for a number, singular or plural; the number fills the placeholder ``num``."""
    return find_plural(one, many, number) % {"num": number, **values}


def word(value: object, *, capital: bool = False) -> str:
    """Return the translated name of a value of an enumeration; return any other value as text."""
    shown = find(str(value.value).replace("-", " ").replace("_", " ")) if isinstance(value, Enum) else str(value)
    return capitalised(shown) if capital else shown


def translated(text: object) -> str:
    """Return the translation of a marked text, or of a sentence as `reported` does; of another text, the text."""
    if not text:
        return ""
    found = find(str(text))
    return found if found != str(text) else reported(text)


def reported(text: object) -> str:
    """Return the translation of a sentence from a message; return a sentence that `REPORTED` lacks unchanged.

    Values in the sentence, such as names of labels, are not translated. The parts of a list are translated one by one,
    because the reason of a verdict is a list of faults; so are the lines of a text, such as the problems of a dataset.
    """
    whole = str(text or "")
    return whole if language() == ENGLISH or not whole else _translated_sentence(whole, language())


@lru_cache(maxsize=MOST_SENTENCES)
def _translated_sentence(whole: str, of: str) -> str:
    """Return the translation of a sentence into a language, in which the request is answered."""
    if (lines := whole.splitlines())[1:] and (shown := list(map(reported, lines))) != lines:
        return "\n".join(shown)
    for pattern, translation in _sentences(of):
        if match := pattern.fullmatch(whole):
            return translation % {
                name: translated(value) if name in NESTED else value for name, value in match.groupdict().items()
            }
    for between in ("; ", ", "):
        if len(parts := whole.split(between)) > 1:
            return between.join(map(reported, parts))
    return whole


@cache
def _sentences(of: str) -> list[tuple[re.Pattern[str], str]]:
    """Return the sentences of `REPORTED` as patterns with their translations, the longest first."""
    found = []
    for message in catalogue(of):
        if isinstance(message.id, str) and " " in message.id and REPORTED & {file for file, _ in message.locations}:
            text, translation = (BRACES.sub(r"%(\1)s", str(each)) for each in (message.id, message.string))
            pieces = [re.escape(piece.replace("%%", "%")) for piece in PLACE.split(text)[::3]]
            groups = [_value(*place.groups(), is_first=not place.start()) for place in PLACE.finditer(text)]
            pattern = "".join(piece + group for piece, group in zip(pieces, [*groups, ""], strict=True))
            found.append((len("".join(pieces)), re.compile(pattern, re.DOTALL), PLACE.sub(r"%(\1)s", translation)))
    return [each[1:] for each in sorted(found, key=lambda each: -each[0])]


def _value(name: str, kind: str, *, is_first: bool) -> str:
    """Return the pattern of the value of a placeholder.

    At the beginning of a sentence, a value that is no sentence holds no colon: what is before it may be a place, such
    as a line of a file, which is a sentence of its own.
    """
    if kind == "d":
        return rf"(?P<{name}>\d[\d, …-]*)"
    if name in NESTED:
        return f"(?P<{name}>.+?)"
    return f"(?P<{name}>(?:(?!: )[^;])+?)" if is_first else f"(?P<{name}>[^;]+?)"


def capitalised(text: str) -> str:
    """Return a text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


@cache
def script_texts(of: str) -> dict[str, str | tuple[str, ...]]:
    """Return the translations of the texts in the pages' scripts, by text; a text with a plural has both forms."""
    found: dict[str, str | tuple[str, ...]] = {}
    for message in catalogue(of) if of != ENGLISH else ():
        if message.id and message.string and any(file.endswith(".js") for file, _ in message.locations):
            key = message.id if isinstance(message.id, str) else message.id[0]
            found[key] = message.string if isinstance(message.string, str) else tuple(message.string)
    return found


# ── numbers and times ─────────────────────────────────────────────────────────────────────────────────────────────


@cache
def _locale(of: str) -> Locale:
    return Locale.parse(of)


@cache
def _signs(of: str) -> tuple[str, str]:
    """Return the decimal sign of a language, and the text that it writes after a number of percent."""
    locale = _locale(of)
    return locale.number_symbols["latn"]["decimal"], locale.percent_formats[None].suffix[0]


def fixed(number: float, digits: int, *, signed: bool = False) -> str:
    """Return a number with a fixed number of decimal digits."""
    return f"{number:{'+' if signed else ''}.{digits}f}".replace(".", _signs(language())[0])


def plain(number: float) -> str:
    """Return a number without trailing zeros, with at most six significant digits."""
    return f"{number:g}".replace(".", _signs(language())[0])


def count(number: int) -> str:
    """Return a number with narrow spaces between thousands, which both languages allow."""
    return f"{number:,}".replace(",", "\u202f")


def data_size(number: float) -> str:
    """Return a number of bytes with its unit, such as 1.2 GB."""
    decimal = _signs(language())[0]
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(number) < 999.5:
            return f"{number:.3g} {unit}".replace(".", decimal)
        number /= 1000
    return f"{count(round(1000 * number))} TB"


def percent(share: float | None, digits: int | None = None) -> str:
    """Return a share in percent, by default with more digits for small shares; ``–`` for None."""
    if share is None:
        return "–"
    if digits is None:
        digits = 1 if share >= 0.1 or share == 0 else 2 if share >= 0.001 else 3
    decimal, sign = _signs(language())
    return f"{share:.{digits}%}".replace(".", decimal).replace("%", sign)


def written_time(moment: datetime, form: str) -> str:
    """Return a time as text, in a format of `FORMS`."""
    return format_datetime(moment, FORMS[language()][form], tzinfo=None, locale=_locale(language()))


def written_day(day: date) -> str:
    """Return a day as text."""
    return format_date(day, FORMS[language()]["day"], locale=_locale(language()))


TEMPLATE_NAMES: Final[dict[str, Any]] = {"language": language, "languages": LANGUAGES, "script_texts": script_texts}
TEMPLATE_FILTERS: Final[dict[str, Any]] = {
    "bytes": data_size,
    "capital": capitalised,
    "count": count,
    "day": written_day,
    "fixed": fixed,
    "percent": percent,
    "plain": plain,
    "reported": reported,
    "translated": translated,
    "word": word,
}
