"""The trainer as it runs: a process, a broker, object storage, and a network that is really trained."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.trainer.datasets.versions import find_version
from shared.datasets.importing import import_dataset
from shared.datasets.reading import read_dataset
from shared.messages import (
    Message,
    ModelPromoted,
    ModelTrained,
    TrainingProgressed,
    TrainingRequested,
    TrainingState,
    decode,
)
from shared.messaging.port import Broker
from shared.storage.filesystem import FilesystemStore
from shared.storage.port import ObjectStore
from shared.topology import DASHBOARD_MODELS
from tests.broker_address import BrokerAddress
from tests.processes import wait_until
from tests.strokes import STROKES, draw_strokes

pytestmark = pytest.mark.timeout(1500)
SECONDS = 400.0
OPTIONS = {"batch_size": 16, "variants": ["fp32"], "shares": {"train": 0.6, "valid": 0.2, "test": 0.2}}


class Line:
    """A trainer that can be started and killed, its broker and its storage."""

    def __init__(self, folder: Path, address: BrokerAddress, store: ObjectStore, storage: Mapping[str, str]) -> None:
        self.store = store
        self.work_folder = folder / "work"
        self._folder = folder
        self._environment = {
            **os.environ,
            **address.environment("TRAINER_"),
            **storage,
            "TRAINER_WORK_FOLDER": str(self.work_folder),
            "TRAINER_NAME": "trainer-1",
            "TF_NUM_INTRAOP_THREADS": "1",
        }
        self._broker: Broker = address.open()
        self._publisher = self._broker.publisher()
        self._happened = self._broker.subscribe(DASHBOARD_MODELS, 100)
        self._heard: list[Message] = []
        self._trainer: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "trainer.log").open("ab") as log:
            self._trainer = subprocess.Popen(
                [sys.executable, "-m", "services.trainer"], env=self._environment, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """As a power failure does."""
        assert self._trainer
        self._trainer.kill()
        self._trainer.wait(60)

    def ask(self, message: Message) -> None:
        self._publisher.publish(message).result(60)

    def hear(self, wanted: Callable[[Message], bool]) -> Message:
        """The first message of that kind, of those that come and of those that came."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for message in self._heard:
                if wanted(message):
                    return message
            deliveries = self._happened.receive(100, 0.2)
            self._heard += [decode(delivery.body) for delivery in deliveries]
            self._happened.acknowledge(deliveries)
        raise AssertionError(f"heard {self._heard}; {(self._folder / 'trainer.log').read_text()[-2000:]}")

    @property
    def epochs(self) -> list[int]:
        return [told.epoch for told in self._heard if isinstance(told, TrainingProgressed) and told.epoch]

    def close(self) -> None:
        if self._trainer and self._trainer.poll() is None:
            self._trainer.send_signal(signal.SIGTERM)
            assert self._trainer.wait(200) == 0
        self._broker.close()


def request(epochs: int, **changes: object) -> TrainingRequested:
    return TrainingRequested.model_validate(
        {
            "training_id": "training-1",
            "recipe": "strokes",
            "recipe_yaml": STROKES,
            "dataset": "datasets/strokes",
            "architecture": "compact",
            "options": {
                "epochs": epochs,
                "batch_size": 16,
                "variants": ["fp32"],
                "shares": {"train": 0.6, "valid": 0.2, "test": 0.2},
            },
            "promote": True,
            "by": "ada",
            "at": datetime.now(UTC),
            **changes,
        }
    )


def put_dataset(store: ObjectStore, folder: Path) -> None:
    import_dataset(read_dataset(draw_strokes(folder, 80)), store, "strokes", by="ada", source="a test")


@pytest.fixture
def embedded(tmp_path: Path, sqlite: BrokerAddress) -> Iterator[Line]:
    store = FilesystemStore(tmp_path / "objects")
    put_dataset(store, tmp_path / "strokes")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "fruit-convnet.h5").touch()
    folders = {"STORAGE_URL": f"file:///{tmp_path}/objects", "WEIGHTS_FOLDER": str(tmp_path / "weights")}
    line = Line(tmp_path, sqlite, store, {f"TRAINER_{name}": folder for name, folder in folders.items()})
    yield line
    line.close()


def ended(message: Message) -> bool:
    return isinstance(message, TrainingProgressed) and message.state in (TrainingState.FINISHED, TrainingState.FAILED)


def test_a_training_killed_in_the_middle_goes_on_from_its_checkpoint_and_ones_that_cannot_be_done_say_so(
    embedded: Line, tmp_path: Path
) -> None:
    embedded.start()
    embedded.ask(request(epochs=6))
    embedded.hear(lambda message: isinstance(message, TrainingProgressed) and message.epoch == 2)
    embedded.kill()
    begun_with = find_version(embedded.store, "strokes").reference
    fewer = read_dataset(draw_strokes(tmp_path / "fewer", 20))
    import_dataset(fewer, embedded.store, "strokes", by="eva", source="a test")
    killed_after = len(embedded.epochs)
    embedded.start()
    embedded.hear(lambda message: isinstance(message, ModelPromoted))
    assert embedded.epochs[:killed_after] == list(range(1, killed_after + 1))
    assert embedded.epochs[killed_after] > 1, "it began anew"
    assert embedded.epochs[-1] == 6
    trained = embedded.hear(lambda message: isinstance(message, ModelTrained))
    assert isinstance(trained, ModelTrained)
    assert trained.evaluation["dataset"] == begun_with

    embedded.ask(request(epochs=1, dataset="datasets/none", training_id="training-2"))
    told = embedded.hear(lambda message: getattr(message, "training_id", "") == "training-2" and ended(message))
    assert isinstance(told, TrainingProgressed)
    assert told.reason.startswith("there is no dataset 'none' in object storage")

    embedded.ask(request(epochs=1, architecture="fruit-convnet", dataset=begun_with, training_id="training-3"))
    told = embedded.hear(lambda message: getattr(message, "training_id", "") == "training-3" and ended(message))
    assert isinstance(told, TrainingProgressed)
    assert told.reason.startswith("fruit-convnet starts from random weights: give no file of weights"), (
        "they are in the folder"
    )

    wait_until(
        lambda: {path.name for path in embedded.work_folder.iterdir()} == {"identities"},
        60,
        "nothing of a training that has ended to stay",
    )
