"""Read the modules of a checkout: their functions, classes and imports."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A Python file of a checkout."""

    name: str
    is_package: bool
    lines: int
    tree: ast.Module

    @property
    def base_name(self) -> str:
        return "__init__" if self.is_package else self.name.rpartition(".")[2]

    @cached_property
    def functions(self) -> list[tuple[Function, str | None]]:
        """Return each function, with the name of its class if it is a method."""
        return [(node, owner) for node, owner in walk(self.tree) if isinstance(node, Function)]

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)]


def read_modules(root: Path, *folders: str) -> list[Module]:
    """Return the modules in `folders` of the checkout `root`."""
    modules = []
    for path in sorted(path for folder in folders for path in (root / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules.append(Module(name, is_package, len(text.splitlines()), ast.parse(text)))
    return modules


def walk(node: ast.AST, owner: str | None = None) -> Iterator[tuple[ast.AST, str | None]]:
    """Yield each node below `node`, with the name of the class around it."""
    for child in ast.iter_child_nodes(node):
        yield child, owner
        yield from walk(child, child.name if isinstance(child, ast.ClassDef) else owner)


def length(function: Function) -> int:
    """Return the number of lines of `function` without its decorators and its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def helpers_used_once(modules: list[Module], tests: list[Module]) -> list[str]:
    """Return the private functions that their own module calls once and that no other module and no test uses.

    A call through `self` or `cls` uses the method of its own class, if another class of the module has a method of
    the same name. Functions that are passed as values, such as callbacks and the targets of threads, and functions
    that call themselves are left out: they can't be inlined.
    """
    used_elsewhere: dict[str, set[str]] = {}
    for module in [*modules, *tests]:
        for name in _foreign_uses(module):
            used_elsewhere.setdefault(name, set()).add(module.name)
    once = []
    for module in modules:
        uses = list(_uses(module.tree))
        for function, owner in module.functions:
            name = function.name
            if not name.startswith("_") or name.endswith("__") or used_elsewhere.get(name, set()) - {module.name}:
                continue
            others = {other for same, other in module.functions if same.name == name} - {owner, None}
            found = [use for use in uses if use.name == name and use.through not in others]
            is_recursive = any(use.name == name for use in _uses(function))
            if len(found) == 1 and found[0].is_call and not is_recursive:
                once.append(f"{module.name}:{function.lineno} {owner + '.' if owner else ''}{name}")
    return once


@dataclass(frozen=True)
class Use:
    """A place where a name is read, imported or called; `through` is the class if it is read from `self` or `cls`."""

    name: str
    through: str | None = None
    is_call: bool = False


def _uses(tree: ast.AST) -> Iterator[Use]:
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node, owner in walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield Use(node.id, is_call=id(node) in called)
        elif isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            yield Use(node.attr, owner if own else None, id(node) in called)
        elif isinstance(node, ast.ImportFrom):
            yield from (Use(alias.name) for alias in node.names)


def _foreign_uses(module: Module) -> set[str]:
    """Return the names that `module` imports, or reads from another object than `self`, and does not define."""
    own = {function.name for function, _ in module.functions} | {use.name for use in _uses(module.tree) if use.through}
    return {
        name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute | ast.ImportFrom)
        for name in ([node.attr] if isinstance(node, ast.Attribute) else [alias.name for alias in node.names])
    } - own


Imports = dict[str, set[str]]


def read_imports(modules: list[Module], *, lazy: bool) -> Imports:
    """Return the modules among `modules` that each of them imports.

    Without `lazy`, only those are returned that it imports while it is loaded, and not those inside of functions. What
    only the type checker imports is left out.
    """
    names = {module.name for module in modules}
    imports: Imports = {}
    for module in modules:
        package = module.name if module.is_package else module.name.rpartition(".")[0]
        targets: set[str] = set()
        for node in _import_statements(module.tree, lazy=lazy):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            else:
                parts = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
                source = ".".join([*parts, *([node.module] if node.module else [])])
                inner = {f"{source}.{alias.name}" for alias in node.names}
                targets |= inner & names or {source}
                if inner - names:
                    targets.add(source)
        imports[module.name] = (targets & names) - {module.name}
    return imports


def _import_statements(node: ast.AST, *, lazy: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _import_statements(ast.Module(child.orelse, []), lazy=lazy)
        elif lazy or not isinstance(child, Function):
            yield from _import_statements(child, lazy=lazy)


def components(imports: Imports) -> list[list[str]]:
    """Return the strongly connected components, each after those that it imports (Tarjan 1972)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = lowest[module] = len(index)
        stack.append(module)
        for target in sorted(imports[module]):
            if target not in index:
                visit(target)
            if target in stack:
                lowest[module] = min(lowest[module], lowest[target])
        if lowest[module] == index[module]:
            at = stack.index(module)
            found.append(sorted(stack[at:]))
            del stack[at:]

    for module in sorted(imports):
        if module not in index:
            visit(module)
    return found


def cycles(imports: Imports) -> list[list[str]]:
    """Return the groups of modules that import each other."""
    return [component for component in components(imports) if len(component) > 1]


def sibling_cycles(imports: Imports) -> list[list[str]]:
    """Return the groups of modules and packages of one package that import each other, with all that is in them."""
    siblings: dict[str, Imports] = {}
    for module, targets in imports.items():
        for target in targets:
            parts, other = module.split("."), target.split(".")
            depth = next((i for i, (a, b) in enumerate(zip(parts, other, strict=False)) if a != b), None)
            if depth is not None:
                inside = siblings.setdefault(".".join(parts[:depth]), {})
                importer, imported = ".".join(parts[: depth + 1]), ".".join(other[: depth + 1])
                inside.setdefault(importer, set()).add(imported)
                inside.setdefault(imported, set())
    return [cycle for package in sorted(siblings) for cycle in cycles(siblings[package])]


def longest_chain(imports: Imports) -> list[str]:
    """Return the longest chain of modules of which each imports the next; a cycle counts as one module."""
    chains: dict[str, list[str]] = {}
    for component in components(imports):
        targets = sorted({target for module in component for target in imports[module]} - set(component))
        below = max((chains[target] for target in targets), key=len, default=[])
        for module in component:
            chains[module] = ["+".join(component), *below]
    return max(chains.values(), key=len, default=[])
