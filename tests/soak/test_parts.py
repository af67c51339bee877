"""The parts of the soak that decide whether a run was good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import create_connection, create_server, socket, timeout

import pytest

from shared.messages import CameraReported, CameraState
from tests.messages import MOMENT, SESSION, inspected
from tests.soak.books import Archived, of_explanations, of_sessions
from tests.soak.faults import FAULTS
from tests.soak.plan import EARLY, draw
from tests.soak.proxy import Proxy
from tests.soak.report import growth
from tests.soak.watch import Resources


def _archived(*sequences: int, captured: int, dropped: int = 0) -> Archived:
    archived = Archived()
    report = CameraReported(
        session=SESSION,
        line="line-1",
        camera="camera-1",
        state=CameraState.FINISHED,
        captured=captured,
        dropped=dropped,
        waiting=0,
        frames_per_second=0,
        at=MOMENT,
    )
    for message in (report, *(inspected(number, flagged=True) for number in sequences)):
        archived.add(message)
    return archived


def test_half_an_hour_has_sixty_faults_of_all_kinds_and_the_same_ones_for_the_same_seed() -> None:
    steps = draw(1, 1800, FAULTS)
    faults = [fault for step in steps for fault, _ in step.faults]
    assert len(faults) >= 60
    assert {fault.name for fault in faults} == {fault.name for fault in FAULTS}
    assert steps == draw(1, 1800, FAULTS) != draw(2, 1800, FAULTS)
    assert all(step.at < EARLY * 1800 for step in steps for fault, _ in step.faults if fault.early)
    assert all(len({fault.target for fault, _ in step.faults}) == len(step.faults) for step in steps)


def test_a_frame_without_a_verdict_is_found() -> None:
    assert not list(of_sessions(_archived(0, 1, 2, captured=4, dropped=1), set()))
    assert not list(of_sessions(_archived(0, 2, captured=3), {inspected(1).frame.frame_id}))
    (problem,) = of_sessions(_archived(0, 2, captured=3), set())
    assert "captured 3, and 2 verdicts + 0 dropped + 0 parked = 2" in problem


def test_the_last_report_of_a_session_counts_in_whatever_order_the_segments_are_read() -> None:
    archived = _archived(0, 1, captured=2)
    (last,) = archived.reports.values()
    archived.add(last.model_copy(update={"state": CameraState.RUNNING, "waiting": 1}))
    assert not list(of_sessions(archived, set()))


def test_a_flagged_frame_without_heatmaps_is_found() -> None:
    assert list(of_explanations(_archived(0, 1, captured=2))) == ["2 flagged frames without heatmaps: no explanation"]


@pytest.mark.parametrize(("per_minute", "grows"), [(0.0, False), (0.2, False), (1.0, True)])
def test_growth_is_seen_and_peaks_are_not(per_minute: float, *, grows: bool) -> None:
    def measured(age: int) -> Resources:
        peak = 80 if age % 200 == 0 else 0
        return Resources(age, age, 100 + peak + per_minute * age / 60, 10, 20 + age % 3, 0)

    found = growth([measured(age) for age in range(0, 1500, 5)])
    assert found
    assert (found["memory"] > 0.05) is grows
    assert found["threads"] == found["descriptors"] == found["files"] == 0
    assert growth([measured(age) for age in range(0, 400, 5)]) is None


@contextmanager
def _connected(proxy: Proxy, server: socket) -> Iterator[tuple[socket, socket]]:
    with create_connection(("127.0.0.1", proxy.port), 60) as near:
        far, _ = server.accept()
        with far:
            near.settimeout(60)
            yield near, far


def test_a_mute_proxy_passes_nothing_until_it_ends_and_then_everything() -> None:
    with create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        proxy = Proxy(server.getsockname()[1])
        with _connected(proxy, server) as (near, far):
            far.settimeout(0.3)
            with proxy.mute():
                near.sendall(b"frame")
                with pytest.raises(timeout):
                    far.recv(5)
            far.settimeout(60)
            assert far.recv(5) == b"frame"


def test_a_refusing_proxy_cuts_and_serves_again() -> None:
    with create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        proxy = Proxy(server.getsockname()[1])
        with _connected(proxy, server) as (near, _), proxy.refuse():
            with suppress(ConnectionResetError):
                assert near.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                create_connection(("127.0.0.1", proxy.port), 60)
        with _connected(proxy, server) as (near, far):
            far.sendall(b"again")
            assert near.recv(5) == b"again"
