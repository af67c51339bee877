"""A server of OPC UA that ends is started again, and what it raises makes the output unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from services.gateway.outputs.opcua import server as module
from services.gateway.outputs.opcua.results import Result, Results
from services.gateway.outputs.opcua.server import OpcUaServer
from services.gateway.outputs.opcua.state_machine import Job
from services.gateway.outputs.port import LineStatus, OutputUnavailable, Signal, Trouble, signal_of_test
from services.gateway.outputs.settings import OpcUaSettings
from shared.messages import OutputTestRequested
from tests.processes import wait_until

AT = datetime(2026, 1, 31, tzinfo=UTC)
TEST = signal_of_test(OutputTestRequested(test_id="test-1", line="line-1", output="plc", by="anna", at=AT))


class Ending:
    """A vision server that ends by itself when it is served the first time, and raises for each result."""

    served = 0

    def __init__(self, *_: Any) -> None: ...

    async def serve(self, ready: Callable[[], None], end: asyncio.Event) -> None:
        type(self).served += 1
        ready()
        if self.served > 1:
            await end.wait()

    async def deliver(self, signal: Signal) -> None:
        raise ValueError(f"no {signal.id}")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpcUaServer]:
    monkeypatch.setattr(module, "VisionServer", Ending)
    monkeypatch.setattr(module, "RESTART_SECONDS", 0)
    monkeypatch.setattr(Ending, "served", 0)
    server = OpcUaServer(OpcUaSettings(type="opcua", anonymous=True), "line-1")
    yield server
    server.close()


def test_a_server_that_has_ended_while_no_signal_was_to_be_sent_is_started_again(server: OpcUaServer) -> None:
    server.check()
    assert server._thread
    server._thread.join()
    server.show(LineStatus(Trouble.NONE))
    wait_until(lambda: Ending.served == 2, 30, "the second server")
    server.check()
    assert Ending.served == 2
    server.close()
    server.show(LineStatus(Trouble.NONE))
    assert not server._thread.is_alive()


def test_what_a_server_raises_for_a_result_makes_the_output_unavailable(
    server: OpcUaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ending, "served", 1)
    with pytest.raises(OutputUnavailable, match="no test/test-1"):
        server.send([TEST])


def test_only_results_of_production_count_as_overruns() -> None:
    results = Results(10)
    for signal, overruns in ((TEST, 0), (TEST.model_copy(update={"test": False}), 1)):
        result = Result(signal, Job("job-1", AT), "v1", AT)
        results.add(result)
        results.withdraw(result)
        assert (len(results), results.overruns) == (0, overruns)
