"""The Helm chart: it lints, what it makes is valid, and it says what the code says."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.object_store.__main__ import SetupSettings
from deploy.rabbitmq.importing import ImportSettings, wanted_definitions
from shared.topology import EXPLAINER_FLAGGED, INFERENCE_FRAMES
from tests.unit.test_compose import EVERYTHING, FLOW, NODES_CONF, ROOT

CHART: Final = ROOT / "deploy" / "chart"
TOOLS: Final = ROOT / ".venv" / "charts" / "bin"
CUSTOM: Final = ("keda.sh", "rabbitmq.com")
VALUES: Final[dict[str, Any]] = {
    "tlsAuthoritySecret": "authority",
    "tracing": {"endpoint": "http://collector.monitoring:4318", "share": 0.1},
    "rabbitmq": {"tls": True, "port": 5671, "tlsSecret": "rabbitmq-tls"},
    "cameras": [
        {"line": "line-1", "name": "camera-1", "source": "rtsp://10.0.0.5/stream", "secret": "seamline-camera-1"},
        {"line": "line-1", "name": "camera-2", "source": "0", "secret": "seamline-camera-2", "node": "edge-1"},
    ],
    "gateway": {"lines": {"line-1": {"outputs": {"plc": {"type": "modbus", "host": "0.0.0.0"}}}}},
    "networkPolicies": {
        "cameraNetworks": ["10.0.0.0/24"],
        "factoryNetworks": ["10.2.0.0/24"],
        "serverNetworks": ["10.1.0.0/24"],
    },
    "dashboard": {"ingress": {"enabled": True, "tlsSecret": "quality-tls"}, "retention": "ok=7d, ng=90d"},
}
TRACING: Final = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.monitoring:4318",
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    "OTEL_TRACES_SAMPLER_ARG": "0.1",
}
CUSTOM_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "ScaledObject": {
        "scaleTargetRef": {"name"},
        "fallback": {"failureThreshold", "replicas"},
        **{name: set() for name in ("minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod")},
        "triggers": set(),
    },
    "TriggerAuthentication": {"secretTargetRef": set()},
    "RabbitmqCluster": {
        "persistence": {"storage", "storageClassName"},
        "resources": {"requests", "limits"},
        "affinity": {"podAntiAffinity"},
        "tls": {"secretName"},
        "rabbitmq": {"additionalConfig"},
        "replicas": set(),
    },
}
"""The fields of the custom resources that the chart uses; those of KEDA 2.16 and of the cluster operator 2.16."""


def helm(*arguments: str, values: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    assert (TOOLS / "helm").exists(), "helm is not unpacked here: run make chart"
    file = folder / "values.json"
    file.write_text(json.dumps(values))
    command: list[str | Path] = [TOOLS / "helm", *arguments, "--values", file]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"HOME": str(folder)})


def rendered(values: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    done = helm("template", "plant", str(CHART), values=values, folder=folder)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return rendered(VALUES, tmp_path_factory.mktemp("chart"))


def pods(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The pod of each workload, by name."""
    made = [each for each in documents if "template" in each.get("spec", {})]
    return {each["metadata"]["name"]: each["spec"]["template"] for each in made}


