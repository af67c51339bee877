"""Match routing keys with topic bindings, as RabbitMQ does."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=4096)
def matches(binding: str, routing_key: str) -> bool:
    """Return whether a routing key matches a binding; ``*`` is one word, ``#`` any number; dots separate words."""
    return _pattern(binding).fullmatch(f".{routing_key}") is not None


@lru_cache(maxsize=256)
def _pattern(binding: str) -> re.Pattern[str]:
    """Return the pattern for keys with a dot before each word, so that ``#`` can match no word."""
    words = {"*": r"\.[^.]*", "#": r"(?:\.[^.]*)*"}
    return re.compile("".join(words.get(word, r"\." + re.escape(word)) for word in binding.split(".")))
