"""Transforms are pure: no Dagster, no network, no clock, no environment. Read from the syntax tree, not by running."""

import ast
from pathlib import Path

import pytest

import crypto_assets

ROOT = Path(crypto_assets.__file__).parent
PURE = (*(ROOT / "transforms").rglob("*.py"), *(ROOT / "features").rglob("*.py"), *(ROOT / "narratives").glob("*.py"))
MODULES = sorted([*PURE, ROOT / "monitoring" / "history_shares.py"])
FORBIDDEN_IMPORTS = {"dagster", "httpx", "requests", "urllib.request", "socket", "aiohttp", "os", "time", "random"}
FORBIDDEN_PROJECT = {"sources", "storage", "assets", "checks", "runtime", "sandbox", "settings"}
CLOCK = {"now", "utcnow", "today"}


def offences(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            names = []
            if isinstance(node, ast.Attribute) and node.attr in CLOCK:
                found.append(f"line {node.lineno}: .{node.attr}")
            if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}:
                found.append(f"line {node.lineno}: .{node.attr}")
        for name in names:
            parts = name.split(".")
            project = parts[0] == "crypto_assets" and len(parts) > 1 and parts[1] in FORBIDDEN_PROJECT
            if parts[0] in FORBIDDEN_IMPORTS or name in FORBIDDEN_IMPORTS or project:
                found.append(f"line {getattr(node, 'lineno', 0)}: import {name}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_transform_is_pure(path: Path):
    assert offences(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "import dagster as dg",
        "from httpx import Client",
        "import time",
        "from datetime import datetime\nx = datetime.now()",
        "import os\nos.environ['X']",
        "from crypto_assets import settings",
    ],
)
def test_the_guard_sees_each_kind_of_offence(text: str):
    assert offences(ast.parse(text))
