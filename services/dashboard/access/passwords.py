"""Passwords: which will do, and how they are kept (NIST SP 800-63B: length and a blocklist, nothing of composition)."""

from __future__ import annotations

import secrets
import unicodedata
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

SHORTEST: Final = 12
LONGEST: Final = 128
EASY_LOG10: Final = 8.0
"""A password that takes fewer guesses than ten to this is on every list, or a name with a number behind it."""
LOOKED_AT: Final = 72
"""Characters that are searched for words; the search takes longer than linear time."""
HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""Argon2id as OWASP recommends it: 19 MiB, 40 ms; two at once fit into any container."""


class UnfitPassword(ValueError):
    """A password that will not do; the message says why, and never repeats it."""


def check(password: str, *names: str) -> None:
    """Whether a password will do.

    Args:
        password: as it was given.
        names: of the person and the like: a password must not be made of them.

    Raises:
        UnfitPassword: it is too short, too long, or easily guessed.
    """
    length = len(_normal(password))
    if not SHORTEST <= length <= LONGEST:
        raise UnfitPassword(f"a password has {SHORTEST} to {LONGEST} characters: a few words are easy to remember")
    found = zxcvbn(_normal(password)[:LOOKED_AT], user_inputs=["seamline", *names])
    if found["guesses_log10"] < EASY_LOG10:
        raise UnfitPassword("this password is easily guessed: take a few words that have nothing to do with each other")


def hashed(password: str) -> str:
    """What is kept of a password."""
    return HASHER.hash(_normal(password))


def matches(kept: str | None, password: str) -> bool:
    """Whether a password is the one that is kept. Takes as long when nothing is kept: nobody learns who exists."""
    try:
        right = HASHER.verify(kept or _of_nobody(), _normal(password))
    except (VerificationError, InvalidHashError):
        return False
    return right and kept is not None


def generated() -> str:
    """A password that nobody guesses: 120 bits, in groups that can be read out."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(6))


@cache
def _of_nobody() -> str:
    return HASHER.hash(secrets.token_urlsafe())


def _normal(password: str) -> str:
    """The same text however a keyboard composes its accents."""
    return unicodedata.normalize("NFKC", password)
