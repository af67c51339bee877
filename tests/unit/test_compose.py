"""docker-compose.yml and .env.example say what the code says."""

import importlib
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.object_store.__main__ import SetupSettings
from shared.settings import ServiceSettings
from tests.container_images import IMAGES, shipped_image

ROOT: Final = Path(__file__).parents[2]
ENDING: Final = ["object-store-setup"]
"""What does its work and ends."""
FLOW: Final = ["camera", "inference", "explainer", "trainer", "gateway", "dashboard"]
TEXT: Final = (ROOT / "docker-compose.yml").read_text()
TLS_TEXT: Final = (ROOT / "deploy" / "compose.tls.yml").read_text()
TLS: Final[dict[str, Any]] = yaml.safe_load(TLS_TEXT)
NODES, NODES_TLS = (
    yaml.safe_load((ROOT / "deploy" / name).read_text())["services"]
    for name in ("compose.nodes.yml", "compose.nodes.tls.yml")
)
NODES_CONF: Final = dict(
    line.split(" = ", 1)
    for line in (ROOT / "deploy" / "rabbitmq" / "nodes.conf").read_text().splitlines()
    if line and line[0] != "#"
)
COMPOSE: Final[dict[str, Any]] = yaml.safe_load(TEXT)
EVERYTHING: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
MONITORING: Final = ["prometheus", "grafana", "jaeger"]
TRACED: Final = [name for name in FLOW if name != "trainer"]
SERVICES: Final = {name: service for name, service in EVERYTHING.items() if name not in MONITORING}
"""What runs without a profile."""
DOCKERFILE: Final = (ROOT / "deploy" / "Dockerfile").read_text()
EXAMPLE: Final = (ROOT / ".env.example").read_text()
SECRETS: Final = set(re.findall(r"^([A-Z_]+)=$", EXAMPLE, re.MULTILINE))
DEFAULTS: Final = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))


def _settings_of(service: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"services.{service}.settings")
    kind: type[ServiceSettings] = getattr(module, f"{service.capitalize()}Settings")
    assert issubclass(kind, ServiceSettings)
    return kind


def test_the_services_are_the_folders_in_the_order_of_the_flow() -> None:
    folders = {path.parent.name for path in (ROOT / "services").glob("*/__init__.py")}
    assert set(FLOW) == folders
    assert [name for name in SERVICES if name in folders] == FLOW
    assert list(SERVICES)[: -len(FLOW)] == ["rabbitmq", "redis", "object-store", *ENDING]


def test_monitoring_starts_by_its_profile_alone_and_reaches_every_service() -> None:
    assert {name: service["profiles"] for name, service in EVERYTHING.items() if "profiles" in service} == {
        name: ["monitoring"] for name in MONITORING
    }
    assert set(EVERYTHING["prometheus"]["networks"]) >= {*FLOW, "monitoring"}
    assert all(
        port.startswith("${") and ":-127.0.0.1:" in port for name in MONITORING for port in EVERYTHING[name]["ports"]
    )


