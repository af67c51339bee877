"""When a service is well."""

from shared.observability import Health


class Clock:
    """A clock that is set by hand, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_service_is_well_while_each_of_its_loops_turns() -> None:
    clock = Clock()
    health = Health(silence_seconds=10, clock=clock)
    beside = health.beside()
    clock.now = 9
    health.beat()
    assert health.well
    clock.now = 11
    assert not health.well, "the loop beside has stood for 11 seconds"
    beside.beat()
    assert health.well
    clock.now = 20
    beside.beat()
    assert not health.well, "the main loop has stood for 11 seconds"
