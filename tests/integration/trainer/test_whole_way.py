"""From a call of the API to the verdict on the line: dashboard, trainer and a worker, on RabbitMQ, Redis and S3."""

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.dashboard.settings import DashboardSettings
from shared.contracts.bundle import read_bundle, write_bundle
from shared.datasets.importing import import_dataset
from shared.datasets.reading import read_dataset
from shared.messaging.port import Broker
from shared.storage.opening import open_store
from shared.storage.port import ObjectStore
from tests.broker_address import BrokerAddress
from tests.conftest import Bucket
from tests.dashboards import open_dashboard, publish, server_settings, soon
from tests.models import captured, painted
from tests.processes import ChildServer
from tests.strokes import STROKES, draw_strokes

pytestmark = pytest.mark.timeout(1500)
SECONDS = 400.0
IMAGES = 240
"""A fifth of them are tested: enough for the gate, which wants ten with each label and ten without."""
OPTIONS: dict[str, Any] = {
    "epochs": 6,
    "batch_size": 16,
    "shares": {"train": 0.6, "valid": 0.2, "test": 0.2},
    "variants": ["fp32"],
}


class Plant:
    """Services as processes, and the API of a dashboard in front of them."""

    def __init__(
        self, folder: Path, environment: dict[str, str], client: httpx.Client, broker: Broker, store: ObjectStore
    ) -> None:
        self.client = client
        self.store = store
        self._folder = folder
        self._environment = environment
        self._broker = broker
        self._logs = count()
        self._frames = count()
        self.running: list[ChildServer] = []

    def start(self, service: str) -> ChildServer:
        log = self._folder / f"{service}-{next(self._logs)}.log"
        command: list[str | Path] = [sys.executable, "-m", f"services.{service}"]
        process = ChildServer(command, log, lambda: True, self._environment)
        process.start()
        self.running.append(process)
        return process

    def said(self, service: str) -> str:
        """The log of a service."""
        return "".join(log.read_text() for log in sorted(self._folder.glob(f"{service}-*.log")))

    def get(self, path: str) -> Any:
        return self.client.get(f"/api/{path}").json()

    def post(self, path: str, **body: object) -> Any:
        answer = self.client.post(f"/api/{path}", json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def order(self, **changes: object) -> str:
        order = {"recipe": "strokes", "recipe_yaml": STROKES, "dataset": "strokes", "options": OPTIONS, **changes}
        return str(self.post("trainings", architecture="compact", **order)["training_id"])

    def epochs(self, training_id: str) -> list[dict[str, Any]]:
        """What was told of each epoch so far."""
        told: list[dict[str, Any]] = self.get(f"trainings/{training_id}/history")["epochs"]
        return told

    def finished(self, training_id: str) -> dict[str, Any]:
        soon(lambda: self.get(f"trainings/{training_id}")["state"] in ("finished", "failed"), "it to end", SECONDS)
        training: dict[str, Any] = self.get(f"trainings/{training_id}")
        assert training["state"] == "finished", training["reason"]
        return training

    def decided(self, promotion: dict[str, Any]) -> dict[str, Any]:
        """A promotion, once the trainer has answered."""

        def found() -> dict[str, Any]:
            promotions: list[dict[str, Any]] = self.get("models/strokes/promotions")["promotions"]
            return next(each for each in promotions if each["promotion_id"] == promotion["promotion_id"])

        soon(lambda: found()["state"] != "requested", "the trainer to answer", SECONDS)
        return found()

    def judges_with(self, version: str) -> None:
        """Frames are judged by a version, soon."""

        def verdict_of_next() -> bool:
            frame = captured(next(self._frames), painted("black"))
            publish(self._broker, frame)
            soon(lambda: "model_version" in self.get(f"frames/{frame.frame.frame_id}"), "a verdict", SECONDS)
            return bool(self.get(f"frames/{frame.frame.frame_id}")["model_version"] == version)

        soon(verdict_of_next, f"verdicts of {version}", SECONDS)


@pytest.fixture
def plant(tmp_path: Path, rabbitmq: BrokerAddress, redis_url: str, s3: Bucket) -> Iterator[Plant]:
    settings: DashboardSettings = server_settings(tmp_path, rabbitmq, redis_url, s3)
    store = open_store(settings)
    put_dataset(store, tmp_path / "strokes")
    storage = {"URL": s3.url, "ACCESS_KEY": s3.access_key, "SECRET_KEY": s3.secret_key}
    environment = {
        "TF_NUM_INTRAOP_THREADS": "1",
        "TRAINER_WORK_FOLDER": str(tmp_path / "work"),
        "TRAINER_NAME": "trainer-1",
        "INFERENCE_RECIPE": "strokes",
        "INFERENCE_BATCH": "4",
    }
    for prefix in ("TRAINER_", "INFERENCE_"):
        environment |= rabbitmq.environment(prefix)
        environment |= {f"{prefix}STORAGE_{name}": value for name, value in storage.items()}
    broker = rabbitmq.open()
    with open_dashboard(settings, broker) as client:
        plant = Plant(tmp_path, environment, client, broker, store)
        yield plant
        for process in plant.running:
            process.remove()
    broker.close()


def put_dataset(store: ObjectStore, folder: Path) -> None:
    dataset = read_dataset(draw_strokes(folder, IMAGES), ("good", "dark", "bright"))
    import_dataset(dataset, store, "strokes", by="ada", source="a test")


def put_again(store: ObjectStore, version: str, other: str) -> None:
    """The same model under another name: what the gate lets pass for sure, without the minutes of a training."""
    bundle = read_bundle(store, "strokes", version)
    write_bundle(store, bundle.manifest.model_copy(update={"version": other}), bundle.files)


def test_a_model_is_trained_promoted_and_rolled_back_by_api_and_the_line_judges_with_it(plant: Plant) -> None:
    """The trainer is killed in the middle, and the training goes on where it was."""
    trainer = plant.start("trainer")
    plant.start("inference")

    first = plant.order(promote=True)
    soon(lambda: plant.get(f"trainings/{first}")["epoch"] >= 2, "its second epoch", SECONDS)
    done = plant.epochs(first)
    trainer.kill()
    trainer.start()
    trained = plant.finished(first)
    assert "continuing after epoch" in plant.said("trainer"), "it started anew"
    epochs = plant.epochs(first)
    assert epochs[: len(done)] == done
    assert len(epochs) == OPTIONS["epochs"]
    reference = plant.get("datasets/strokes")["versions"][0]["reference"]
    assert trained["evaluation"]["dataset"] == reference
    assert plant.get(f"models/strokes/versions/{trained['model_version']}")["dataset"] == reference
    soon(lambda: plant.get(f"trainings/{first}")["promotion"], "its promotion", SECONDS)
    assert plant.get(f"trainings/{first}")["promotion"]["gate"] == "nothing was in production to compare it with"
    plant.judges_with(trained["model_version"])

    versions = trained["model_version"], "another"
    put_again(plant.store, *versions)
    promoted = plant.decided(plant.post("models/strokes/another/promotion", reason="to see it swapped"))
    assert promoted["state"] == "promoted", promoted
    assert versions[0] in promoted["gate"], "it was measured beside the first"
    plant.judges_with("another")

    compared = plant.get(f"models/strokes/comparisons/{versions[0]}/{versions[1]}")["comparison"]
    assert compared["dataset"] == reference
    assert set(compared["baseline"]["evaluation"]["labels"]) == {"good", "dark", "bright"}

    assert plant.decided(plant.post("models/strokes/rollback", reason="too slow"))["rollback"]
    plant.judges_with(versions[0])

    asked = plant.post(f"models/strokes/{versions[0]}/thresholds", thresholds={"dark": 0.9}, reason="dark threads")

    def told() -> dict[str, Any]:
        sets: list[dict[str, Any]] = plant.get("models/strokes/thresholds")["threshold_sets"]
        return next(each for each in sets if each["thresholds_id"] == asked["thresholds_id"])

    soon(lambda: told()["state"] == "saved", "the thresholds to be saved", SECONDS)
    derived = plant.get(f"models/strokes/versions/{told()['model_version']}")
    assert (derived["derived_from"], derived["author"], derived["reason"]) == (versions[0], "local", "dark threads")
    assert {label["name"]: label["threshold"] for label in derived["labels"]}["dark"] == 0.9

    history = plant.get("models/strokes/history")["history"]
    assert [(entry["outcome"], entry["version"]) for entry in history] == [
        ("rolled back", versions[0]),
        ("promoted", versions[1]),
        ("promoted", versions[0]),
    ]
