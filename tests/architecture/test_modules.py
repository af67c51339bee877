"""The figures are measured on a small tree whose figures are known."""

from pathlib import Path
from textwrap import dedent

import pytest

from tests.architecture.modules import (
    Module,
    cycles,
    helpers_used_once,
    length,
    longest_chain,
    read_imports,
    read_modules,
    sibling_cycles,
)


def _modules(folder: Path, texts: dict[str, str]) -> list[Module]:
    """Write the modules of these names and texts into `folder` and read them."""
    for name, text in texts.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return read_modules(folder, ".")


def test_a_function_is_measured_without_its_docstring_and_decorators(tmp_path: Path) -> None:
    text = '''\
        @decorated
        def shown():
            """Say
            something.
            """
            return 1
    '''
    [module] = _modules(tmp_path, {"a": text})
    assert [length(function) for function, _ in module.functions] == [2]


@pytest.mark.parametrize(
    ("text", "once"),
    [
        ("def _f(): pass\n_f()", ["_f"]),
        ("def _f(): pass", []),
        ("def _f(): pass\n_f()\n_f()", []),
        ("def _f(): _f()\n_f()", []),
        ("def _f(): pass\nThread(target=_f)", []),
        ("def _f(): pass\ng = lambda: _f()", ["_f"]),
        ("def f(): pass\nf()", []),
        ("class A:\n def __len__(self): pass\n def f(self): self.__len__()", []),
        ("class A:\n def _m(self): pass\n def f(self): self._m()", ["A._m"]),
        ("class A:\n def _m(self): pass\n def f(self): self._m()\ndef g(a): a._m()", []),
        (
            "class A:\n def _m(self): pass\n def f(self): self._m()\n"
            "class B:\n def _m(self): pass\n def f(self): self._m(), self._m()",
            ["A._m"],
        ),
    ],
)
def test_a_helper_used_once_is_private_and_could_be_inlined(tmp_path: Path, text: str, once: list[str]) -> None:
    modules = _modules(tmp_path, {"a": text})
    assert [line.split()[1] for line in helpers_used_once(modules, [])] == once


def test_a_helper_that_a_test_or_another_module_uses_does_not_count(tmp_path: Path) -> None:
    a, b, c = _modules(
        tmp_path,
        {
            "a": "def _f(): pass\n_f()\nclass A:\n def _m(self): pass\n def f(self): self._m()",
            "b": "from a import _f",
            "c": "class C:\n def f(self): self._m = 1",
        },
    )
    assert [line.split()[1] for line in helpers_used_once([a, c], [])] == ["_f", "A._m"]
    assert [line.split()[1] for line in helpers_used_once([a, c], [b])] == ["A._m"]
    assert [line.split()[1] for line in helpers_used_once([a, b, c], [])] == ["A._m"]


def test_imports_are_read_and_those_of_the_type_checker_left_out(tmp_path: Path) -> None:
    modules = _modules(
        tmp_path,
        {
            "p/__init__": "",
            "p/a": "import p.b\nif TYPE_CHECKING:\n from p import c\nelse:\n import p.d",
            "p/b": "from . import c\nimport json",
            "p/c": "def f():\n from p.d import x",
            "p/d": "",
        },
    )
    imports = read_imports(modules, lazy=True)
    assert imports == {"p": set(), "p.a": {"p.b", "p.d"}, "p.b": {"p.c"}, "p.c": {"p.d"}, "p.d": set()}
    assert read_imports(modules, lazy=False)["p.c"] == set()


def test_cycles_are_found_between_modules_and_between_packages() -> None:
    imports = {"p.a.x": {"p.b.x"}, "p.b.x": set(), "p.b.y": {"p.a.y"}, "p.a.y": {"p.a.z"}, "p.a.z": {"p.a.y"}}
    assert cycles(imports) == [["p.a.y", "p.a.z"]]
    assert sibling_cycles(imports) == [["p.a", "p.b"], ["p.a.y", "p.a.z"]]


def test_the_longest_chain_counts_a_cycle_as_one_module() -> None:
    imports = {"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": {"e"}, "e": {"d", "f"}, "f": set()}
    assert longest_chain(imports) == ["a", "b", "d+e", "f"]
    assert longest_chain({}) == []
