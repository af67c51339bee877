"""Check the length and the strength of passwords (NIST SP 800-63B), and hash them."""

from __future__ import annotations

import secrets
import unicodedata
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

from shared.language import gettext

SHORTEST: Final = 12
LONGEST: Final = 128
WEAK_LOG10: Final = 8.0
"""A password is refused if zxcvbn needs fewer guesses than ten to the power of this."""
ESTIMATED_LENGTH: Final = 72
"""Most characters that zxcvbn gets, because its time grows faster than the length."""
HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""Argon2id with OWASP's parameters; a hash takes 19 MiB and about 40 ms."""


class PasswordRefused(ValueError):
    """A password that is not accepted; the message says why, and never repeats it."""


def check(password: str, *names: str) -> None:
    """Check that a password is accepted. It must not be built from ``names``, such as the person's name.

    Raises:
        PasswordRefused: the password is too short, too long, or easily guessed.
    """
    password = _normalized(password)
    if not SHORTEST <= len(password) <= LONGEST:
        raise PasswordRefused(
            gettext(
                "a password has %(shortest)s to %(longest)s characters: a few words are easy to remember",
                shortest=SHORTEST,
                longest=LONGEST,
            )
        )
    found = zxcvbn(password[:ESTIMATED_LENGTH], user_inputs=["seamline", *names])
    if found["guesses_log10"] < WEAK_LOG10:
        raise PasswordRefused(
            gettext("this password is easily guessed: take a few words that have nothing to do with each other")
        )


def hash_password(password: str) -> str:
    """Return the Argon2 hash of a password."""
    return HASHER.hash(_normalized(password))


def matches(stored: str | None, password: str) -> bool:
    """Return whether a password has the hash `stored`.

    Without a hash it takes the same time, so that the time does not reveal whether the person exists.
    """
    try:
        right = HASHER.verify(stored or _dummy_hash(), _normalized(password))
    except (VerificationError, InvalidHashError):
        return False
    return right and stored is not None


def generate() -> str:
    """Return a random password of 120 bits, in groups of four letters."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(6))


@cache
def _dummy_hash() -> str:
    return HASHER.hash(secrets.token_urlsafe())


def _normalized(password: str) -> str:
    """Return a password in the Unicode form NFKC, because keyboards compose accents in different ways."""
    return unicodedata.normalize("NFKC", password)
