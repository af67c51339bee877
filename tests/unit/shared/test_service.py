"""How a service starts and ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shared.contracts.bundle import BundleError
from shared.messaging.port import Broker, BrokerRefusedLogin, BrokerUnavailable, MessagingError
from shared.messaging.sqlite import SqliteBroker
from shared.recipe import RecipeError
from shared.service import await_broker, run_service
from shared.settings import ServiceSettings
from shared.storage.port import StorageRefusedLogin, StorageUnavailable


@pytest.fixture(autouse=True)
def _signals_as_they_were() -> object:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("kind", [MessagingError, StorageRefusedLogin, RecipeError, BundleError])
def test_an_error_of_the_settings_is_one_line_and_exit_code_2(
    kind: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    def main(_stop: threading.Event) -> None:
        raise kind("the queue is\nnot there: make it")

    with pytest.raises(SystemExit) as ended:
        run_service(main)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "the queue is not there: make it\n"


def test_a_defect_keeps_its_traceback() -> None:
    def main(_stop: threading.Event) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_service(main)


STOPPED_TWICE = """
import os, sys
from shared.shutdown import stop_on_signal
stop, number = stop_on_signal(), int(sys.argv[1])
os.kill(os.getpid(), number)
print("told to stop:", stop.wait(100), flush=True)
os.kill(os.getpid(), number)
stop.clear()
stop.wait(100)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_event_and_the_second_one_ends_the_process(number: signal.Signals) -> None:
    told = subprocess.run(
        [sys.executable, "-c", STOPPED_TWICE, str(int(number))],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (told.stdout, told.returncode) == ("told to stop: True\n", -number)


def test_an_absent_broker_is_waited_for(tmp_path: Path) -> None:
    tries: list[int] = []

    def connect(_settings: ServiceSettings) -> Broker:
        tries.append(len(tries))
        if len(tries) < 3:
            raise BrokerUnavailable("not yet")
        return SqliteBroker(tmp_path)

    broker = await_broker(ServiceSettings(), threading.Event(), connect)
    assert isinstance(broker, SqliteBroker)
    broker.close()
    assert len(tries) == 3


def test_a_service_that_waits_for_its_broker_can_be_stopped() -> None:
    stop = threading.Event()

    def connect(_settings: ServiceSettings) -> Broker:
        stop.set()
        raise BrokerUnavailable("not yet")

    with pytest.raises(SystemExit) as ended:
        await_broker(ServiceSettings(), stop, connect)
    assert ended.value.code == 0


def test_a_refused_login_is_not_waited_for() -> None:
    def connect(_settings: ServiceSettings) -> Broker:
        raise BrokerRefusedLogin("check both")

    with pytest.raises(BrokerRefusedLogin):
        await_broker(ServiceSettings(), threading.Event(), connect)


def test_a_passing_error_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    def main(_stop: threading.Event) -> None:
        raise StorageUnavailable("the storage went away")

    with pytest.raises(SystemExit) as ended:
        run_service(main)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "the storage went away\n"
