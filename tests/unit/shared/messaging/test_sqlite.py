"""The file of the embedded broker, and its errors."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from shared.messaging.port import MessagingError
from shared.messaging.sqlite import FILE, SqliteBroker
from shared.topology import INFERENCE_FRAMES, PROMOTIONS
from tests.messages import captured


def test_a_damaged_file_is_reported_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database, but long enough to be taken for one" * 100)
    with pytest.raises(
        MessagingError, match=r"messages\.sqlite is damaged .*: move it away to start with empty queues"
    ):
        SqliteBroker(tmp_path)


def test_a_file_of_another_layout_is_left_alone(tmp_path: Path) -> None:
    SqliteBroker(tmp_path).close()
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    with pytest.raises(MessagingError, match="made by another version of Seamline"):
        SqliteBroker(tmp_path)


def test_a_folder_that_cant_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MessagingError, match="can't be used: Not a directory"):
        SqliteBroker(tmp_path / "file" / "broker")


def test_a_file_that_cant_be_opened_is_reported(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(MessagingError, match="can this user write the file and its folder"):
        SqliteBroker(tmp_path)


def test_messages_are_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    broker = SqliteBroker(tmp_path)
    broker.publisher().publish(captured(1)).result(timeout=60)
    broker.close()
    again = SqliteBroker(tmp_path)
    assert again.depth("inference.frames").ready == 1
    again.close()


def test_only_the_file_is_left_after_the_last_reader(tmp_path: Path) -> None:
    broker = SqliteBroker(tmp_path)
    broker.subscribe(INFERENCE_FRAMES, prefetch=1).receive(1, 0)
    broker.subscribe(PROMOTIONS, prefetch=1).receive(1, 0)
    broker.close()
    assert {path.name for path in tmp_path.iterdir()} <= {FILE, "messages.lock", "messages.reserve", "messages.turns"}
    connection = sqlite3.connect(tmp_path / FILE)
    assert connection.execute("SELECT count(*) FROM reader").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM queue WHERE owner IS NOT NULL").fetchone() == (0,)
    connection.close()


def test_a_body_goes_with_its_message(tmp_path: Path) -> None:
    broker = SqliteBroker(tmp_path)
    broker.publisher().publish(captured(1)).result(timeout=60)
    subscription = broker.subscribe(INFERENCE_FRAMES, prefetch=1)
    subscription.acknowledge(subscription.receive(1, 60))
    broker.close()
    connection = sqlite3.connect(tmp_path / FILE)
    assert connection.execute("SELECT count(*) FROM body").fetchone() == (0,)
    connection.close()


WRITES = """
import sys
from pathlib import Path
from shared.messaging.sqlite.schema import connect, writing
with writing(connect(Path(sys.argv[1]), durable=False)):
    print("writes", flush=True)
    input()
"""


def test_a_writer_that_is_killed_in_its_transaction_holds_up_no_other(tmp_path: Path) -> None:
    broker = SqliteBroker(tmp_path)
    command = [sys.executable, "-c", WRITES, str(tmp_path / FILE)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=Path(__file__).parents[4], stdin=pipe, stdout=pipe, text=True) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "writes\n"
        confirmed = broker.publisher().publish(captured(1))
        assert not confirmed.done()
        writer.kill()
    confirmed.result(timeout=60)
    broker.close()
