"""RabbitMQ, Redis and S3 for the tests: one of each for a whole run, shared by its workers.

Each is looked for in this order: an address in the environment (``SEAMLINE_TEST_RABBITMQ_URL``,
``SEAMLINE_TEST_REDIS_URL``, ``SEAMLINE_TEST_S3_URL``); a Docker engine; the system's packages, which are installed when
the tests run as root on Debian. A server that can't be had fails the tests that need it: none is skipped.

``SEAMLINE_TEST_SERVERS=packages`` (or ``docker``) leaves no choice.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import httpx
from filelock import FileLock

from tests.container_images import image_at_hand
from tests.processes import ChildServer, ContainerServer, Server, free_port, listens

USER = "seamline"
DEPLOY = Path(__file__).parents[1] / "deploy"
WITHOUT_BUSY_WAITING = "+sbwt none +sbwtdcpu none +sbwtdio none"
"""RabbitMQ's threads do not poll for work, as in docker-compose.yml: the processors are shared."""
CHOICE = os.environ.get("SEAMLINE_TEST_SERVERS", "")


@dataclass(frozen=True)
class Endpoint:
    """Where a server is, as the workers of a run tell each other."""

    port: int
    host: str = "127.0.0.1"
    user: str = USER
    password: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)
    management_url: str = ""
    metrics_url: str = ""
    how: str = "address given"
    seconds: float = 0.0


def shared_server(run_folder: Path, name: str, find: Callable[[Path], Endpoint]) -> Endpoint:
    """The run's server of a kind: the first worker that asks starts it, and its failure is everyone's."""
    note = run_folder / f"{name}.json"
    with FileLock(run_folder / f"{name}.lock"):
        if not note.exists():
            began = time.monotonic()
            try:
                found = asdict(find(run_folder / name))
                found["seconds"] = round(time.monotonic() - began, 1)
                note.write_text(json.dumps(found))
            except Exception as error:
                note.write_text(json.dumps({"failure": str(error)}))
                raise
    noted = json.loads(note.read_text())
    if "failure" in noted:
        raise RuntimeError(f"{name} can't be had: {noted['failure']}")
    return Endpoint(**noted)


@cache
def docker_answers() -> bool:
    if CHOICE == "packages" or not (os.environ.get("DOCKER_HOST") or Path("/var/run/docker.sock").exists()):
        return False
    import docker
    from docker.errors import DockerException

    try:
        return bool(docker.from_env(timeout=30).ping())
    except DockerException:
        return False


def program(name: str, package: str, *folders: str) -> Path:
    """A program of the system, installed first if need be and possible."""
    places = [*folders, *os.environ.get("PATH", "").split(os.pathsep), "/usr/sbin"]
    if not (found := shutil.which(name, path=os.pathsep.join(places))):
        _install(package)
        found = shutil.which(name, path=os.pathsep.join(places))
    if not found:
        raise RuntimeError(f"{name} is not installed: install {package}, or a Docker engine, or give an address")
    return Path(found)


