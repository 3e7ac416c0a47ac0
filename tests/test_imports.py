"""The table of 1-architecture, enforced: everything points at `core`, and only `worker.py` knows everybody."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = frozenset(
    [
        "activities",
        "agents",
        "cli",
        "config",
        "core",
        "demo",
        "ledger",
        "llm",
        "notices",
        "policy",
        "starter",
        "tests",
        "tools",
        "trials",
        "worker",
        "workflows",
    ]
)
MAY_IMPORT: dict[str, frozenset[str]] = {
    "core": frozenset({"pydantic", "rfc8785", "jsonschema"}),
    "workflows": frozenset({"core", "activities", "temporalio", "pydantic"}),
    "activities": frozenset({"core", "temporalio", "structlog"}),
    "llm": frozenset({"core", "pydantic", "openai", "anthropic", "httpx2"}),
    # from `anyio` on: only in tools/mcp
    "tools": frozenset(
        {"core", "pydantic", "pydantic_core", "anyio", "httpx2", "jsonschema", "mcp", "mcp_types", "structlog"}
    ),
    "policy": frozenset({"core", "pydantic", "pydantic_core", "cel_expr_python"}),
    "ledger": frozenset({"core", "sqlalchemy", "asyncpg"}),
    "notices": frozenset({"core", "structlog", "httpx"}),
    "config": frozenset({"core", "policy", "tools", "pydantic", "pydantic_settings", "temporalio"}),
    # `worker` and `demo`: the verbs `dev` and `demo` run them
    "cli": frozenset(
        [
            "core",
            "workflows",
            "ledger",
            "config",
            "demo",
            "worker",
            "temporalio",
            "pydantic",
            "rich",
            "structlog",
            "typer",
        ]
    ),
    "demo": frozenset({"core", "aiohttp", "aiosmtpd", "httpx", "localstripe", "stripe"}),
    # `mcp`, `mcp_types`: a server that an agent starts as a program of its own
    "agents": frozenset({"tools", "pydantic", "httpx", "sqlalchemy", "stripe", "mcp", "mcp_types"}),
    "tools/openapi": frozenset(
        {"core", "tools", "pydantic", "httpx", "httpcore", "jsonschema", "openapi_pydantic", "yaml"}
    ),
}
"""Of our own packages and of others; the standard library besides (for `core`, only its pure part).

A part of a package that needs more than the rest of it has a line of its own.
"""

PURE = frozenset(
    [
        "__future__",
        "collections",
        "contextlib",
        "dataclasses",
        "datetime",
        "decimal",
        "enum",
        "functools",
        "hashlib",
        "itertools",
        "json",
        "math",
        "re",
        "typing",
        "unicodedata",
    ]
)
CLOCKS = frozenset({"now", "utcnow", "today", "time", "monotonic", "perf_counter"})


def files(package: str) -> list[Path]:
    """List the files of a package, without those of parts of it that have a line of their own."""
    apart = [ROOT / one for one in MAY_IMPORT if one.startswith(f"{package}/")]
    found = (path for path in (ROOT / package).rglob("*.py") if "__pycache__" not in path.parts)
    return sorted(path for path in found if not any(path.is_relative_to(one) for one in apart))


def modules(tree: ast.AST) -> Iterator[str]:
    """Yield every module that is imported anywhere, in functions and under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:  # within a package
                continue
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def imported(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in modules(ast.parse(path.read_text(encoding="utf-8")))}


def foreign(package: str, path: Path) -> set[str]:
    """Name what a file imports and may not. Files that are loaded by path may import those beside them."""
    beside = {one.stem for one in path.parent.glob("*.py")} if package in ("agents", "demo") else set()
    allowed = MAY_IMPORT[package] | {package} | (PURE if package == "core" else sys.stdlib_module_names)
    return imported(path) - allowed - (beside - OURS)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_package_imports_only_what_the_table_allows(package: str) -> None:
    assert files(package)
    found = {str(path.relative_to(ROOT)): names for path in files(package) if (names := foreign(package, path))}
    assert found == {}


def test_every_package_stands_in_the_table() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} | {"agents"}
    assert folders - {"tests", "bench", "trials"} == {one for one in MAY_IMPORT if "/" not in one}


@pytest.mark.parametrize("package", ["core", "workflows"])
def test_nothing_that_is_replayed_reads_a_clock_of_its_own(package: str) -> None:
    found = [
        f"{path.name}:{node.lineno}"
        for path in files(package)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "workflow")
    ]
    assert found == []


def reached(start: str) -> set[str]:
    """Name every module of `core` that importing one of them loads."""
    known = {f"core.{path.stem}" for path in files("core")}
    seen, todo = set[str](), [start]
    while todo:
        name = todo.pop()
        if name in known and name not in seen:
            seen.add(name)
            todo += modules(ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")))
    return seen


@pytest.mark.parametrize("start", ["core.machine", "core.orders", "core.views", "core.card", "core.carrying"])
def test_checking_of_schemas_is_not_reached_from_the_workflow(start: str) -> None:
    assert "core.task" in reached(start)
    assert reached(start) & {"core.checking", "core.schemas"} == set()


@pytest.mark.parametrize(("package", "only_in"), [("jsonschema", "checking.py"), ("rfc8785", "names.py")])
def test_library_is_used_in_one_place_of_the_core(package: str, only_in: str) -> None:
    assert [path.name for path in files("core") if package in imported(path)] == [only_in]


@pytest.mark.parametrize("package", ["anyio", "httpx2", "jsonschema", "mcp", "mcp_types", "structlog"])
def test_what_mcp_needs_is_imported_in_its_folder_only(package: str) -> None:
    found = {path.parent.relative_to(ROOT / "tools") for path in files("tools") if package in imported(path)}
    assert found == {Path("mcp")}


@pytest.mark.parametrize("start", ["config.agents", "config.mcp_servers", "tools.mcp.session"])
def test_sdk_of_mcp_is_not_loaded_before_a_session_begins(start: str) -> None:
    code = f"import sys, {start}; print(sorted({{'mcp', 'mcp_types', 'httpx2'}} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout == "[]\n"


def test_only_the_command_line_and_tests_know_the_composition_root() -> None:
    knowing = [one for one in MAY_IMPORT for path in files(one) if "worker" in imported(path)]
    assert set(knowing) <= {"cli"}


def test_adapters_do_not_know_each_other() -> None:
    adapters = {"llm", "tools", "policy", "ledger", "notices", "activities"}
    for package in adapters:
        others = adapters - {package}
        assert [path.name for path in files(package) if imported(path) & others] == []


def test_the_checker_sees_a_planted_import(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("def f():\n    import time\n    from temporalio import workflow\n    import core.task\n")
    assert foreign("core", planted) == {"time", "temporalio"}
