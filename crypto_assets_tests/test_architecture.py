"""Imports go one way, functions stay small: read from the syntax tree."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import crypto_assets

ROOT = Path(crypto_assets.__file__).parent
MODULES = sorted(path for path in ROOT.rglob("*.py"))
FOUNDATION = {
    "errors", "catalog", "contract", "columns", "schemas", "schemas_context", "schemas_news", "schemas_operations",
    "feature_columns", "partitions", "settings",
    "shared_state",
    "proxies",
}  # fmt: skip
# Room -> what it may import beside itself and the foundation.
MAY_IMPORT: dict[str, set[str]] = {
    **{name: set() for name in FOUNDATION},
    "automation": set(),
    "data_dictionary": set(),
    "display": {"operate"},
    "plots": set(),
    "online": set(),
    "sources": set(),
    "transforms": set(),
    "llm": {"sources", "transforms"},
    "storage": set(),
    "instance": set(),
    "sandbox": {"sources"},
    "assets": {"plots", "sources", "transforms", "storage", "llm", "automation"},
    "checks": {"plots", "assets", "automation", "storage", "transforms", "sources"},
    "alerts": {"sources"},  # how to read a Retry-After
    "service": {"plots", "alerts", "assets", "automation", "checks", "storage", "sources", "transforms"},
    "upkeep": {"alerts", "online", "service", "plots", "assets", "checks", "automation", "storage", "transforms", "sources", "llm", "instance"},
    "definitions": {"assets", "checks", "automation", "storage", "upkeep", "service", "instance"},
    "operate": {"alerts", "service", "definitions", "assets", "checks", "automation", "storage", "transforms", "sources", "instance", "sandbox", "upkeep", "llm"},
    "commands": {"alerts", "service", "assets", "operate", "instance", "storage", "sandbox", "display", "definitions", "transforms", "upkeep"},
    "entry": {"cli"},
    "cli": {"entry", "commands", "assets", "operate", "instance", "storage", "sandbox", "display", "definitions"},
    "__init__": set(),
}  # fmt: skip
FUNCTION_LINES = 50


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Rooms of our own package that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("crypto_assets.")}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    here = room(path)
    assert here in MAY_IMPORT, f"say in this test what {here} may import"
    assert imported(path) <= MAY_IMPORT[here] | FOUNDATION | {here}


def own_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without those of the functions inside it: a table of routes is not one long function."""
    inside = [node for node in function.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return lines(function) - sum(map(lines, inside))


def lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_small(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {node.name for node in functions if own_lines(node) > FUNCTION_LINES} == set()


def test_every_room_says_what_belongs_there() -> None:
    for folder in {path.parent for path in MODULES}:
        docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        assert docstring, folder


def test_the_graph_fits_one_screen() -> None:
    assert (ROOT / "definitions.py").read_text(encoding="utf-8").count("\n") < 60


def test_the_architecture_page_names_every_room() -> None:
    page = ROOT.parent / "docs" / "architecture.md"
    if not page.exists():
        pytest.skip("an installed package has no docs folder")
    text = page.read_text(encoding="utf-8")
    folders = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert {name for name in folders if f"`{name}/`" not in text} == set()
