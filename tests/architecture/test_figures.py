"""The figures of the code stay within bounds: lower a bound when the code falls below it, and never raise one."""

from pathlib import Path

import pytest

from tests.architecture.modules import Module, helpers_used_once, longest_chain, read_imports, read_modules

ROOT = Path(__file__).parents[2]
HELPERS_USED_ONCE = 0.08
"""Share of all functions that are private helpers called once."""
LONGEST_CHAIN = 12
"""Modules in the longest chain of imports of a service, through `shared`."""
SERVICES = ("camera", "inference", "explainer", "trainer", "gateway", "dashboard")


@pytest.fixture(scope="module")
def shared() -> list[Module]:
    return read_modules(ROOT, "shared")


def test_few_private_helpers_are_used_once() -> None:
    modules = read_modules(ROOT, "shared", "services")
    once = helpers_used_once(modules, read_modules(ROOT, "tests"))
    share = len(once) / sum(len(module.functions) for module in modules)
    assert share <= HELPERS_USED_ONCE, f"{share:.1%} of all functions; inline some of these:\n" + "\n".join(once)


@pytest.mark.parametrize("service", SERVICES)
def test_no_chain_of_imports_is_long(service: str, shared: list[Module]) -> None:
    chain = longest_chain(read_imports([*read_modules(ROOT, f"services/{service}"), *shared], lazy=True))
    assert len(chain) <= LONGEST_CHAIN, "\n".join(chain)
