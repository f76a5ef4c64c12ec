"""The import table: floors of folders. An import may point down or stay in its folder.

And the names: no two modules and no two public classes share one. And classes: they are made of
others, and inherit from none of them. And lengths: no file is too long to be one thing.
"""

from __future__ import annotations

import ast
import importlib
from collections import defaultdict
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest
from pydantic import BaseModel

import nearbucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SOURCE = Path(nearbucket.__path__[0])
PACKAGE = nearbucket.__name__
ROOT = Path(__file__).parent.parent
BESIDE = ("tests", "bench", "docs", "deploy")
"""Folders with code that is not the package's."""

FLOORS = (
    ("__main__",),
    ("cli",),
    ("supervisor",),
    ("frontend",),
    ("replicas",),
    ("origin", "telemetry", "analysis", "replication", "edge_function"),
    ("policy",),
    ("regions", "s3", "pricing"),
    ("config",),
    ("figures",),
    ("errors", "event_loop", "plural", "version"),
    ("__init__",),
)
"""Folders and modules of the package, top to bottom; those of one floor do not know each other."""

PURE = (
    "policy",
    "regions.ip_ranges", "regions.prefixes", "regions.prefix_tree", "regions.region_table",
    "regions.queries",
)  # fmt: skip
"""What decides: without I/O, clock, randomness or log, so that every command can ask it."""

IMPURE = {
    "asyncio", "time", "datetime", "logging", "os", "pathlib", "random", "threading", "aiohttp",
    "uvloop", "prometheus_client", "subprocess", "ssl", "io",
}  # fmt: skip

LONGEST, MEDIAN = 400, 200
"""Lines of a file: above, it is two things, or its reader loses the thread."""

FILES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}
"""Every module, without the package's name, and its file."""

Names = dict[str, set[str]]


class Parsed(NamedTuple):
    """What is asked of a file, which is parsed once.

    Attributes:
        imports: Dotted names that it imports, those for the type checker alone among them.
        types: Its public types (``public_types``).
    """

    imports: set[str]
    types: tuple[str, ...]


@cache
def parsed(path: Path) -> Parsed:
    """What is asked of this file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return Parsed(imports_of(tree), tuple(public_types(tree)))


def imports_of(tree: ast.Module) -> set[str]:
    """Dotted names that a module imports, in whatever statement."""
    found: set[str] = set()
    for node in statements(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every statement in a module, in classes and functions too, but no expression."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for each in getattr(node, block, ()):
            yield each
            yield from statements(each)


def _module(imported: str) -> str | None:
    """Which of our modules an imported name is, or is in."""
    package, _, name = imported.partition(".")
    if package != PACKAGE:
        return None
    while name and name not in FILES:
        name = name.rpartition(".")[0]
    return name or "__init__"


@cache
def arrows() -> Names:
    """Module to the modules that it imports."""
    return {
        name: {found for each in parsed(path).imports if (found := _module(each))} - {name}
        for name, path in FILES.items()
    }


def floor_of(name: str) -> int:
    """The floor of a module, counted from the top."""
    folder = name.partition(".")[0]
    return next(number for number, floor in enumerate(FLOORS) if folder in floor)


def circle(modules: Names) -> list[str]:
    """Modules each of which imports the next, and the last the first; empty if there are none."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name not in done:
            for imported in sorted(modules.get(name, ())):
                if found := walk(imported, [*path, name]):
                    return found
            done.add(name)
        return []

    return next((found for name in modules if (found := walk(name, []))), [])


@pytest.mark.parametrize("name", FILES)
def test_imports_point_down_or_stay_in_their_folder(name: str) -> None:
    folder = name.partition(".")[0]
    up = {
        imported
        for imported in arrows()[name]
        if imported.partition(".")[0] != folder and floor_of(imported) <= floor_of(name)
    }
    assert not up, f"{PACKAGE}.{name} imports from the same floor or above: {sorted(up)}"