def containers(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [container for pod in pods(documents).values() for container in pod["spec"]["containers"]]


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


@pytest.mark.parametrize("values", [{}, VALUES], ids=["defaults", "everything"])
def test_the_chart_lints(values: dict[str, Any], tmp_path: Path) -> None:
    done = helm("lint", "--strict", str(CHART), values=values, folder=tmp_path)
    assert done.returncode == 0, done.stdout


def test_what_it_makes_is_valid_for_old_and_new_kubernetes(documents: list[dict[str, Any]], tmp_path: Path) -> None:
    own = [each for each in documents if not each["apiVersion"].startswith(CUSTOM)]
    assert len(own) > 12
    (tmp_path / "documents.json").write_text(json.dumps(own))
    script = (
        "import json, sys, kubernetes_validate as checker\n"
        "for version in ('1.28', '1.36'):\n"
        "    for document in json.load(open(sys.argv[1])):\n"
        "        checker.validate(document, version, strict=True)\n"
    )
    python = TOOLS / "python"
    done = subprocess.run(
        [python, "-c", script, tmp_path / "documents.json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_custom_resources_have_the_fields_of_their_operators_and_no_others(documents: list[dict[str, Any]]) -> None:
    custom = [each for each in documents if each["apiVersion"].startswith(CUSTOM)]
    assert sorted({each["kind"] for each in custom}) == sorted(CUSTOM_SCHEMAS)
    for each in custom:
        known = CUSTOM_SCHEMAS[each["kind"]]
        assert set(each["spec"]) <= set(known), each["kind"]
        for name, fields in known.items():
            if fields and name in each["spec"]:
                assert set(each["spec"][name]) <= fields, name


def test_a_cluster_has_the_settings_of_the_one_that_compose_runs(documents: list[dict[str, Any]]) -> None:
    (cluster,) = [each for each in documents if each["kind"] == "RabbitmqCluster"]
    given = cluster["spec"]["rabbitmq"]["additionalConfig"].splitlines()
    wanted = {f"{name} = {value}" for name, value in NODES_CONF.items() if not name.startswith("cluster_formation.")}
    assert cluster["spec"]["replicas"] == 3
    assert wanted - set(given) == set()


def test_workers_scale_by_the_length_of_their_queue(documents: list[dict[str, Any]]) -> None:
    scaled = {each["metadata"]["name"]: each["spec"] for each in documents if each["kind"] == "ScaledObject"}
    queues = {name: spec["triggers"][0]["metadata"] for name, spec in scaled.items()}
    assert {name: queue["queueName"] for name, queue in queues.items()} == {
        "plant-seamline-inference": INFERENCE_FRAMES.name,
        "plant-seamline-explainer": EXPLAINER_FLAGGED.name,
    }
    deployments = {each["metadata"]["name"]: each for each in documents if each["kind"] == "Deployment"}
    for name, spec in scaled.items():
        assert spec["scaleTargetRef"]["name"] == name
        assert "replicas" not in deployments[name]["spec"], "KEDA decides"
        assert queues[name]["vhostName"] == "seamline"


def test_every_service_runs_with_its_settings_and_no_secret_among_them(documents: list[dict[str, Any]]) -> None:
    seen = set()
    for container in containers(documents):
        if container["name"] not in FLOW:
            continue
        seen.add(container["name"])
        prefix = f"{container['name'].upper()}_"
        module = importlib.import_module(f"services.{container['name']}.settings")
        fields = getattr(module, f"{container['name'].capitalize()}Settings").model_fields
        traced = {name: value for name, value in environment(container).items() if name.startswith("OTEL_")}
        assert traced == ({} if container["name"] == "trainer" else TRACING), container["name"]
        own = set(environment(container)) - set(traced)
        names = {name.removeprefix(prefix).removesuffix("_FILE").lower() for name in own}
        assert names <= set(fields), container["name"]
        plain = {name for name in environment(container) if name.endswith(("PASSWORD", "SECRET_KEY"))}
        assert plain == set(), "secrets are files"
    assert seen == set(FLOW)


def test_the_set_up_has_every_user_and_setting(documents: list[dict[str, Any]]) -> None:
    (job,) = [each for each in documents if each["kind"] == "Job"]
    by_name = {each["name"]: environment(each) for each in job["spec"]["template"]["spec"]["containers"]}
    assert set(by_name) == {"rabbitmq", "object-store", "camera-line-1-camera-1", "camera-line-1-camera-2"}
    for name, variables in by_name.items():
        if name != "rabbitmq":
            assert {variable.lower() for variable in variables} <= set(SetupSettings.model_fields), name
    passwords = {name for name in by_name["rabbitmq"] if name.endswith("_PASSWORD") or name.startswith("CAMERA_PASS")}
    given = {name.lower() for name in set(by_name["rabbitmq"]) - passwords | {"RABBITMQ_ADMIN_PASSWORD"}}
    assert given == set(ImportSettings.model_fields)
    environment_of_job = {name: str(value) for name, value in by_name["rabbitmq"].items()}
    wanted = wanted_definitions("root", environment_of_job["CAMERAS"], environment_of_job)
    assert {user["name"] for user in wanted["users"]} == {
        *(service for service in FLOW if service != "camera"),
        "camera.line-1.camera-1",
        "camera.line-1.camera-2",
    }
    assert {each["user"] for each in wanted["permissions"]} == {user["name"] for user in wanted["users"]} | {"root"}
    assert "@" not in json.dumps({**wanted, "users": [], "exchanges": []})


def test_every_pod_has_limits_probes_and_no_rights(documents: list[dict[str, Any]]) -> None:
    for name, pod in pods(documents).items():
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True, name
    for container in containers(documents):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]) == {"requests", "limits"}
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
        if container["name"] in FLOW:
            assert {"startupProbe", "livenessProbe"} <= set(container), container["name"]


@pytest.mark.parametrize("service", FLOW)
def test_a_service_requests_more_memory_than_was_measured_and_has_the_limit_of_compose(service: str) -> None:
    page = (ROOT / "docs" / "performance.md").read_text().partition("### Memory")[2]
    row = re.search(rf"^\| {service}\b.* \| (\d+) MB \| (\S+) \| (\S+) \|$", page, re.MULTILINE)
    assert row
    measured, requested, limit = row.groups()
    resources = yaml.safe_load((CHART / "values.yaml").read_text())[service]["resources"]
    assert (resources["requests"]["memory"], resources["limits"]["memory"]) == (requested, limit)
    assert int(measured) * 1_000_000 < bytes_of(requested) < bytes_of(limit)
    composed = EVERYTHING[service]["deploy"]["resources"]["limits"]["memory"]
    assert composed == f"${{{service.upper()}_MEMORY:-{limit.removesuffix('i').lower()}}}"


def bytes_of(memory: str) -> int:
    """``256Mi`` or ``1Gi`` in bytes."""
    return int(memory[:-2]) * {"Mi": 2**20, "Gi": 2**30}[memory[-2:]]


def test_what_runs_more_than_once_may_lose_one_pod_at_a_time(documents: list[dict[str, Any]]) -> None:
    budgets = {each["metadata"]["name"]: each["spec"] for each in documents if each["kind"] == "PodDisruptionBudget"}
    deployments = {each["metadata"]["name"]: each["spec"] for each in documents if each["kind"] == "Deployment"}
    assert set(budgets) == set(deployments)
    for name, budget in budgets.items():
        assert budget["selector"] == deployments[name]["selector"]
        assert budget["maxUnavailable"] == 1


def test_policies_cover_every_pod_and_open_what_it_needs(documents: list[dict[str, Any]]) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in documents if each["kind"] == "NetworkPolicy"}
    everyone = policies["plant-seamline"]
    for name, pod in pods(documents).items():
        assert everyone["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items(), name
    assert everyone["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["ports"][0]["port"] for rule in everyone["ingress"]] == [9100]
    reached = {port["port"] for rule in everyone["egress"] for port in rule["ports"]}
    assert reached == {53, 9000, 5671, 4318}
    assert {port["port"] for rule in policies["plant-seamline-dashboard"]["egress"] for port in rule["ports"]} == {6379}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"inference": {"workers": 3}}, "workers"),
        ({"dashboard": {"replicas": 0}}, "replicas"),
        ({"rabbitmq": {"create": False}}, "rabbitmq.host: name the RabbitMQ to use"),
        ({"cameras": [{"line": "line-1", "name": "c", "source": "0"}]}, "secret"),
        ({"cameras": VALUES["cameras"]}, "networkPolicies.cameraNetworks: name the networks of the cameras"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(values: dict[str, Any], says: str, tmp_path: Path) -> None:
    done = helm("template", "plant", str(CHART), values=values, folder=tmp_path)
    assert done.returncode != 0
    assert says in done.stderr
