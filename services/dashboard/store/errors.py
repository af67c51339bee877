"""The errors of Redis that mean that it is away, and its refusal of a login."""

from __future__ import annotations

from typing import Final

from redis import exceptions as errors
from redis._parsers.base import BaseParser

from shared.errors import CannotStart


class RedisCannotServe(errors.ResponseError):
    """Redis takes no command now, for a reason that the driver has no error for."""


BaseParser.EXCEPTION_CLASSES.update(dict.fromkeys(("MISCONF", "NOREPLICAS", "BUSY"), RedisCannotServe))

REDIS_UNAVAILABLE: Final = (
    errors.ConnectionError,  # not there, loading, too many clients, or a password that was changed
    errors.TimeoutError,
    errors.ReadOnlyError,  # it failed over
    errors.OutOfMemoryError,
    errors.ClusterDownError,
    errors.TryAgainError,
    errors.NoPermissionError,  # its users are being changed
    RedisCannotServe,  # it can't write its disk, has too few replicas, or runs a slow script
)
"""Errors of a Redis that takes no commands now; a later try may succeed."""


class RedisRefusedLogin(CannotStart):
    """Redis does not accept the user or the password."""