def _install(package: str) -> None:
    """From Debian, without letting it start a service of the system."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq"]
    try:
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        subprocess.run([*apt, "update"], env=environment, check=False, capture_output=True)
        subprocess.run(
            [*apt, "install", "-y", "--no-install-recommends", package],
            env=environment,
            check=True,
            capture_output=True,
        )
    finally:
        if ours:
            policy.unlink(missing_ok=True)


# ── RabbitMQ ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def find_rabbitmq(folder: Path) -> Endpoint:
    url = os.environ.get("SEAMLINE_TEST_RABBITMQ_URL")
    if not url:
        return start_rabbitmq(folder)[0]
    parts = urlsplit(url)
    host = parts.hostname or "127.0.0.1"
    management = os.environ.get("SEAMLINE_TEST_RABBITMQ_MANAGEMENT_URL", f"http://{host}:15672")
    user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
    metrics = os.environ.get("SEAMLINE_TEST_RABBITMQ_METRICS_URL", f"http://{host}:15692")
    endpoint = Endpoint(parts.port or 5672, host, user, password, management, metrics)
    if not _rabbitmq_serves(endpoint):
        raise RuntimeError(
            f"no RabbitMQ with its management at {management}: see SEAMLINE_TEST_RABBITMQ_URL and "
            "SEAMLINE_TEST_RABBITMQ_MANAGEMENT_URL"
        )
    return endpoint


def start_rabbitmq_with_tls(folder: Path, certificates: Path, hosts: Sequence[str]) -> tuple[Endpoint, Server]:
    """One of the system's package, with the shipped configuration of TLS, at one port of some names of loopback."""
    port, management = free_port(), free_port()
    endpoint = Endpoint(port, management_url=f"https://127.0.0.1:{management}", how="packages")
    shipped = (DEPLOY / "rabbitmq" / "tls.conf").read_text().replace("/opt/tls", str(certificates / "rabbitmq"))
    listeners = "\n".join(f"listeners.ssl.{number} = {host}:{port}" for number, host in enumerate(hosts, 1))
    for here, there in (
        ("listeners.ssl.default = 5671", listeners),
        ("management.ssl.port = 15671", f"management.ssl.ip = 127.0.0.1\nmanagement.ssl.port = {management}"),
    ):
        assert here in shipped
        shipped = shipped.replace(here, there)
    trusted = ssl.create_default_context(cafile=certificates / "authority" / "ca.crt")
    server = _rabbitmq_child(folder, endpoint, shipped, lambda: _rabbitmq_serves(endpoint, trusted))
    server.start()
    return endpoint, server


def start_rabbitmq(folder: Path) -> tuple[Endpoint, Server]:
    """A RabbitMQ of one's own, with its management, which makes virtual hosts."""
    port, management, metrics = free_port(), free_port(), free_port()
    in_docker = docker_answers()
    endpoint = Endpoint(
        port,
        management_url=f"http://127.0.0.1:{management}",
        metrics_url=f"http://127.0.0.1:{metrics}",
        how="Docker" if in_docker else "packages",
    )

    def ready() -> bool:
        return _rabbitmq_serves(endpoint)

    server: Server
    if in_docker:
        environment = {"RABBITMQ_DEFAULT_USER": endpoint.user, "RABBITMQ_DEFAULT_PASS": endpoint.password}
        server = ContainerServer(
            image_at_hand("RABBITMQ_IMAGE"), {5672: port, 15672: management, 15692: metrics}, ready, environment
        )
    else:
        clear = (
            f"listeners.tcp.1 = 127.0.0.1:{endpoint.port}\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n"
            f"prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {metrics}\n"
        )
        server = _rabbitmq_child(folder, endpoint, clear, ready)
    server.start()
    return endpoint, server


def _rabbitmq_serves(endpoint: Endpoint, tls: ssl.SSLContext | bool = True) -> bool:
    try:
        answer = httpx.get(
            f"{endpoint.management_url}/api/aliveness-test/%2F",
            auth=(endpoint.user, endpoint.password),
            timeout=30,
            verify=tls,
        )
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and (endpoint.host != "127.0.0.1" or listens(endpoint.port))