def test_an_import_is_found_in_whatever_statement() -> None:
    source = """
import a
class K:
    def f(self):
        if 1:
            from b import c
        elif 2:
            import d
        for _ in ():
            import e
        else:
            import f
        try:
            import g
        except E:
            import h
        finally:
            import i
        match 1:
            case 1:
                import j
async def f():
    async with x:
        import k
    while 1:
        import l
"""
    assert imports_of(ast.parse(source)) == {*"adefghijkl", "b.c"}


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert not circle(arrows())


def test_a_circle_is_found_however_long_it_is() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b"}, "b": set(), "c": {"a"}}) == []


@pytest.mark.parametrize(
    "name", [name for name in FILES if any(f"{name}.".startswith(f"{pure}.") for pure in PURE)]
)
def test_deciding_does_no_io(name: str) -> None:
    path = FILES[name]
    assert not {each.partition(".")[0] for each in parsed(path).imports} & IMPURE
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not any(isinstance(node, ast.Await | ast.AsyncFunctionDef) for node in ast.walk(tree))


def length(path: Path) -> int:
    """The lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_file_is_long() -> None:
    lines = {name: length(path) for name, path in FILES.items()}
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}
    assert median(lines.values()) < MEDIAN


@pytest.mark.parametrize("folder", BESIDE)
def test_no_file_beside_the_package_is_long(folder: str) -> None:
    lines = {str(path.relative_to(ROOT)): length(path) for path in (ROOT / folder).rglob("*.py")}
    assert len(lines) > 1
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


def shared(named: Iterable[tuple[str, str]]) -> Names:
    """Names that stand for several things.

    Args:
        named: Name and module of each thing.
    """
    modules: defaultdict[str, list[str]] = defaultdict(list)
    for name, module in named:
        modules[name].append(module)
    return {name: set(found) for name, found in modules.items() if len(found) > 1}


def public_types(tree: ast.Module) -> Iterator[str]:
    """Public classes of a module, and its names for types, such as ``Pair = tuple[int, int]``."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name[0].isupper() and not name.isupper():
                yield name


def test_no_public_class_has_the_name_of_another() -> None:
    assert not shared(
        (name, module) for module, path in FILES.items() for name in parsed(path).types
    )


def test_no_module_has_the_name_of_another() -> None:
    modules = [module for module, path in FILES.items() if path.stem != "__init__"]
    assert not shared((module.rpartition(".")[2], module) for module in modules)


def test_a_name_for_two_things_is_found() -> None:
    source = "class Pool: ...\nclass _Own: ...\nPair = tuple[int, int]\nMOST = 1\n"
    assert list(public_types(ast.parse(source))) == ["Pool", "Pair"]
    assert shared([("Pool", "a"), ("Pair", "a"), ("Pool", "b")]) == {"Pool": {"a", "b"}}


def parents_of_ours(kind: type) -> list[type]:
    """Parents of a class that are of the package, but protocols, errors and pydantic models."""
    return [
        parent
        for parent in kind.__bases__
        if parent.__module__.partition(".")[0] == kind.__module__.partition(".")[0]
        and not getattr(parent, "_is_protocol", False)
        and not issubclass(parent, BaseException | BaseModel)
    ]


def test_no_class_inherits_from_another_one_of_ours() -> None:
    found = {
        f"{name}: {kind.__name__}"
        for name in FILES
        if name != "__main__"  # which runs the command
        for module in [importlib.import_module(f"{PACKAGE}.{name}".removesuffix(".__init__"))]
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__ and parents_of_ours(kind)
    }
    assert not found


def test_a_parent_of_ours_is_found() -> None:
    class Whole: ...

    class Shape(Protocol): ...

    class Wrong(Exception): ...  # noqa: N818

    class Part(Whole, Shape): ...

    class Worse(Wrong, ValueError): ...  # noqa: N818

    assert parents_of_ours(Part) == [Whole]
    assert parents_of_ours(Worse) == []
