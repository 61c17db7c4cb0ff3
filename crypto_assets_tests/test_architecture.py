"""Imports go one way, and functions stay small: read from the syntax tree and held against docs/architecture.md."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import crypto_assets
from crypto_assets.tables.registry import CONTRACTS

ROOT = Path(crypto_assets.__file__).parent
PAGE = ROOT.parent / "docs" / "architecture.md"
MODULES = sorted(ROOT.rglob("*.py"))
FUNCTION_LINES = 49
WITHOUT_DAGSTER = ("catalog", "tables", "features", "sources", "transforms", "narratives")
WITH_DAGSTER = [
    path
    for path in MODULES
    if path.parent.name != "dagster_internals"
    and re.search(r"^\s*(from|import) dagster", path.read_text(), re.MULTILINE)
]


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def may_import() -> dict[str, set[str]]:
    """Room -> the rooms it may import, as the table on the architecture page has it."""
    if not PAGE.exists():
        pytest.skip("an installed package has no docs folder")
    rows = re.findall(r"^\| `([a-z_]+)(?:/|\.py)` \|[^|]*\|([^|]*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: set(re.findall(r"`([a-z_]+)`", allowed)) for name, allowed in rows}


def imported(path: Path, *, top_level: bool = False) -> set[str]:
    """Dotted names of our own package that a module imports; at its top level only, or anywhere."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("crypto_assets.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    here = room(path)
    if here == "__init__":
        return
    allowed = may_import()
    assert here in allowed, f"docs/architecture.md has no row for {here}: say what belongs there and what it may import"
    used = {name.split(".")[1] for name in imported(path)}
    assert used <= allowed[here] | {here}, f"docs/architecture.md says what {here} may import"