def test_every_service_that_handles_frames_is_traced_alike_and_reaches_the_collector() -> None:
    tracing = COMPOSE["x-tracing"]
    assert [name for name in FLOW if tracing.items() <= SERVICES[name]["environment"].items()] == TRACED
    assert set(EVERYTHING["jaeger"]["networks"]) >= {*TRACED, "monitoring"}
    jaeger = yaml.safe_load((ROOT / "deploy" / "monitoring" / "jaeger.yml").read_text())
    assert jaeger["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(":4318")


@pytest.mark.parametrize("service", FLOW)
def test_an_image_is_named_and_built_for_its_service(service: str) -> None:
    assert SERVICES[service]["image"].startswith(f"seamline-{service}:")
    assert SERVICES[service]["build"]["args"]["SERVICE"] == service


@pytest.mark.parametrize("service", FLOW)
def test_every_variable_of_a_service_is_one_of_its_settings(service: str) -> None:
    prefix = f"{service.upper()}_"
    variables = set(SERVICES[service]["environment"]) - set(COMPOSE["x-tracing"])
    assert all(name.startswith(prefix) for name in variables)
    assert {name.removeprefix(prefix).lower() for name in variables} <= set(_settings_of(service).model_fields)


def test_every_variable_of_compose_is_explained_and_every_explained_one_is_used() -> None:
    assert set(re.findall(r"\$\{([A-Z_]+)", TEXT + TLS_TEXT)) - {"TLS_GROUP"} == SECRETS | set(DEFAULTS)


def test_a_default_is_the_same_in_compose_and_in_the_example() -> None:
    used = re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", TEXT + TLS_TEXT)
    assert {name: {value} for name, value in DEFAULTS.items()} == {
        name: {value for other, value in used if other == name} for name, _ in used
    }


def test_a_missing_secret_is_refused_with_a_remedy() -> None:
    refused = dict(re.findall(r"\$\{([A-Z_]+):?\?([^}]*)\}", TEXT))
    assert set(refused) == SECRETS
    assert all("make env" in message for message in refused.values())


def test_only_the_set_up_and_the_store_itself_have_its_root_user() -> None:
    rooted = [name for name in SERVICES if "OBJECT_STORE_ROOT_PASSWORD" in str(SERVICES[name].get("environment"))]
    assert rooted == ["object-store", *ENDING]


@pytest.mark.parametrize("service", FLOW)
def test_a_service_has_the_user_and_the_secret_of_its_own(service: str) -> None:
    variables = SERVICES[service]["environment"]
    for kind, user, secret in (
        ("STORAGE", "STORAGE_ACCESS_KEY", "STORAGE_SECRET_KEY"),
        ("BROKER", "BROKER_USER", "BROKER_PASSWORD"),
    ):
        prefix = service.upper()
        name = "camera.${CAMERA_LINE:-line-1}.${CAMERA_NAME:-camera-1}" if service == "camera" else service
        assert variables[f"{prefix}_{user}"] == name, kind
        assert variables[f"{prefix}_{secret}"] == f"${{{prefix}_{secret}}}"


@pytest.mark.parametrize("service", FLOW)
def test_a_service_starts_when_the_object_store_is_set_up(service: str) -> None:
    assert SERVICES[service]["depends_on"]["object-store-setup"] == {"condition": "service_completed_successfully"}


def test_every_variable_of_the_set_up_is_one_of_its_settings() -> None:
    variables = SERVICES["object-store-setup"]["environment"]
    assert {name.lower() for name in variables} == set(SetupSettings.model_fields) - {
        "object_store_url",
        "object_store_tls_ca",
    }


def test_only_dashboard_gateway_and_triggers_are_published_and_only_on_the_given_address() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert list(published) == ["camera", "gateway", "dashboard"]
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for port in published["dashboard"])
    assert all(port.startswith("${CAMERA_BIND_ADDRESS:-127.0.0.1}:") for port in published["camera"])
    assert all(port.startswith("${GATEWAY_BIND_ADDRESS:-127.0.0.1}:") for port in published["gateway"])
    assert [name for name, network in COMPOSE["networks"].items() if not network] == ["front", "plant", "factory"]
    assert all(network == {"internal": True} for network in COMPOSE["networks"].values() if network)


def test_each_service_reaches_the_servers_that_it_needs_and_nothing_else() -> None:
    def reached(service: str) -> set[str]:
        networks = set(SERVICES[service]["networks"])
        return {other for other in SERVICES if other != service and networks & set(SERVICES[other]["networks"])}

    assert {name: reached(name) for name in [*ENDING, *FLOW]} == {
        "object-store-setup": {"object-store"},
        "camera": {"rabbitmq", "object-store"},
        "inference": {"rabbitmq", "object-store"},
        "explainer": {"rabbitmq", "object-store"},
        "trainer": {"rabbitmq", "object-store"},
        "gateway": {"rabbitmq", "object-store"},
        "dashboard": {"rabbitmq", "object-store", "redis"},
    }


def test_any_service_may_run_more_than_once() -> None:
    assert not [name for name, service in SERVICES.items() if "container_name" in service]


