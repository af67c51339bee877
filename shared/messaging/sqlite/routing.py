"""Topic bindings as RabbitMQ reads them."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=4096)
def matches(binding: str, routing_key: str) -> bool:
    """Whether a routing key fits a binding: ``*`` is one word, ``#`` any number of words, words lie between dots."""
    return _pattern(binding).fullmatch(f".{routing_key}") is not None


@lru_cache(maxsize=256)
def _pattern(binding: str) -> re.Pattern[str]:
    """A pattern for keys with a dot before each word, so that ``#`` may be no word at all."""
    words = {"*": r"\.[^.]*", "#": r"(?:\.[^.]*)*"}
    return re.compile("".join(words.get(word, r"\." + re.escape(word)) for word in binding.split(".")))
