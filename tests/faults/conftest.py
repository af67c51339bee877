"""Servers that can be stopped."""

from tests.contract.conftest import s3_server

__all__ = ["s3_server"]
