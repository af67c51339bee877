"""Of several processes, one does each piece of work: claims that race, lapse, and belong to processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from shared.claims import Claims, Identity
from shared.errors import CannotStart
from shared.storage.filesystem import FilesystemStore

TRAINERS = 8


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path)


class Together(FilesystemStore):
    """Lets all readers of the claims see the same state before one of them goes on."""

    def __init__(self, folder: Path, barrier: Barrier) -> None:
        super().__init__(folder)
        self._barrier = barrier

    def create(self, key: str, content: bytes, content_type: str = "") -> bool:
        self._barrier.wait(60)
        return super().create(key, content, content_type)


def test_of_trainers_that_take_the_same_work_at_the_same_moment_one_gets_it(tmp_path: Path) -> None:
    barrier = Barrier(TRAINERS)
    claims = [Claims(Together(tmp_path, barrier), "trainings", f"trainer-{n}", 60) for n in range(TRAINERS)]
    with ThreadPoolExecutor(TRAINERS) as threads:
        for _ in range(5):
            taken = list(threads.map(lambda one: one.take("work"), claims))
            assert sum(claim is not None for claim in taken) == 1
            holder = claims[next(n for n, claim in enumerate(taken) if claim)]
            barrier.reset()
            holder._store = FilesystemStore(tmp_path)
            holder.drop("work")
            holder._store = Together(tmp_path, barrier)


def test_a_claim_lapses_by_the_clock_of_the_waiting_trainer(store: FilesystemStore) -> None:
    """A clock of another host that is days ahead or behind takes no claim from a trainer that renews it."""
    now = [0.0]
    ours = Claims(store, "trainings", "ours", 60)
    theirs = Claims(store, "trainings", "theirs", 60, clock=lambda: now[0])
    claim = ours.take("work")
    assert claim
    for now[0] in (0.0, 59.0):
        assert theirs.take("work") is None
    assert ours.renew("work", claim)
    for now[0] in (61.0, 119.0):
        assert theirs.take("work") is None, "it was renewed"
    now[0] = 122.0
    assert theirs.take("work")
    assert not ours.renew("work", claim)


def test_a_trainer_that_stood_still_while_the_claim_went_on_does_not_get_it(store: FilesystemStore) -> None:
    late = Claims(store, "trainings", "late", 60)
    number, newest = late._newest("work")
    assert newest is None
    busy = Claims(store, "trainings", "busy", 60)
    claim = busy.take("work")
    assert claim
    for _ in range(3):
        assert busy.renew("work", claim)
    assert not late._append("work", number, late._claim(1))
    assert busy.renew("work", claim)


def test_the_chain_of_claims_stays_short(store: FilesystemStore) -> None:
    claims = Claims(store, "trainings", "ours", 60)
    claim = claims.take("work")
    assert claim
    for _ in range(20):
        assert claims.renew("work", claim)
    assert len(list(store.keys("trainings/work/"))) == 1


@pytest.fixture
def other_process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A trainer's identity in another process of this host, with the same name and work folder."""
    code = (
        "from pathlib import Path; from shared.claims import Identity; import sys\n"
        "identity = Identity('host', Path(sys.argv[1])); print(identity.holder, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait(60)


def test_two_trainers_of_one_host_are_two_and_a_restarted_one_is_the_same(
    tmp_path: Path, other_process: subprocess.Popen[str]
) -> None:
    assert other_process.stdout
    theirs = other_process.stdout.readline().strip()
    ours = Identity("host", tmp_path)
    assert ours.holder != theirs
    assert Identity("host", tmp_path / "elsewhere").holder not in (ours.holder, theirs)
    other_process.kill()
    other_process.wait(60)
    assert Identity("host", tmp_path).holder == theirs, "killed, and started again"


def test_an_unwritable_work_folder_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotStart, match="TRAINER_WORK_FOLDER"):
        Identity("host", tmp_path / "file")
