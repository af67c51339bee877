"""The estimated time of a training follows what was measured, and else a default."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest
from fakeredis import FakeRedis

from services.dashboard.datasets.service import DatasetsService
from services.dashboard.models.names import VersionNames
from services.dashboard.models.repository import ModelRepository
from services.dashboard.models.service import ModelsService
from services.dashboard.store.announcer import Announcer
from services.dashboard.store.keys import Keys
from services.dashboard.trainings.estimate import GOOD_ONLY, EstimatesService, Work, estimate
from services.dashboard.trainings.repository import TrainingRepository
from shared.contracts.dataset import LabelledImage, make_version, write_version
from shared.messages import TrainingProgressed, TrainingRequested, TrainingState
from shared.storage.filesystem import FilesystemStore
from tests.dashboards import put_model
from tests.verdicts import RECIPE

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SMALL = Work("lite0-depths", 30, 224 * 224)


def test_without_an_earlier_training_the_default_grows_with_the_work() -> None:
    assert estimate(SMALL, []).trainings == 0
    seconds = [
        estimate(work, []).seconds
        for work in (
            SMALL,
            Work("lite0-depths", 300, 224 * 224),
            Work("lite0-depths", 300, 320 * 320),
            Work("lite0-depths", 300, 320 * 320, 5),
        )
    ]
    assert seconds == sorted(set(seconds))


def test_trying_takes_its_minutes_at_most_and_only_without_epochs() -> None:
    alone = SMALL.default_seconds
    tried = [replace(SMALL, minutes=minutes).default_seconds for minutes in (0.0, 1.0, 1.5, 600.0)]
    assert tried[:2] == [alone, alone], "the recipe's image is fitted in any case"
    assert tried[2] == 90
    assert tried[2] < tried[3] < 600
    for other in (
        replace(SMALL, epochs=5),
        replace(SMALL, architecture=GOOD_ONLY),
        replace(SMALL, architecture="compact"),
    ):
        assert replace(other, minutes=600.0).default_seconds == other.default_seconds


def test_the_median_of_the_last_trainings_of_the_same_architecture_counts() -> None:
    twice, half = 2 * SMALL.default_seconds, SMALL.default_seconds / 2
    other = Work("compact", 30, 224 * 224)
    earlier = [(SMALL, twice), (other, other.default_seconds / 2), (SMALL, twice), (SMALL, half)]
    larger = Work("lite0-depths", 600, 224 * 224)
    assert estimate(larger, earlier).seconds == pytest.approx(2 * larger.default_seconds)
    assert estimate(larger, earlier).trainings == 3
    assert estimate(other, earlier).trainings == 1
    assert estimate(Work("seam-resnet", 30, 96 * 96), earlier).trainings == 4


def test_a_training_that_lay_still_for_days_is_no_measure() -> None:
    assert estimate(SMALL, [(SMALL, 1e6)]).trainings == 0


def test_a_model_of_good_images_alone_takes_as_long_as_the_earlier_ones() -> None:
    requested, measured = Work(GOOD_ONLY, 100, 224 * 224), Work(GOOD_ONLY, 100, 224 * 224, 0)
    assert requested.default_seconds == measured.default_seconds
    assert estimate(requested, [(measured, 75.0)]).seconds == pytest.approx(75.0)


def progress(training_id: str, state: TrainingState, at: datetime, version: str | None = None) -> TrainingProgressed:
    return TrainingProgressed(training_id=training_id, recipe="seam", state=state, model_version=version, at=at)


class Installation:
    """Its storage, its trainings and what estimates them."""

    def __init__(self, folder: Path) -> None:
        redis, keys = FakeRedis(decode_responses=True), Keys("test")
        self.store = FilesystemStore(folder)
        announcer = Announcer(redis, keys)
        self.trainings = TrainingRepository(redis, keys, announcer)
        models = ModelRepository(redis, keys, announcer)
        self.models = ModelsService(self.store, models, VersionNames(self.store), cast("Any", None))
        self.estimates = EstimatesService(self.trainings, self.models, DatasetsService(self.store))

    def finish(self, version: str, dataset: str, seconds: float) -> None:
        """Store a model, and the reports of its training."""
        put_model(self.store, version, dataset=dataset)
        started = progress(f"training-{version}", TrainingState.RUNNING, NOW)
        ended = progress(f"training-{version}", TrainingState.FINISHED, NOW + timedelta(seconds=seconds), version)
        self.trainings.store([started, ended])


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def test_the_model_of_a_finished_training_is_read_once(installation: Installation) -> None:
    images = [LabelledImage(name=f"{n}.png", digest="0" * 64, labels=(True,), group=f"{n}") for n in range(9)]
    version = make_version("seam", 1, ("good",), images, by="eva", source="a test")
    write_version(installation.store, version)
    installation.finish("model-1", version.reference, 61.0)
    installation.finish("model-2", "/data/seam", 61.0)
    first = installation.estimates.of(SMALL)
    assert first.trainings == 1, "the number of images in a folder of the trainer is not known"
    with patch.object(installation.store, "get", side_effect=AssertionError("it is not read again")):
        assert installation.estimates.of(SMALL) == first


@pytest.mark.parametrize("dataset", ["/data/seam", "Nähte 2026"])
def test_a_training_with_a_folder_of_the_trainer_has_no_estimate(installation: Installation, dataset: str) -> None:
    requested = TrainingRequested(
        training_id="training-1",
        recipe="seam",
        dataset=dataset,
        recipe_yaml=RECIPE,
        architecture="compact",
        by="eva",
        at=NOW,
    )
    installation.trainings.store([requested, progress("training-1", TrainingState.RUNNING, NOW)])
    assert installation.estimates.remaining("training-1") is None
