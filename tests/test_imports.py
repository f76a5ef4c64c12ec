"""The import table: which module may import which. A new arrow fails here first."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "proxy"

# Each row: what the modules on the left may import of ours, as prefixes.
ALLOWED = {
    "proxy": set(),
    "proxy.__main__": {"proxy.cli"},
    "proxy.endpoints": set(),
    "proxy.fields": set(),
    "proxy.buckets": {"proxy.endpoints", "proxy.fields"},
    "proxy.sites": {"proxy.buckets", "proxy.endpoints", "proxy.fields"},
    "proxy.settings": {"proxy.buckets", "proxy.endpoints", "proxy.fields", "proxy.prices",
                       "proxy.sites"},
    "proxy.configfile": {"proxy.decide.model", "proxy.settings"},
    "proxy.decide": {"proxy.decide", "proxy.settings", "proxy.sites"},
    "proxy.edge": {"proxy.edge", "proxy.decide", "proxy.discard", "proxy.prices",
                   "proxy.settings",
                   "proxy.storage.answer",
                   "proxy.storage.conditions", "proxy.storage.direct", "proxy.storage.origin",
                   "proxy.storage.pool", "proxy.storage.presigner", "proxy.storage.refusal",
                   "proxy.storage.response",
                   "proxy.storage.session", "proxy.storage.standing"},
    "proxy.storage": {"proxy", "proxy.storage", "proxy.decide.model", "proxy.buckets",
                      "proxy.decide.wire", "proxy.discard", "proxy.endpoints", "proxy.fields",
                      "proxy.settings", "proxy.sites"},
    "proxy.prices": {"proxy.fields"},
    "proxy.sync": {"proxy.configfile", "proxy.console", "proxy.decide.model",
                   "proxy.decide.policy", "proxy.decide.wire", "proxy.prices", "proxy.settings",
                   "proxy.sites", "proxy.storage", "proxy.sync"},
    "proxy.rollout": {"proxy.configfile", "proxy.console", "proxy.decide", "proxy.listcommands",
                      "proxy.prices", "proxy.rollout", "proxy.settings", "proxy.snapshot"},
    "proxy.checking": {"proxy.checking", "proxy.configfile", "proxy.console", "proxy.decide.model",
                       "proxy.decide.wire", "proxy.listcommands", "proxy.settings", "proxy.sites",
                       "proxy.snapshot", "proxy.storage", "proxy.sync.plan"},
    "proxy.warmup": {"proxy.buckets", "proxy.decide", "proxy.settings", "proxy.sites",
                     "proxy.storage", "proxy.sync.plan"},
    "proxy.source": {"proxy", "proxy.decide"},
    "proxy.feed": {"proxy", "proxy.background", "proxy.decide", "proxy.settings", "proxy.source"},
    "proxy.lookup": {"proxy.decide"},
    "proxy.snapshot": {"proxy.configfile", "proxy.decide", "proxy.settings"},
    "proxy.background": set(),
    "proxy.discard": set(),
    "proxy.channel": {"proxy.snapshot", "proxy.edge.metrics", "proxy.storage.credentials",
                      "proxy.storage.held"},
    "proxy.worker": {"proxy.decide.wire", "proxy.edge", "proxy.settings", "proxy.snapshot",
                     "proxy.storage"},
    "proxy.following": {"proxy.channel", "proxy.decide.model", "proxy.edge.returns",
                        "proxy.snapshot", "proxy.storage", "proxy.worker"},
    "proxy.pool": {"proxy.background", "proxy.channel", "proxy.decide.model", "proxy.edge.metrics",
                   "proxy.snapshot", "proxy.storage.credentials", "proxy.storage.held"},
    "proxy.launch": {"proxy.decide.model", "proxy.edge.returns", "proxy.edge.tls",
                     "proxy.following", "proxy.pool", "proxy.settings", "proxy.snapshot",
                     "proxy.storage.trust"},
    "proxy.status": {"proxy", "proxy.configfile", "proxy.decide", "proxy.edge", "proxy.sites",
                     "proxy.snapshot", "proxy.warmup"},
    "proxy.server": {"proxy", "proxy.background", "proxy.configfile", "proxy.decide", "proxy.edge",
                     "proxy.feed", "proxy.launch", "proxy.pool", "proxy.settings",
                     "proxy.snapshot", "proxy.status", "proxy.warmup"},
    "proxy.console": {"proxy.configfile"},
    "proxy.listcommands": {"proxy.configfile", "proxy.console", "proxy.decide", "proxy.feed",
                           "proxy.lookup", "proxy.settings"},
    "proxy.children": set(),
    "proxy.seaweed": {"proxy.children", "proxy.decide.model"},
    "proxy.demo": {"proxy.children", "proxy.decide.model", "proxy.seaweed"},
    "proxy.cli": {"proxy", "proxy.checking.command", "proxy.configfile", "proxy.console",
                  "proxy.rollout.command", "proxy.decide", "proxy.demo",
                  "proxy.edge.admin", "proxy.listcommands", "proxy.server", "proxy.settings",
                  "proxy.snapshot", "proxy.sync.command",
                  "proxy.launch"},
}  # fmt: skip

IMPURE = {"asyncio", "time", "datetime", "logging", "os", "pathlib", "random", "threading",
          "aiohttp", "uvloop", "prometheus_client", "subprocess", "ssl", "io"}  # fmt: skip

MODULES = sorted(PACKAGE.rglob("*.py"))


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def _row(name: str) -> str:
    return name if name in ALLOWED else name.rpartition(".")[0]


def _covered(imported: str, allowed: set[str]) -> bool:
    return any(
        imported == entry or (entry != "proxy" and imported.startswith(entry + "."))
        for entry in allowed
    )


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_imports_only_what_the_table_allows(path: Path) -> None:
    name = _name(path)
    ours = {each for each in _imports(path) if each == "proxy" or each.startswith("proxy.")}
    assert _row(name) in ALLOWED, f"{name} has no row in the import table"
    new = {each for each in ours if not _covered(each, ALLOWED[_row(name)])}
    assert not new, f"{name} imports {sorted(new)}: a new arrow"


@pytest.mark.parametrize("path", sorted((PACKAGE / "decide").glob("*.py")), ids=_name)
def test_deciding_does_no_io(path: Path) -> None:
    assert not {each.partition(".")[0] for each in _imports(path)} & IMPURE
    assert not any(isinstance(node, ast.Await | ast.AsyncFunctionDef)
                   for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))  # fmt: skip


def test_every_row_of_the_table_is_a_module() -> None:
    names = {_row(_name(path)) for path in MODULES}
    assert set(ALLOWED) <= names


def test_no_file_is_long() -> None:
    long = {_name(path): lines for path in MODULES
            if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 300}  # fmt: skip
    assert not long
