"""The kinds of faults: each is a block during which something is broken, and after which it is whole again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from shared import topology
from tests.processes import Server
from tests.soak.line import Line

Break = Callable[[Line], AbstractContextManager[None]]
MOMENT = (0.0, 0.0)
SHORT = (3.0, 8.0)
LONG = (6.0, 14.0)


@dataclass(frozen=True)
class Fault:
    """A kind of fault."""

    name: str
    target: str
    """What it breaks; two faults of one target never overlap."""
    happen: Break
    seconds: tuple[float, float] = MOMENT
    """The shortest and the longest time that it lasts."""
    early: bool = False
    """Only in the first part of a run."""
    needs_disk: bool = False
    """Only where the run may mount a disk."""


# ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _kill(name: str, line: Line) -> AbstractContextManager[None]:
    line.parts[name].kill()
    return nullcontext()


def _stop(name: str, line: Line) -> AbstractContextManager[None]:
    line.stop(name)
    return nullcontext()


@contextmanager
def _hang(name: str, line: Line) -> Iterator[None]:
    line.parts[name].server.pause()
    try:
        yield
    finally:
        line.parts[name].server.resume()


# ── servers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _server(name: str, line: Line) -> Server:
    return {"rabbitmq": line.rabbitmq, "redis": line.redis.server, "s3": line.s3}[name]


@contextmanager
def _hang_server(name: str, line: Line) -> Iterator[None]:
    server = _server(name, line)
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def _restart_server(name: str, line: Line) -> Iterator[None]:
    """Killed, gone for a while, and started again with what its disk holds."""
    server = _server(name, line)
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def _empty_redis(line: Line) -> Iterator[None]:
    server = line.redis.server
    server.kill()
    shutil.rmtree(_redis_files(line))
    try:
        yield
    finally:
        server.start()


@contextmanager
def _older_redis(line: Line) -> Iterator[None]:
    """A copy is taken; the line goes on for a while; then Redis comes back with the copy."""
    server, files = line.redis.server, _redis_files(line)
    copy = files.with_name("copy")
    server.pause()
    shutil.copytree(files, copy)
    server.resume()
    try:
        yield
    finally:
        server.kill()
        shutil.rmtree(files)
        copy.rename(files)
        server.start()


def _redis_files(line: Line) -> Path:
    return line.folder / "redis" / "appendonlydir"


@contextmanager
def _alarm(line: Line) -> Iterator[None]:
    """RabbitMQ takes no messages because its memory is said to be full."""
    line.rabbitmqctl("set_vm_memory_high_watermark", "0")
    try:
        yield
    finally:
        line.rabbitmqctl("set_vm_memory_high_watermark", "0.6")


@contextmanager
def _full_queue(queue: topology.Queue, line: Line) -> Iterator[None]:
    """A queue refuses all but one message."""
    policy = {"pattern": f"^{queue.name}$", "definition": {"max-length": 1}, "apply-to": "queues"}
    line.manage("PUT", "policies/{vhost}/full", json=policy)
    try:
        yield
    finally:
        line.manage("DELETE", "policies/{vhost}/full")


# ── the network ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _mute(name: str, line: Line) -> AbstractContextManager[None]:
    return line.proxies[name].mute()


def _refuse(name: str, line: Line) -> AbstractContextManager[None]:
    return line.proxies[name].refuse()


def _slow(name: str, line: Line) -> AbstractContextManager[None]:
    return line.proxies[name].slow(0.1)


def _trickle(name: str, line: Line) -> AbstractContextManager[None]:
    return line.proxies[name].slow(0.1, chunk=512)


def _cut(name: str, line: Line) -> AbstractContextManager[None]:
    line.proxies[name].cut()
    return nullcontext()


# ── the outbox's disk ────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _full_disk(line: Line) -> Iterator[None]:
    """The disk of a camera's outbox is full, and RabbitMQ is away from the cameras."""
    ballast = line.folder / "outbox" / "ballast"
    with line.proxies["edge"].refuse():
        _fill(ballast)
        try:
            yield
        finally:
            ballast.unlink()


