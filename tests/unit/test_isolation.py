"""Tests that run after each other or beside each other do not disturb each other."""

from __future__ import annotations

import logging

import structlog

from shared.logging import configure_logging
from shared.settings import ServiceSettings
from tests.isolation import logging_as_it_was
from tests.processes import PORTS, WORKERS, free_port, ports_of


def test_a_command_that_configures_logging_leaves_it_as_it_was() -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level, structlog.get_config()
    with logging_as_it_was():
        configure_logging("camera", ServiceSettings())
        assert root.handlers != before[0]
    assert (root.handlers, root.level) == before[:2]
    assert structlog.get_config()["wrapper_class"] is before[2]["wrapper_class"]


def test_no_port_is_given_twice_and_none_to_two_workers() -> None:
    assert len({free_port() for _ in range(250)}) == 250
    parts = [ports_of(worker) for worker in (None, *(f"gw{number}" for number in range(WORKERS)))]
    assert sum(map(len, parts)) == len({port for part in parts for port in part}) == len(PORTS)
