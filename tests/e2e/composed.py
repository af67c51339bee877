"""The line on docker compose, as the tests see it."""

import json
import os
import ssl
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, TypeVar

import httpx
from testcontainers.compose import ComposeContainer, DockerCompose

from tests.container_images import IMAGES, image_at_hand

ROOT: Final = Path(__file__).parents[2]
SERVERS: Final = ("rabbitmq", "redis", "object-store")
FLOW: Final = ("camera", "inference", "explainer", "trainer", "gateway", "dashboard")
NODES: Final = ("rabbitmq", "rabbitmq-2", "rabbitmq-3")
LINE: Final = "line-1"
LOG_LINES: Final = 200
"""of each container, with a failure"""
PASSWORD_VARIABLE: Final = "DASHBOARD_FIRST_ADMIN_PASSWORD"

Fact = TypeVar("Fact")


def wait_for(look: Callable[[], Fact | None], seconds: float, what: str) -> Fact:
    """What ``look`` returns once it is anything; fails after ``seconds``."""
    end = monotonic() + seconds
    while not (fact := look()):
        assert monotonic() < end, f"waited {seconds} s in vain: {what}"
        sleep(0.25)
    return fact


def docker(*words: str) -> str:
    """What ``docker …`` says; it must succeed."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"docker {' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


class ComposedLine:
    """One compose project with secrets, volumes and a name of its own."""

    def __init__(self, folder: Path, videos: Path) -> None:
        self.project = f"seamline-e2e-{uuid.uuid4().hex[:8]}"
        env_file = folder / "env"
        subprocess.run([ROOT / "deploy" / "make-env", ROOT / ".env.example", env_file], check=True)
        settings = {
            "COMPOSE_PROJECT_NAME": self.project,
            "SEAMLINE_TAG": "e2e",
            **dict.fromkeys(("DASHBOARD_PORT", "GATEWAY_PORT", "CAMERA_HTTP_PORT", "CAMERA_MODBUS_PORT"), "0"),
            "CAMERA_LINE": LINE,
            "CAMERA_VIDEOS": str(videos),
            "CAMERA_PACE": "fast",
            "INFERENCE_WORKERS": "3",
            "TLS_FOLDER": str(folder / "tls"),
            **{variable: image_at_hand(variable) for variable in IMAGES},
        }
        with env_file.open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())
        self.secrets = dict(line.split("=", 1) for line in env_file.read_text().splitlines() if line[:1].isalpha())
        self.authority: Path | None = None
        """What signs the certificates, once everything is encrypted."""
        self._folder, self._env_file = folder, env_file
        self.compose = self._composed_of("docker-compose.yml", "tests/e2e/compose.yml")

    def _composed_of(self, *files: str) -> DockerCompose:
        started = [*SERVERS, *FLOW[1:]]
        return DockerCompose(
            ROOT, compose_file_name=list(files), env_file=str(self._env_file), services=started, build=True
        )

    def encrypt(self) -> None:
        """Give the line TLS, as `make env TLS=1` and `make up` do, and one worker; wait until it is healthy."""
        subprocess.run([ROOT / "deploy" / "make-env", ROOT / ".env.example", self._env_file, "--tls"], check=True)
        subprocess.run([ROOT / "deploy" / "make-certs", self._folder / "tls"], check=True)
        added = next(line for line in self._env_file.read_text().splitlines() if line.startswith("COMPOSE_FILE="))
        files = added.removeprefix("COMPOSE_FILE=").split(":")
        self.compose = self._composed_of(*files, "tests/e2e/compose.yml", "tests/e2e/compose.tls.yml")
        self.must("up", "--detach", "--wait", "--no-build", *SERVERS, *FLOW[1:], INFERENCE_WORKERS="1")
        self.authority = self._folder / "tls" / "authority" / "ca.crt"

    def add_nodes(self) -> None:
        """Give the encrypted line two more nodes of RabbitMQ, as docs/operations.md says, and wait until it is healthy.

        Every queue has a copy on each node then.
        """
        with self._env_file.open("a") as file:
            file.write(f"RABBITMQ_NODES={','.join(NODES)}\nRABBITMQ_HEARTBEAT=5\n")
        nodes = ("deploy/compose.nodes.yml", "deploy/compose.nodes.tls.yml", "tests/e2e/compose.nodes.yml")
        self.compose = self._composed_of(*self.compose.compose_file_name, *nodes)
        self.must("up", "--detach", "--wait", "--no-build", "rabbitmq")
        again = ("up", "--detach", "--wait", "--no-build", "--no-deps")
        self.must(*again, *NODES, *FLOW[1:], INFERENCE_WORKERS="1")
        wait_for(self.has_every_copy, 120, "a copy of each queue on each node")

    def has_every_copy(self) -> bool:
        """Return whether each queue has a copy on each of the three nodes, and all of them are online."""
        queues = self.queues("members", "online")
        return bool(queues) and all(len(queue["members"]) == len(queue["online"]) == len(NODES) for queue in queues)

    def leader(self, queue: str) -> str:
        """The node that leads a queue."""
        leaders = {each["name"]: each["leader"] for each in self.queues("leader")}
        return str(leaders[queue]).removeprefix("rabbit@")

    def queues(self, *columns: str) -> list[dict[str, Any]]:
        """What the nodes say of each queue that outlives its connection; empty while they have no answer."""
        found = self.ask_nodes("list_queues", "--vhost", "seamline", "name", *columns)
        return [queue for queue in found if not queue["name"].startswith("amq.gen-")]

    def connected(self, away: str) -> set[str]:
        """The users that are connected to the nodes, one of which is away."""
        return {each["user"] for each in self.ask_nodes("list_connections", "user", away=away)}

    def ask_nodes(self, *words: str, away: str = "") -> list[dict[str, Any]]:
        """What `rabbitmqctl` says on the first node that is not away and has an answer."""
        for node in NODES:
            command = ("rabbitmqctl", "--quiet", "--timeout", "10", "--formatter", "json", *words)
            asked = None if node == away else self.run("exec", "--no-TTY", node, *command)
            if asked and asked.returncode == 0:
                return list(json.loads(asked.stdout))
        return []

    @contextmanager
    def cut_off(self, node: str) -> Iterator[None]:
        """Cut one container off from all of its networks, and connect it again afterwards."""
        (container,) = (str(container.ID) for container in self.containers(node))
        networks = json.loads(docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", container))
        for network in networks:
            docker("network", "disconnect", network, container)
        try:
            yield
        finally:
            for network in networks:
                docker("network", "connect", "--alias", node, network, container)

    def started(self, *services: str) -> dict[str, str]:
        """When each container of some services was started the last time."""
        found = [str(container.ID) for service in services for container in self.containers(service)]
        return {each: docker("inspect", "--format", "{{.State.StartedAt}}", each) for each in found}

    def play(self, frames: int) -> None:
        """Start the camera, which plays a number of frames of its video at full rate."""
        self.must("up", "--detach", "--no-build", "--no-deps", "camera", CAMERA_FRAMES=str(frames))

    def settled(self, api: httpx.Client, captured: int) -> dict[str, Any] | None:
        """Return where the frames are, once as many as expected are captured, inspected, and explained if flagged."""
        counts = self.accounting(api)
        done = counts and counts["captured"] == captured and counts["in_flight"] == 0
        return counts if done and counts["explained"] + counts["unexplained"] == counts["flagged"] else None

    def run(self, *words: str, seconds: float = 300, **variables: str) -> subprocess.CompletedProcess[str]:
        """``docker compose …`` of this project."""
        command = [*self.compose.docker_compose_command(), *words]
        environment = {**os.environ, **variables}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )

    def must(self, *words: str, seconds: float = 300, **variables: str) -> str:
        """What ``docker compose …`` says; it must succeed."""
        done = self.run(*words, seconds=seconds, **variables)
        assert done.returncode == 0, f"docker compose {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def camera_users(self, *words: str) -> str:
        """What `deploy/camera` prints for this project."""
        environment = {**os.environ, "COMPOSE": " ".join(self.compose.docker_compose_command())}
        command = [str(ROOT / "deploy" / "camera"), *words]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.decode()

    def start(self) -> None:
        """Everything but the camera, until it is healthy; images are built first."""
        try:
            self.compose.start()
        except subprocess.CalledProcessError as error:
            raise AssertionError(f"docker compose up failed:\n{error.stderr.decode()[-4000:]}") from None

    def remove(self) -> None:
        """Containers, networks and volumes."""
        self.must("down", "--volumes", "--remove-orphans", "--timeout", "0")

    def story(self) -> dict[str, str]:
        """Return the containers and their logs, for the search for a cause."""
        commands = (("ps", "--all"), ("logs", "--no-color", "--timestamps", "--tail", str(LOG_LINES)))
        return {f"docker compose {words[0]}": self.run(*words).stdout for words in commands}

    def containers(self, service: str | None = None) -> list[ComposeContainer]:
        """Of one service or of all, running or not."""
        found = self.compose.get_containers(include_all=True)
        return [container for container in found if service in (None, container.Service)]

    @contextmanager
    def api(self) -> Iterator[httpx.Client]:
        """A client of the dashboard, logged in as the first admin."""
        login = {"name": "admin", "password": self.secrets[PASSWORD_VARIABLE]}
        with self.stranger() as api:

            def logged_in() -> httpx.Response | None:
                answer = api.post("/api/session", json=login)
                return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer

            wait_for(logged_in, 200, "logins to be possible").raise_for_status()
            yield api

    def stranger(self) -> httpx.Client:
        """A client of the dashboard that has not logged in."""
        port = self.must("port", "dashboard", "8000").strip().rpartition(":")[2]
        if self.authority is None:
            return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        trusted = ssl.create_default_context(cafile=self.authority)
        return httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trusted, timeout=60)

    @staticmethod
    def read(api: httpx.Client, path: str, **query: Any) -> httpx.Response:
        """The answer to a read, once no server is too slow for one."""

        def answered() -> httpx.Response | None:
            answer = api.get(path, params=query or None)
            return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer

        return wait_for(answered, 120, f"an answer to {path}").raise_for_status()

    def accounting(self, api: httpx.Client) -> dict[str, Any]:
        """Return where the line's frames are; empty while the line is unknown, or a server is slow."""
        answer = api.get(f"/api/lines/{LINE}/accounting")
        counts: dict[str, Any] = answer.json() if answer.status_code == httpx.codes.OK else {}
        return counts

    def handled(self, api: httpx.Client) -> dict[str, int]:
        """Frames by inference worker, as far as it said; a worker is named after its container and its process."""
        workers = self.read(api, "/api/workers").json()
        return {worker["worker"]: worker["handled"] for worker in workers if worker["service"] == "inference"}
