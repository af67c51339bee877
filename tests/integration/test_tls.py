"""RabbitMQ, Redis, S3 and the dashboard with TLS: each talks to its peers, and to no stranger."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.dashboard.settings import DashboardSettings
from services.dashboard.store.connection import open_redis
from shared.messaging import open_broker
from shared.messaging.port import BrokerUnavailable, MessagingError
from shared.settings import ServiceSettings
from shared.storage.opening import open_store
from shared.storage.port import ObjectStore, StorageError, StorageUnavailable
from shared.topology import INFERENCE_FRAMES
from tests.certificates import make_certificates, shown_by
from tests.messages import captured
from tests.processes import ChildServer, free_port, wait_until
from tests.servers import DEPLOY, Endpoint, program, start_rabbitmq_with_tls, start_s3_with_tls

pytestmark = pytest.mark.xdist_group("tls")

NAMED, NAMELESS = "127.0.0.1", "127.0.0.2"
"""Both reach the servers; the certificates are for the first one."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def certificates(folder: Path) -> Path:
    return make_certificates(folder / "certificates")


@pytest.fixture(scope="module")
def foreign(folder: Path) -> Path:
    """A certificate of an unknown authority."""
    return make_certificates(folder / "foreign")


@pytest.fixture(scope="module")
def rabbitmq(folder: Path, certificates: Path) -> Iterator[Endpoint]:
    endpoint, server = start_rabbitmq_with_tls(folder / "rabbitmq", certificates, [NAMED, NAMELESS])
    yield endpoint
    server.remove()


@pytest.fixture(scope="module")
def redis_port(folder: Path, certificates: Path) -> Iterator[int]:
    """With the shipped configuration of TLS."""
    port, home = free_port(), folder / "redis"
    home.mkdir()
    shipped = (DEPLOY / "redis" / "tls.conf").read_text().replace("/opt/tls", str(certificates / "redis"))
    for here, there in (
        ("include /etc/seamline/redis.conf", f"bind {NAMED} {NAMELESS}\nsave ''\ndir {home}"),
        ("tls-port 6379", f"tls-port {port}"),
    ):
        assert here in shipped
        shipped = shipped.replace(here, there)
    (home / "redis.conf").write_text(shipped)
    settings = redis_settings(port, certificates)
    server = ChildServer(
        [program("redis-server", "redis-server"), home / "redis.conf"], home / "log", lambda: pings(settings)
    )
    server.start()
    yield port
    server.remove()


@pytest.fixture(scope="module")
def s3(folder: Path, certificates: Path) -> Iterator[Endpoint]:
    endpoint, server = start_s3_with_tls(folder / "s3", certificates, [NAMED, NAMELESS])
    yield endpoint
    server.remove()


def broker_settings(endpoint: Endpoint, host: str = NAMED, scheme: str = "amqps", **tls: Any) -> dict[str, Any]:
    address = f"{scheme}://{host}:{endpoint.port}/"
    return {"broker_url": address, "broker_user": endpoint.user, "broker_password": endpoint.password, **tls}


def storage_settings(endpoint: Endpoint, host: str = NAMED, scheme: str = "s3s", **tls: Any) -> dict[str, Any]:
    address = f"{scheme}://{host}:{endpoint.port}/images"
    keys = {"storage_access_key": endpoint.user, "storage_secret_key": endpoint.password}
    return {"storage_url": address, **keys, **tls}


def redis_settings(port: int, certificates: Path, host: str = NAMED, scheme: str = "rediss") -> DashboardSettings:
    return DashboardSettings(redis_url=f"{scheme}://{host}:{port}/0", **shown_by("dashboard", certificates))


def pings(settings: DashboardSettings) -> bool:
    redis = open_redis(settings)
    redis.set_retry(Retry(NoBackoff(), 0))
    try:
        return bool(redis.ping())
    except redis_errors.ConnectionError:
        return False


def refused_by_rabbitmq(settings: dict[str, Any], kind: type[MessagingError] = MessagingError) -> str:
    with pytest.raises(kind) as refusal:
        open_broker(ServiceSettings(**settings))
    text = str(refusal.value)
    assert "\n" not in text
    assert settings["broker_password"] not in text
    return text


def test_a_frame_goes_through_rabbitmq_with_tls(rabbitmq: Endpoint, certificates: Path) -> None:
    broker = open_broker(ServiceSettings(**broker_settings(rabbitmq, **shown_by("camera", certificates))))
    broker.publisher().publish(captured(1)).result(60)
    subscription = broker.subscribe(INFERENCE_FRAMES, 1)
    (delivery,) = subscription.receive(1, 60)
    subscription.acknowledge([delivery])
    broker.close()


def test_a_rabbitmq_of_another_authority_is_not_trusted(rabbitmq: Endpoint, certificates: Path, foreign: Path) -> None:
    tls = shown_by("camera", certificates) | {"tls_ca": foreign / "camera" / "ca.crt"}
    assert "certificate that is not trusted here" in refused_by_rabbitmq(broker_settings(rabbitmq, **tls))


def test_a_rabbitmq_under_another_name_is_not_trusted(rabbitmq: Endpoint, certificates: Path) -> None:
    text = refused_by_rabbitmq(broker_settings(rabbitmq, NAMELESS, **shown_by("camera", certificates)))
    assert "certificate that is not trusted here" in text
    assert NAMELESS in text


def test_rabbitmq_refuses_a_client_without_a_certificate(rabbitmq: Endpoint, certificates: Path) -> None:
    tls: dict[str, Any] = {"tls_ca": certificates / "camera" / "ca.crt"}
    text = refused_by_rabbitmq(broker_settings(rabbitmq, **tls), BrokerUnavailable)
    assert "check TLS_CERT and TLS_KEY" in text


