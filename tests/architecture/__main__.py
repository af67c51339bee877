"""Print the figures of the code in `shared` and `services`: python -m tests.architecture [--names] [ROOT]."""

import argparse
import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.architecture.modules import (
    Function,
    Imports,
    Module,
    cycles,
    helpers_used_once,
    length,
    longest_chain,
    read_imports,
    read_modules,
    sibling_cycles,
)

# Modules of these names stand in several packages on purpose.
SAME_ROOMS = {
    *("__init__", "__main__", "settings", "handler", "errors", "metrics", "port"),
    *("endpoints", "pages", "schemas", "service", "repository"),
}


def figures(modules: list[Module], shared: list[Module], tests: list[Module]) -> dict[str, str]:
    """Return each figure of `modules` under its name; `shared` are modules that they import and that do not count."""
    functions = [function for module in modules for function, _ in module.functions]
    lengths = sorted(length(function) for function in functions)
    once = helpers_used_once(modules, tests)
    imports = read_imports(modules, lazy=True)
    with_shared = read_imports([*modules, *shared], lazy=True)
    return {
        "modules": str(len(modules)),
        "lines": str(sum(module.lines for module in modules)),
        "functions": str(len(functions)),
        "lines of a function, median / p90": f"{statistics.median(lengths):.0f} / {lengths[len(lengths) * 9 // 10]}",
        "private helpers called once": f"{len(once)} ({len(once) / len(functions):.1%})",
        "longest chain of imports": str(len(longest_chain(imports))),
        "longest chain of imports, through shared": str(len(longest_chain(with_shared))),
        "imports inside functions only": str(_count(imports) - _count(read_imports(modules, lazy=False))),
        "import cycles of modules": _sizes(cycles(imports)),
        "import cycles of siblings in a package": _sizes(sibling_cycles(imports)),
        "module names that occur twice": str(len(repeated_modules(modules))),
        "class names that occur twice": str(len(repeated_classes(modules))),
        "modules with a docstring": _documented([module.tree for module in modules]),
        "classes with a docstring": _documented([cls for module in modules for cls in module.classes]),
        "functions with a docstring": _documented(functions),
    }


def repeated_modules(modules: list[Module]) -> list[str]:
    """Return the module names that occur twice, without the rooms that each package may have."""
    return _repeated(module.base_name for module in modules if module.base_name not in SAME_ROOMS)


def repeated_classes(modules: list[Module]) -> list[str]:
    return _repeated(cls.name for module in modules for cls in module.classes)


def _repeated(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _count(imports: Imports) -> int:
    return sum(map(len, imports.values()))


def _sizes(found: list[list[str]]) -> str:
    return f"{len(found)} (of {', '.join(str(len(cycle)) for cycle in found)})" if found else "0"


def _documented(nodes: Sequence[Function | ast.ClassDef | ast.Module]) -> str:
    return f"{sum(ast.get_docstring(node) is not None for node in nodes) / len(nodes):.0%}"


def table(root: Path) -> str:
    """Return the figures of `shared`, of each service and of all together as a Markdown table."""
    tests, shared = read_modules(root, "tests"), read_modules(root, "shared")
    columns = {"shared": figures(shared, [], tests)}
    for service in sorted(path.parent for path in (root / "services").glob("*/__init__.py")):
        columns[service.name] = figures(read_modules(root, f"services/{service.name}"), shared, tests)
    columns["total"] = figures(read_modules(root, "shared", "services"), [], tests)
    rows = [["", *columns], ["---", *["---:"] * len(columns)]]
    rows += [[name, *(column[name] for column in columns.values())] for name in columns["total"]]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def names(root: Path) -> str:
    """Return the names behind the figures of all modules, a paragraph for each."""
    modules = read_modules(root, "shared", "services")
    imports = read_imports(modules, lazy=True)
    found = {
        "Private helpers called once": helpers_used_once(modules, read_modules(root, "tests")),
        "Longest chain of imports": longest_chain(imports),
        "Import cycles of modules": [" ".join(cycle) for cycle in cycles(imports)],
        "Import cycles of siblings in a package": [" ".join(cycle) for cycle in sibling_cycles(imports)],
        "Module names that occur twice": repeated_modules(modules),
        "Class names that occur twice": repeated_classes(modules),
    }
    return "".join("\n".join([f"\n{title}:", *lines, ""]) for title, lines in found.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.architecture", description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=Path(), help="the checkout to measure")
    parser.add_argument("--names", action="store_true", help="list the names behind the figures as well")
    arguments = parser.parse_args()
    sys.stdout.write(table(arguments.root))
    if arguments.names:
        sys.stdout.write(names(arguments.root))