def _rabbitmq_child(folder: Path, endpoint: Endpoint, listeners: str, ready: Callable[[], bool]) -> Server:
    """A node that shares nothing with the system's: own data, name, cookie, name server, and loopback alone."""
    binary = program("rabbitmq-server", "rabbitmq-server", "/usr/lib/rabbitmq/bin")
    epmd = program("epmd", "erlang-base")
    folder.mkdir(parents=True)
    (folder / "rabbitmq.conf").write_text(
        f"{listeners}default_user = {endpoint.user}\ndefault_pass = {endpoint.password}\n"
        "disk_free_limit.absolute = 50MB\nlog.console = true\nlog.file = false\n"
    )
    plugins = ["rabbitmq_management", *(["rabbitmq_prometheus"] if endpoint.metrics_url else [])]
    (folder / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
    (folder / "rabbitmq-env.conf").touch()
    names = free_port()
    environment = {
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": f"seamline-{endpoint.port}@localhost",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{WITHOUT_BUSY_WAITING} -kernel inet_dist_use_interface {{127,0,0,1}}",
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
    }
    # the name server first, in the same process group: the node would start one that outlives it
    command: list[str | Path] = ["sh", "-c", '"$0" -address 127.0.0.1 & exec "$1"', epmd, binary]
    return ChildServer(command, folder / "server.log", ready, environment)


def make_virtual_host(endpoint: Endpoint, name: str) -> None:
    address = f"{endpoint.management_url}/api/vhosts/{quote(name, safe='')}"
    httpx.put(address, auth=(endpoint.user, endpoint.password), timeout=120).raise_for_status()


def drop_virtual_host(endpoint: Endpoint, name: str) -> None:
    address = f"{endpoint.management_url}/api/vhosts/{quote(name, safe='')}"
    httpx.delete(address, auth=(endpoint.user, endpoint.password), timeout=120).raise_for_status()


# ── Redis ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def find_redis(folder: Path) -> Endpoint:
    if url := os.environ.get("SEAMLINE_TEST_REDIS_URL"):
        parts = urlsplit(url)
        return Endpoint(parts.port or 6379, parts.hostname or "127.0.0.1", password=unquote(parts.password or ""))
    endpoint = Endpoint(free_port(), password="", how="Docker" if docker_answers() else "packages")

    def ready() -> bool:
        return listens(endpoint.port)

    server: Server
    if docker_answers():
        server = ContainerServer(image_at_hand("REDIS_IMAGE"), {6379: endpoint.port}, ready)
    else:
        folder.mkdir(parents=True)
        binary = program("redis-server", "redis-server")
        command: list[str | Path] = [
            binary,
            "--bind",
            "127.0.0.1",
            "--port",
            str(endpoint.port),
            "--dir",
            folder,
            "--save",
            "",
        ]
        server = ChildServer(command, folder / "server.log", ready)
    server.start()
    return endpoint


# ── S3 ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def find_s3(folder: Path) -> Endpoint:
    if url := os.environ.get("SEAMLINE_TEST_S3_URL"):
        parts = urlsplit(url)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return Endpoint(parts.port or 9000, parts.hostname or "127.0.0.1", user, password)
    return start_s3(folder)[0]


def start_s3(folder: Path, endpoint: Endpoint | None = None) -> tuple[Endpoint, Server]:
    """An S3 server of one's own, at the endpoint if one is given: MinIO in Docker, or rclone, which is on PyPI."""
    in_docker = docker_answers()
    endpoint = endpoint or Endpoint(free_port(), how="Docker" if in_docker else "rclone")
    address = f"http://127.0.0.1:{endpoint.port}/"

    def ready() -> bool:
        try:
            return httpx.get(address, timeout=5).status_code < 500
        except httpx.HTTPError:
            return False

    server: Server
    if in_docker:
        environment = {"MINIO_ROOT_USER": endpoint.user, "MINIO_ROOT_PASSWORD": endpoint.password}
        server = ContainerServer(
            image_at_hand("OBJECT_STORE_IMAGE"), {9000: endpoint.port}, ready, environment, "server /data"
        )
    else:
        folder.mkdir(parents=True)
        rclone = Path(sys.executable).with_name("rclone")
        (folder / "objects").mkdir()
        where = ["--addr", f"127.0.0.1:{endpoint.port}", "--auth-key", f"{endpoint.user},{endpoint.password}"]
        command: list[str | Path] = [rclone, "serve", "s3", *where, folder / "objects"]
        server = ChildServer(command, folder / "server.log", ready, {"RCLONE_CONFIG": str(folder / "rclone.conf")})
    server.start()
    return endpoint, server


def start_s3_with_tls(folder: Path, certificates: Path, hosts: Sequence[str]) -> tuple[Endpoint, Server]:
    """Rclone with the certificate of the object store, at one port of some names of loopback."""
    endpoint, own = Endpoint(free_port(), how="rclone"), certificates / "object-store"
    (folder / "objects").mkdir(parents=True)
    command: list[str | Path] = [
        Path(sys.executable).with_name("rclone"),
        *("serve", "s3", folder / "objects", "--auth-key", f"{endpoint.user},{endpoint.password}"),
        *(word for host in hosts for word in ("--addr", f"{host}:{endpoint.port}")),
        *("--cert", own / "public.crt", "--key", own / "private.key"),
    ]
    server = ChildServer(
        command,
        folder / "server.log",
        lambda: listens(endpoint.port),
        {"RCLONE_CONFIG": str(folder / "rclone.conf")},
    )
    server.start()
    return endpoint, server