def test_rabbitmq_refuses_a_client_with_a_foreign_certificate(
    rabbitmq: Endpoint, certificates: Path, foreign: Path
) -> None:
    tls = shown_by("camera", foreign) | {"tls_ca": certificates / "camera" / "ca.crt"}
    refused_by_rabbitmq(broker_settings(rabbitmq, **tls), BrokerUnavailable)


def test_rabbitmq_with_tls_does_not_talk_in_the_clear(rabbitmq: Endpoint) -> None:
    refused_by_rabbitmq(broker_settings(rabbitmq, scheme="amqp"), BrokerUnavailable)


def test_redis_with_tls_answers_a_client_with_a_certificate(redis_port: int, certificates: Path) -> None:
    assert pings(redis_settings(redis_port, certificates))


def test_redis_is_not_talked_to_otherwise(redis_port: int, certificates: Path, foreign: Path) -> None:
    good = redis_settings(redis_port, certificates)
    for other in (
        good.model_copy(update={"tls_ca": foreign / "dashboard" / "ca.crt"}),
        good.model_copy(update={"tls_cert": None, "tls_key": None}),
        redis_settings(redis_port, foreign).model_copy(update={"tls_ca": good.tls_ca}),
    ):
        assert not pings(other)
    nameless = redis_settings(redis_port, certificates, NAMELESS)
    with pytest.raises(redis_errors.ConnectionError, match="IP address mismatch"):
        open_redis(nameless).ping()
    assert not pings(redis_settings(redis_port, certificates, scheme="redis"))


def test_objects_are_kept_by_an_s3_server_with_tls(s3: Endpoint, certificates: Path) -> None:
    store = open_store(ServiceSettings(**storage_settings(s3, **shown_by("camera", certificates))))
    store.put("frames/1.jpg", b"an image")
    assert store.get("frames/1.jpg") == b"an image"


def test_an_s3_server_of_another_authority_or_name_is_not_trusted(
    s3: Endpoint, certificates: Path, foreign: Path
) -> None:
    for host, known in ((NAMED, foreign), (NAMELESS, certificates)):
        store: ObjectStore = open_store(ServiceSettings(**storage_settings(s3, host, **shown_by("camera", known))))
        with pytest.raises(StorageUnavailable, match="a certificate that is not trusted here"):
            store.get("frames/1.jpg")


def test_an_s3_server_with_tls_does_not_talk_in_the_clear(s3: Endpoint) -> None:
    with pytest.raises(StorageError):
        open_store(ServiceSettings(**storage_settings(s3, scheme="s3")))


@pytest.fixture(scope="module")
def dashboard(
    folder: Path, certificates: Path, rabbitmq: Endpoint, redis_port: int, s3: Endpoint
) -> Iterator[httpx.Client]:
    """A process of its own, all of whose ways are encrypted; a client that trusts the authority."""
    port, log = free_port(), folder / "dashboard.log"
    own = certificates / "dashboard"
    settings = {
        **broker_settings(rabbitmq, **shown_by("dashboard", certificates)),
        **storage_settings(s3),
        "redis_url": f"rediss://{NAMED}:{redis_port}/0",
        "port": port,
        "https_cert": own / "https.crt",
        "https_key": own / "https.key",
        "login": "true",
        "first_admin_password": "umbrella copper thirty lanterns",
    }
    environment = {f"DASHBOARD_{name.upper()}": str(value) for name, value in settings.items()}
    trust = httpx.Client(base_url=f"https://{NAMED}:{port}", verify=_trusting(certificates), timeout=30)
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.dashboard"], env={**os.environ, **environment}, stdout=out, stderr=out
        )
    try:
        with trust:
            wait_until(lambda: _is_ready(trust, process, log), 300, f"the dashboard to be ready (see {log})")
            yield trust
    finally:
        process.terminate()
        process.wait(60)


def _trusting(certificates: Path) -> Any:
    return ServiceSettings(tls_ca=certificates / "authority" / "ca.crt").client_tls()


def _is_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return client.post("/api/session", json=ADMIN).status_code < 300 and client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


ADMIN = {"name": "admin", "password": "umbrella copper thirty lanterns"}


def test_the_dashboard_talks_tls_alone(dashboard: httpx.Client) -> None:
    wait_until(lambda: dashboard.get("/readyz").status_code == 200, 120, "the dashboard to be ready")
    assert "max-age=" in dashboard.get("/readyz").headers["strict-transport-security"]
    with pytest.raises(httpx.TransportError):
        httpx.get(str(dashboard.base_url).replace("https", "http"), timeout=10)


def test_a_session_of_https_is_kept_by_browsers_for_https_alone(dashboard: httpx.Client) -> None:
    cookies = dashboard.post("/api/session", json=ADMIN).headers.get_list("set-cookie")
    assert cookies
    for cookie in cookies:
        assert cookie.startswith("__Host-")
        assert "; Secure" in cookie


def test_a_dashboard_of_another_authority_is_not_trusted(dashboard: httpx.Client, foreign: Path) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(dashboard.base_url, verify=_trusting(foreign), timeout=10)


def test_the_healthcheck_of_the_image_asks_by_https(dashboard: httpx.Client) -> None:
    def healthy(port: int | None, **more: str) -> bool:
        environment = {**os.environ, "HEALTH_PORT": str(port), **more}
        return subprocess.run([DEPLOY / "healthcheck"], env=environment, timeout=120, check=False).returncode == 0

    wait_until(lambda: healthy(dashboard.base_url.port, HEALTH_SCHEME="https"), 120, "good health")
    assert not healthy(dashboard.base_url.port)
    assert not healthy(free_port(), HEALTH_SCHEME="https")