@contextmanager
def _full_disk_and_kill(line: Line) -> Iterator[None]:
    """The camera is started again while the disk of its outbox is full; RabbitMQ is there."""
    ballast = line.folder / "outbox" / "ballast"
    _fill(ballast)
    line.parts["camera-1"].kill()
    try:
        yield
    finally:
        ballast.unlink()


def _fill(ballast: Path) -> None:
    try:
        with ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        return


# ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _poison(body: str, line: Line) -> AbstractContextManager[None]:
    line.poison(body)
    return nullcontext()


def _damaged_image(line: Line) -> AbstractContextManager[None]:
    good = next(iter(sorted(line.images.iterdir()))).read_bytes()
    line.publish([good[: len(good) // 2], b"\xff\xd8 no image", b""], "damaged")
    return nullcontext()


def _clock_ahead(line: Line) -> AbstractContextManager[None]:
    """A camera whose clock runs ahead."""
    good = next(iter(sorted(line.images.iterdir()))).read_bytes()
    line.publish([good], "ahead", datetime.now(UTC) + timedelta(days=40))
    return nullcontext()


DEEP = "[" * 100_000 + "\n"

FAULTS = (
    Fault("kill camera", "camera-2", partial(_kill, "camera-2")),
    Fault("kill inference", "inference-2", partial(_kill, "inference-2")),
    Fault("kill dashboard", "dashboard-2", partial(_kill, "dashboard-2")),
    Fault("kill explainer", "explainer-1", partial(_kill, "explainer-1"), early=True),
    Fault("kill trainer", "trainer-1", partial(_kill, "trainer-1"), early=True),
    Fault("stop camera", "camera-2", partial(_stop, "camera-2")),
    Fault("stop inference", "inference-2", partial(_stop, "inference-2")),
    Fault("stop dashboard", "dashboard-2", partial(_stop, "dashboard-2")),
    Fault("hang inference", "inference-1", partial(_hang, "inference-1"), SHORT),
    Fault("hang explainer", "explainer-1", partial(_hang, "explainer-1"), SHORT),
    Fault("hang dashboard", "dashboard-1", partial(_hang, "dashboard-1"), SHORT),
    *(Fault(f"hang {name}", name, partial(_hang_server, name), LONG) for name in ("rabbitmq", "redis", "s3")),
    *(Fault(f"restart {name}", name, partial(_restart_server, name), SHORT) for name in ("rabbitmq", "redis", "s3")),
    *(Fault(f"mute {name}", name, partial(_mute, name), LONG) for name in ("rabbitmq", "edge", "redis", "s3")),
    *(Fault(f"refuse {name}", name, partial(_refuse, name), SHORT) for name in ("rabbitmq", "edge", "redis", "s3")),
    *(Fault(f"cut {name}", name, partial(_cut, name)) for name in ("rabbitmq", "edge", "redis", "s3")),
    Fault("slow rabbitmq", "rabbitmq", partial(_slow, "rabbitmq"), SHORT),
    Fault("slow redis", "redis", partial(_slow, "redis"), SHORT),
    Fault("trickle s3", "s3", partial(_trickle, "s3"), SHORT),
    Fault("redis comes back empty", "redis", _empty_redis, SHORT),
    Fault("redis comes back older", "redis", _older_redis, SHORT),
    Fault("rabbitmq alarm", "rabbitmq", _alarm, SHORT),
    Fault("full inference.frames", "rabbitmq", partial(_full_queue, topology.INFERENCE_FRAMES), SHORT),
    Fault("full dashboard.verdicts", "rabbitmq", partial(_full_queue, topology.DASHBOARD_VERDICTS), SHORT),
    Fault("full disk, no broker", "edge", _full_disk, SHORT, needs_disk=True),
    Fault("full disk, camera killed", "camera-1", _full_disk_and_kill, SHORT, early=True, needs_disk=True),
    Fault("poison frame", "frames", partial(_poison, "no message")),
    Fault("deep frame", "frames", partial(_poison, DEEP)),
    Fault("damaged image", "frames", _damaged_image),
    Fault("clock ahead", "frames", _clock_ahead),
)
