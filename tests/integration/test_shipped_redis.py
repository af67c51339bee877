"""Redis as it is shipped for compose: what it has written is there after a restart, and only the dashboard logs in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from redis import Redis
from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.processes import ChildServer, free_port
from tests.servers import DEPLOY, program

PASSWORD: Final = "umbrella-copper"
BOTH: Final = "redis.call('set', KEYS[1], 1) redis.call('set', KEYS[2], 1)"
"""A script that writes two keys: Redis writes it to its log as a transaction."""


def connected(port: int, user: str | None = "dashboard", password: str | None = PASSWORD) -> Redis:
    return Redis("127.0.0.1", port, username=user, password=password, retry=Retry(NoBackoff(), 0))


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[tuple[ChildServer, int]]:
    """start.sh and redis.conf, with a port and folders of the test."""
    port = free_port()
    start, config = ((DEPLOY / "redis" / name).read_text() for name in ("start.sh", "redis.conf"))
    assert "/tmp/users.acl" in start
    (tmp_path / "start.sh").write_text(
        start.replace("/tmp/users.acl", f"{tmp_path}/users.acl").replace(
            "redis-server", str(program("redis-server", "redis-server"))
        )
    )
    (tmp_path / "redis.conf").write_text(
        config.replace("/tmp/users.acl", f"{tmp_path}/users.acl").replace("dir /data", f"dir {tmp_path}")
        + f"\nbind 127.0.0.1\nport {port}\n"
    )

    def serves() -> bool:
        try:
            return bool(connected(port).ping())
        except redis_errors.ConnectionError:
            return False

    command: list[str | Path] = ["/bin/sh", tmp_path / "start.sh", tmp_path / "redis.conf"]
    server = ChildServer(command, tmp_path / "log", serves, {"REDISCLI_AUTH": PASSWORD})
    server.start()
    yield server, port
    server.remove()


def test_what_a_script_and_a_transaction_wrote_is_there_after_a_restart(redis_server: tuple[ChildServer, int]) -> None:
    server, port = redis_server
    connected(port).eval(BOTH, 2, "seamline:a", "seamline:b")
    with connected(port).pipeline(transaction=True) as together:
        together.set("seamline:c", 1)
        together.set("seamline:d", 1)
        together.execute()
    server.stop()
    server.start()
    assert connected(port).mget("seamline:a", "seamline:b", "seamline:c", "seamline:d") == [b"1"] * 4


def test_a_stranger_may_do_nothing(redis_server: tuple[ChildServer, int]) -> None:
    _, port = redis_server
    for user, password in ((None, None), ("default", ""), ("default", PASSWORD), ("dashboard", "guessed")):
        with pytest.raises((redis_errors.AuthenticationError, redis_errors.ResponseError)):
            connected(port, user, password).get("seamline:a")
