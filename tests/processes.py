"""Servers for tests, as child processes or containers, that can be stopped, killed, paused and started again."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

GUARD = Path(__file__).with_name("guard.py")
START_SECONDS = 180.0
PORTS = range(12_000, 32_000)
WORKERS = 16
"""Of pytest-xdist, at most: each has a part of the ports, and other processes have one together."""
_given: deque[int] = deque(maxlen=300)
"""The ports that this process was given last, which their servers may not have taken yet."""


class Server(Protocol):
    """Something that serves on ports which stay the same when it is started again, with the data it had."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """As an operator does."""
        ...

    def kill(self) -> None:
        """As a power failure does."""
        ...

    def pause(self) -> None:
        """It is there, and does not answer."""
        ...

    def resume(self) -> None: ...

    def remove(self) -> None:
        """Gone for good."""
        ...


class ChildServer:
    """A command, in a process group of its own, under a guard."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, ready: Callable[[], bool], environment: Mapping[str, str] = {}
    ) -> None:
        self._command = [str(word) for word in command]
        self._log = log
        self._ready = ready
        self.environment = {**os.environ, **environment}
        self._group = 0
        self._guard: subprocess.Popen[str] | None = None

    def start(self) -> None:
        with self._log.open("a") as log:
            self._guard = subprocess.Popen(
                [sys.executable, GUARD, str(the_session()), *self._command],
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                text=True,
            )
        assert self._guard.stdout
        self._group = int(self._guard.stdout.readline())
        wait_until(self._ready_or_dead, START_SECONDS, f"{self._command[0]} to serve (see {self._log})")

    @property
    def pid(self) -> int:
        """Of the command's process."""
        return self._group

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        if self._guard is None or (code := self._guard.poll()) is None:
            return None
        return code - 256 if code > 128 else code

    def alive(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    def stop(self) -> None:
        self._signal(signal.SIGTERM)
        self._wait()

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._wait()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        self._signal(signal.SIGKILL)
        self._wait()

    def _signal(self, number: int) -> None:
        if self._guard and self._guard.poll() is None:
            with suppress(ProcessLookupError):  # it has ended, and its guard is about to
                os.killpg(self._group, number)

    def _wait(self) -> None:
        if self._guard:
            self._guard.wait(START_SECONDS)

    def _ready_or_dead(self) -> bool:
        assert self._guard
        if self._guard.poll() is not None:
            end = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self._command[0]} ended before it served:\n{end}")
        return self._ready()


class ContainerServer:
    """A container whose ports are published on loopback alone."""

    def __init__(
        self,
        image: str,
        ports: Mapping[int, int],
        ready: Callable[[], bool],
        environment: Mapping[str, str] = {},
        command: str | None = None,
    ) -> None:
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        # its own reaper would end a shared server with the first worker that ends; our guard waits for the last
        testcontainers_config.ryuk_disabled = True
        self._definition = DockerContainer(image).with_envs(**environment)
        if command:
            self._definition.with_command(command)
        self._definition.ports = {f"{inside}/tcp": ("127.0.0.1", outside) for inside, outside in ports.items()}
        self._ready = ready
        self._container: Any = None

    def start(self) -> None:
        if self._container is None:
            self._container = self._definition.start().get_wrapped_container()
            subprocess.Popen(
                [sys.executable, GUARD, str(the_session()), "--container", self._container.id],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        else:
            self._container.start()
        wait_until(self._ready, START_SECONDS, f"{self._container.image} to serve")

    def stop(self) -> None:
        self._container.stop(timeout=30)

    def kill(self) -> None:
        self._container.kill()
        self._container.wait()

    def pause(self) -> None:
        self._container.pause()

    def resume(self) -> None:
        self._container.unpause()

    def remove(self) -> None:
        self._container.remove(force=True, v=True)


def the_session() -> int:
    """The process that the whole test run lives in: a worker's parent, or this one."""
    return os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()


def ports_of(worker: str | None) -> range:
    """Return the ports of a worker of pytest-xdist, or those of a process that is none."""
    number = int(worker.removeprefix("gw")) % WORKERS if worker else WORKERS
    return PORTS[number :: WORKERS + 1]


def free_port() -> int:
    """Return a free port that no other test is about to take, below those that systems lend to outgoing connections.

    So nothing takes it by chance while its server is not started yet, or stopped for a while.
    """
    while True:
        with socket.socket() as probe, suppress(OSError):
            port = secrets.choice(ports_of(os.environ.get("PYTEST_XDIST_WORKER")))
            if port in _given:
                continue
            probe.bind(("127.0.0.1", port))
            _given.append(port)
            return port


def has_ipv6() -> bool:
    """Return whether this machine has the loopback address of IPv6, which containers often lack."""
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


LOOPBACKS = ["127.0.0.1", *(["::1"] if has_ipv6() else [])]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(happened: Callable[[], bool], seconds: float, what: str, pause: float = 0.05) -> None:
    """Wait for a fact."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(pause)
