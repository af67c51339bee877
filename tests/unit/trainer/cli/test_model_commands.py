from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.trainer.cli.commands import app
from shared.messaging.sqlite import SqliteBroker
from shared.storage.filesystem import FilesystemStore
from tests.painted import BLIND_TO_BREAKS, comparable, painted_version, put
from tests.trainers import answering


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FilesystemStore:
    """A good model v1, a bad one v2, and a good one v3."""
    monkeypatch.setenv("TRAINER_STORAGE_URL", f"file:///{tmp_path}/objects")
    monkeypatch.setenv("TRAINER_BROKER_URL", f"sqlite:///{tmp_path}/broker")
    store = FilesystemStore(tmp_path / "objects")
    dataset = painted_version(store, tmp_path / "paint")
    put(store, comparable("v1", dataset), comparable("v2", dataset, BLIND_TO_BREAKS), comparable("v3", dataset))
    return store


@contextmanager
def trainer(store: FilesystemStore, folder: Path) -> Iterator[None]:
    """The trainer's loops for commands, until the end of the block."""
    broker = SqliteBroker(folder / "broker")
    with answering(store, broker):
        yield
    broker.close()


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_models_are_promoted_refused_forced_and_rolled_back_and_the_history_tells(
    store: FilesystemStore, tmp_path: Path
) -> None:
    by = ("--by", "ada")
    with trainer(store, tmp_path):
        assert "v1 is in production: nothing was in production" in run("promote", "paint", "v1", *by).stdout
        refused = run("promote", "paint", "v2", *by)
        assert refused.exit_code == 1
        assert "refused: worse than v1 in production" in refused.stderr
        assert run("promote", "paint", "v2", *by, "--force").exit_code == 1, "force needs a reason"
        assert run("promote", "paint", "v2", *by, "--force", "--reason", "for a day").exit_code == 0
        assert "v1 is in production: a rollback" in run("rollback", "paint", *by, "--reason", "missed breaks").stdout
    lines = [line[21:] for line in run("history", "paint").stdout.splitlines()]
    assert [line.partition("  ada: ")[0] for line in lines] == [
        "promoted  - -> v1",
        "refused  v1 -> v2",
        "refused  v1 -> v2",
        "promoted  forced  v1 -> v2",
        "rolled back  v2 -> v1",
    ]
    assert "recall of break is 0.000" in lines[1]
    assert "give the reason" in lines[2]
    assert "for a day; worse than v1" in lines[3]
    assert "missed breaks; a rollback is not measured" in lines[4]


def test_a_rollback_without_a_model_before_is_refused_at_once(store: FilesystemStore) -> None:
    result = run("rollback", "paint")
    assert (result.exit_code, result.stderr) == (2, "no other model of recipe 'paint' was in production before\n")


def test_two_models_are_shown_side_by_side(store: FilesystemStore) -> None:
    printed = " ".join(run("compare", "paint", "v1", "v2").stdout.split())
    assert "break 15 of 60 recall 1.000 (0.796 to 1.000) 0.000 (0.000 to 0.204)" in printed
    assert "whole 60 verdict accuracy 100.0 % (94.0 to 100.0), 60 of 60 75.0 %" in printed
    assert (
        "v2 is worse than v1: recall of break is 0.000, was 1.000 (0.796 to 1.000), with 15 more of 15 missed; cost"
        in printed
    )
    assert "v3 is no worse than v1 beyond the intervals" in " ".join(run("compare", "paint", "v1", "v3").stdout.split())


def test_models_that_cant_be_compared_are_reported_in_one_line(store: FilesystemStore) -> None:
    result = run("compare", "paint", "v1", "v9")
    assert (result.exit_code, result.stderr) == (2, "recipe 'paint' has no model v9\n")