def test_no_module_imports_itself_through_others() -> None:
    names = {".".join(("crypto_assets", *path.relative_to(ROOT).with_suffix("").parts)): path for path in MODULES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph = {
        name: {found if found in names else found.rsplit(".", 1)[0] for found in imported(path, top_level=True)}
        - {name}
        for name, path in names.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these modules import each other: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("name", WITHOUT_DAGSTER)
def test_the_room_can_be_imported_where_dagster_is_not_installed(name: str) -> None:
    script = f"""
import importlib, pkgutil, sys

class NoDagster:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "dagster":
            raise ImportError("dagster is blocked")

sys.meta_path.insert(0, NoDagster())
room = importlib.import_module("crypto_assets.{name}")
for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    importlib.import_module(module.name)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT.parent)
    assert ended.returncode == 0, ended.stderr


IMPURE_MODULES = {"httpx", "os", "pathlib", "random", "requests", "shutil", "socket", "subprocess", "time", "urllib"}
IMPURE_CALLS = {"now", "utcnow", "today", "open", "getenv", "default_rng"}


def impure(tree: ast.AST) -> list[tuple[int, str]]:
    """(line, what) of each use of a clock, the network, a file, the environment or chance."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, a.name) for a in node.names if a.name.partition(".")[0] in IMPURE_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in IMPURE_MODULES:
            found.append((node.lineno, str(node.module)))
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in IMPURE_CALLS:
                found.append((node.lineno, f"{name}()"))
    return found


@pytest.mark.parametrize("room", ["transforms", "features"])
def test_formulas_use_no_clock_network_file_or_environment(room: str) -> None:
    """A value is a function of its inputs alone, so that it can be computed again at any time and place."""
    used = [
        f"{path.relative_to(ROOT)}:{line} uses {what}; pass it in as an argument"
        for path in sorted((ROOT / room).rglob("*.py"))
        for line, what in impure(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not used, used


@pytest.mark.parametrize(
    "code",
    [
        "import time",
        "from os import environ",
        "import datetime as d; d.datetime.now()",
        "open('x')",
        "from urllib.request import urlopen",
    ],
)
def test_what_is_not_pure_would_be_found(code: str) -> None:
    assert impure(ast.parse(code))


def of_dagsters_internals(tree: ast.AST) -> list[tuple[int, str]]:
    """(line, what) of each import of Dagster below its public names: ``dagster._core``, ``dagster_k8s.job``, a ``_NAME``."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [(node.module or "", alias.name) for alias in node.names]
        else:
            continue
        for module, name in modules:
            top, _, below = module.partition(".")
            if top.split("_")[0] == "dagster" and (below or name.startswith("_")):
                found.append((node.lineno, f"{module} {name}".strip()))
    return found


def private_to_dagster(path: Path) -> list[str]:
    """Private attributes that the classes of a module use, and that a class of Dagster defines or sets."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = importlib.import_module(".".join(("crypto_assets", *path.relative_to(ROOT).with_suffix("").parts)))
    found = []
    for node in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        bases = {
            base.__module__ for base in getattr(module, node.name).__mro__ if base.__module__.startswith("dagster")
        }
        theirs = "\n".join(inspect.getsource(sys.modules[name]) for name in bases)
        private = {used.attr for used in ast.walk(node) if isinstance(used, ast.Attribute)}
        private = {name for name in private if re.fullmatch(r"_[a-z]\w*", name)}
        found += [f"{node.name}.{name}" for name in private if re.search(rf"(def |self\.){name}\b", theirs)]
    return found


@pytest.mark.parametrize("path", WITH_DAGSTER, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_one_room_uses_what_dagster_does_not_promise_to_keep(path: Path) -> None:
    where = (
        "take it from crypto_assets/dagster_internals, with its reason there and its test in "
        "crypto_assets_tests/dagster_internals"
    )
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert of_dagsters_internals(tree) == [], where
    assert private_to_dagster(path) == [], where
    patched = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Call) and named(node.func) == "setattr"]
    assert patched == [], "an attribute of a module of Dagster must not be swapped; configure a class of ours instead"


def named(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize(
    "text",
    [
        "from dagster._core.events import DagsterEvent",
        "import dagster._core.events",
        "from dagster import _check",
        "from dagster_k8s.job import get_job_name_from_run_id",
        "def later():\n    from dagster_shared.serdes import deserialize_value",
    ],
)
def test_the_search_for_dagsters_internals_finds_them(text: str) -> None:
    assert of_dagsters_internals(ast.parse(text))
    assert not of_dagsters_internals(ast.parse("import dagster as dg\nfrom dagster_k8s import K8sRunLauncher"))


def test_each_of_dagsters_internals_is_tried_by_a_test() -> None:
    folder = ROOT / "dagster_internals"
    for path in set(folder.glob("*.py")) - {folder / "__init__.py"}:
        names = importlib.import_module(f"crypto_assets.dagster_internals.{path.stem}").__all__
        page = Path(__file__).parent / "dagster_internals" / f"test_{path.stem}.py"
        tests = page.read_text(encoding="utf-8")
        assert {name for name in names if not re.search(rf"\b{name}\b", tests)} == set(), page
        unused = {name for name in names if not any(re.search(rf"\b{name}\b", other) for other in others(folder))}
        assert unused == set(), f"nothing uses them any more: take them out of {path}"


def others(folder: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in MODULES if path.parent != folder]


def own_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of code in a function, without its docstring and without the functions inside it.

    A table of routes is not one long function.
    """
    inside = [node for node in function.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return lines(function) - docstring_lines(function) - sum(map(lines, inside))


def lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the docstring, which do not count: a full list of arguments must not make a function too long."""
    first = node.body[0]
    return (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(node) is not None else 0


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


def test_the_architecture_page_names_every_room_and_no_other() -> None:
    rooms = {room(path) for path in MODULES} - {"__init__"}
    assert set(may_import()) == rooms


def tables_listed(tree: ast.AST) -> list[tuple[int, set[str]]]:
    """(line, tables) of each tuple, list, set, dict or call of tables alone that lists three or more of them.

    What a spec lists is not meant: a table's own inputs.
    """
    found = []
    of_specs = {node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "inputs"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            parts: list[ast.AST] = list(node.elts)
        elif isinstance(node, ast.Dict) and node not in of_specs:
            parts = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.Call) and all(named_table(part) for part in node.args):
            parts = list(
                node.args
            )  # a function of tables; one that takes other things too says what it does with these
        else:
            continue
        named = {name for part in parts if (name := named_table(part))}
        if len(named) >= 3:
            found.append((node.lineno, named))
    return found


def named_table(node: ast.AST) -> str | None:
    """The table that an expression names: its string, its contract (``PRICES``), or an attribute of that."""
    if isinstance(node, ast.Starred):
        return named_table(node.value)
    if isinstance(node, ast.Constant):
        return node.value if node.value in CONTRACTS else None
    if isinstance(node, ast.Name):
        return node.id.lower() if node.id.isupper() and node.id.lower() in CONTRACTS else None
    if isinstance(node, ast.Attribute):
        return node.attr.lower() if node.attr.isupper() and node.attr.lower() in CONTRACTS else named_table(node.value)
    if isinstance(node, ast.Tuple) and node.elts:  # a pair of a list of pairs
        return named_table(node.elts[0])
    return None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_registry_lists_tables(path: Path) -> None:
    """A list of tables elsewhere would be a rule that a new table does not get."""
    name = path.relative_to(ROOT).as_posix()
    if name == "tables/registry.py":
        return
    for line, named in tables_listed(ast.parse(path.read_text(encoding="utf-8"))):
        pytest.fail(
            f"crypto_assets/{name}:{line} lists the tables {', '.join(sorted(named))}: put what they have in common into "
            "TableSpec (crypto_assets/tables/spec.py) and read it from crypto_assets/tables/registry.py"
        )


@pytest.mark.parametrize(
    "text",
    [
        'X = ("prices", "ohlc", "narratives")',
        'X = {"prices": 1, "ohlc": 2, "narratives": 3}',
        "X = [PRICES, schemas.OHLC, NARRATIVES.table]",
        'X = [("prices", 1), ("ohlc", 2), ("narratives", 3)]',
        'X = dg.AssetSelection.assets("prices", "ohlc", "narratives")',
    ],
)
def test_the_search_for_lists_of_tables_finds_them(text: str) -> None:
    assert [named for _, named in tables_listed(ast.parse(text))] == [{"prices", "ohlc", "narratives"}]


def test_the_rooms_form_no_circle() -> None:
    one = {"features": "tables"}  # both declare: the columns of the feature table are the features
    graph: dict[str, set[str]] = {}
    for name, allowed in may_import().items():
        here = one.get(name, name)
        graph[here] = graph.get(here, set()) | {one.get(other, other) for other in allowed} - {here}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"docs/architecture.md lets these rooms import each other: {' -> '.join(error.args[1])}")


def test_each_rule_names_a_test_that_is_there() -> None:
    if not PAGE.exists():
        pytest.skip("an installed package has no docs folder")
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index("## The rules") : text.index("## One partition")]
    page = ""
    rows = [line for line in section.splitlines() if line.startswith("| ") and "tested by" not in line]
    assert len(rows) >= 12
    for row in rows:
        named = re.findall(r"`((?:[\w/]*test_\w+\.py)?(?:::\w+)?)`", row.rsplit("|", 2)[1])
        assert named, row
        for name in named:
            file, _, function = name.partition("::")
            page = file or page
            source = Path(__file__).parent / page
            assert source.exists(), name
            assert not function or f"def {function}(" in source.read_text(encoding="utf-8"), name