@pytest.mark.parametrize("name", EVERYTHING)
def test_nothing_runs_without_limits_or_may_gain_rights(name: str) -> None:
    service = EVERYTHING[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["security_opt"] == ["no-new-privileges:true"]  # and Docker's own seccomp profile
    assert service["cap_drop"] == ["ALL"]
    assert not service.get("privileged", False)
    assert service["ulimits"]["nofile"] >= 16_384
    assert service["restart"] == ("on-failure:5" if name in ENDING else "unless-stopped")


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_container_is_read_only_but_for_its_volumes_and_memory(name: str) -> None:
    service = EVERYTHING[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    for volume in service.get("volumes", []):
        source, target = re.sub(r"\$\{[A-Z_]+:-([^}]+)\}", r"\1", volume).split(":")[:2]
        assert volume.endswith(":ro") or (source in COMPOSE["volumes"] and target), volume


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_container_is_asked_how_it_is(name: str) -> None:
    assert "healthcheck" in EVERYTHING[name] or re.search(r"^HEALTHCHECK ", DOCKERFILE, re.MULTILINE)
    assert EVERYTHING[name].get("build") or "healthcheck" in EVERYTHING[name]


@pytest.mark.parametrize("variable", [*IMAGES, "PROMETHEUS_IMAGE", "GRAFANA_IMAGE"])
def test_an_image_is_an_exact_version(variable: str) -> None:
    assert re.fullmatch(r"[\w./-]+:(RELEASE\.[\dTZ-]+|v?\d+\.\d+\.\d+(-[a-z]+)*)", shipped_image(variable))


def test_the_dockerfile_builds_on_the_same_image_as_compose() -> None:
    assert f"ARG PYTHON_IMAGE={shipped_image('PYTHON_IMAGE')}\n" in DOCKERFILE


def test_every_image_of_the_dockerfile_is_an_exact_version() -> None:
    images = re.findall(r"^ARG \w+_IMAGE=(.+)$", DOCKERFILE, re.MULTILINE)
    assert images
    assert not [image for image in images if not re.fullmatch(r"\w+:\d+\.\d+\.\d+(-[a-z]+)*", image)]


@pytest.mark.parametrize("name", SERVICES)
def test_with_tls_every_container_has_its_own_certificates_and_no_others(name: str) -> None:
    added = TLS["services"][name]
    assert added["group_add"] == ["${TLS_GROUP:?run make env TLS=1}"]
    assert added["volumes"][0] == f"${{TLS_FOLDER:-./var/tls}}/{name}:/opt/tls:ro"
    assert not set(added) & {"read_only", "cap_add", "security_opt", "user", "ports", "networks"}


@pytest.mark.parametrize("service", FLOW)
def test_with_tls_a_service_has_the_settings_it_needs_and_no_address_in_the_clear(service: str) -> None:
    prefix = f"{service.upper()}_"
    variables = {**SERVICES[service]["environment"], **TLS["services"][service]["environment"]}
    others = {"HEALTH_SCHEME", *COMPOSE["x-tracing"]}
    given = {name.removeprefix(prefix).lower(): value for name, value in variables.items() if name not in others}
    assert set(given) <= set(_settings_of(service).model_fields)
    assert {name: file for name, file in given.items() if name.startswith("tls_")} == {
        "tls_ca": "/opt/tls/ca.crt",
        "tls_cert": "/opt/tls/public.crt",
        "tls_key": "/opt/tls/private.key",
    }
    schemes = {str(value).partition("://")[0] for name, value in given.items() if name.endswith("_url")}
    assert schemes <= {"amqps", "s3s", "rediss"}


def test_three_nodes_name_each_other_and_have_a_volume_each() -> None:
    nodes = [value for name, value in NODES_CONF.items() if ".classic_config.nodes." in name]
    assert nodes == [f"rabbit@{name}" for name in NODES]
    mounted = "./deploy/rabbitmq/nodes.conf:/opt/seamline/conf.d/nodes.conf:ro"
    assert NODES["rabbitmq"] == {"volumes": [mounted]}
    for name in ("rabbitmq-2", "rabbitmq-3"):
        assert NODES[name] == {
            "extends": {"file": "docker-compose.yml", "service": "rabbitmq"},
            "hostname": name,
            "volumes": [f"{name}:/var/lib/rabbitmq", mounted],
        }


def test_with_tls_every_further_node_has_the_certificate_of_the_first() -> None:
    assert set(NODES_TLS) == {"rabbitmq-2", "rabbitmq-3"}
    assert all(added == TLS["services"]["rabbitmq"] for added in NODES_TLS.values())


def test_videos_on_their_way_are_kept_on_a_disk_and_not_in_memory() -> None:
    folder = re.search(r"^FROM service AS dashboard$.*?TMPDIR=(\S+)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert folder
    assert f"uploads:{folder.group(1)}" in SERVICES["dashboard"]["volumes"]
    assert folder.group(1) not in SERVICES["dashboard"]["tmpfs"]
