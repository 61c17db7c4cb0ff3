"""docs/extending.md is true: in a copy of the package its steps are carried out as written, and the guards pass there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import crypto_assets

HERE = Path(crypto_assets.__file__).parents[1]
PAGE = HERE / "docs" / "extending.md"
STEP = re.compile(
    r"^(?:Create `(?P<new>[^`]+)`|In `(?P<old>[^`]+)`, (?P<where>after|before) the line `(?P<line>[^\n]+)`, add):\n\n"
    r"```(?:python|text)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
GUARDS = (
    "crypto_assets_tests/transforms/test_dominance.py",
    "crypto_assets_tests/test_architecture.py",
    "crypto_assets_tests/tables",
    "crypto_assets_tests/assets/test_lineage.py",
    "crypto_assets_tests/transforms/test_purity.py",
    "crypto_assets_tests/features/test_golden.py",
    "crypto_assets_tests/test_definitions.py::test_every_contract_is_an_asset_and_every_asset_has_a_contract",
    "crypto_assets_tests/test_definitions.py::test_an_asset_tells_what_it_is",
    "crypto_assets_tests/test_definitions.py::test_every_table_has_its_checks",
    "crypto_assets_tests/test_definitions.py::test_lineage_is_what_the_data_do",
)

MATERIALISE = """
from datetime import date, datetime, timedelta, timezone
import sys
import dagster as dg
import polars as pl
from crypto_assets.assets.derived import BY_NAME
from crypto_assets.assets.ml import ml_features
from crypto_assets.assets.providers import Providers
from crypto_assets.assets.shell import DAILY
from crypto_assets.automation.schedules import SETTLED_TABLES
from crypto_assets.checks.shells import every_measure
from crypto_assets.storage.io_manager import DeltaIOManager
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import CONTRACTS, look_back

assert "dominance" in SETTLED_TABLES and "rows_expected" in every_measure()["dominance"]
warehouse = Warehouse(sys.argv[1])
first, count = datetime(2026, 1, 1, tzinfo=timezone.utc), 24 * 4
marks = [first + timedelta(hours=n) for n in range(count)]
rows = [
    {"symbol": symbol, "ts": ts, "date": ts.date(), "available_at": ts, "source": "test", "price_usd": 10.0,
     "market_cap_usd": cap * (n + 1)}
    for symbol, cap in (("BTC", 3.0), ("ETH", 1.0)) for n, ts in enumerate(marks)
]
bars = [
    {"symbol": "BTC", "ts": ts, "date": ts.date(), "available_at": ts + timedelta(hours=1), "source": "test",
     "open": 10.0 + n, "high": 10.0 + n, "low": 10.0 + n, "close": 10.0 + n}
    for n, ts in enumerate(marks)
]
days = sorted({ts.date() for ts in marks})
warehouse.write(CONTRACTS["prices"], pl.DataFrame(rows), days)
warehouse.write(CONTRACTS["ohlc"], pl.DataFrame(bars), days)
tags = {"dagster/asset_partition_range_start": str(days[0]), "dagster/asset_partition_range_end": str(days[-1])}
given = [dg.AssetSpec(table, partitions_def=DAILY) for table in look_back()["ml_features"]]
resources = {"io_manager": DeltaIOManager(lambda: warehouse), "providers": Providers()}
made = [BY_NAME["dominance"], ml_features]
with dg.DagsterInstance.ephemeral() as instance:
    assert dg.materialize([*given, *made], instance=instance, resources=resources, tags=tags).success
found = warehouse.read("dominance")
assert dict(found.group_by("symbol").agg(pl.col("share").unique()).rows()) == {"BTC": [0.75], "ETH": [0.25]}, found
assert found.height == 2 * len(days)
features = warehouse.read("ml_features", symbols=["BTC"]).filter(pl.col("sma_50").is_not_null())
assert features.height == count - 50  # the bars that closed in the 96 hours, less the first 49 that make no window
cross = features.select((pl.col("sma_20") / pl.col("sma_50") - 1 - pl.col("sma_cross_20_50")).abs().max()).item()
last = features.row(-1, named=True)
assert cross < 1e-12 and last["sma_cross_20_50"] > 0, (cross, last["sma_cross_20_50"])
print("materialised")
"""


def steps() -> list[re.Match[str]]:
    if not PAGE.exists():
        pytest.skip("an installed package has no docs folder")
    return list(STEP.finditer(PAGE.read_text(encoding="utf-8")))


def carry_out(step: re.Match[str], copy: Path) -> Path:
    """Do one step of the page in the copy; returns the file that it touched."""
    path = copy / (step["new"] or step["old"])
    if step["new"]:
        assert not path.exists(), f"{path.name} is there already"
        path.write_text(step["text"], encoding="utf-8")
        return path
    text, line = path.read_text(encoding="utf-8"), step["line"] + "\n"
    assert text.count("\n" + line) == 1, f"docs/extending.md: {step['old']} must have the line {step['line']!r} once"
    more = line + step["text"] if step["where"] == "after" else step["text"] + line
    path.write_text(text.replace("\n" + line, "\n" + more), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, its tests and its docs with all steps of the page carried out."""
    root = tmp_path_factory.mktemp("extended")
    for name in ("crypto_assets", "crypto_assets_tests", "docs"):
        shutil.copytree(HERE / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for step in steps():
        carry_out(step, root)
    run(root, "-m", "crypto_assets.tables.dictionary")
    return root


def run(root: Path, *arguments: str) -> str:
    """What Python prints there; the copy comes before the package that is installed."""
    env = {**os.environ, "PYTHONPATH": str(root), "CRYPTO_ASSETS_START": "2026-01-01", "CRYPTO_ASSETS_COINS": "BTC,ETH"}
    env["CRYPTO_ASSETS_HOME"] = str(root / "home")
    ended = subprocess.run([sys.executable, *arguments], cwd=root, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended.stdout


def test_a_table_takes_three_files_and_a_feature_two() -> None:
    touched = [step["new"] or step["old"] for step in steps()]
    of_features = {name for name in touched if name.startswith("crypto_assets/features/")}
    assert len(set(touched) - of_features) == 3
    assert len(of_features) == 2


def test_every_file_that_the_page_names_is_there() -> None:
    made = {step["new"] for step in steps()}
    for name in re.findall(r"`((?:crypto_assets\w*|docs)/[\w/.]+)`", PAGE.read_text(encoding="utf-8")):
        if "NAME" not in name:
            assert name in made or (HERE / name).exists(), name


def test_the_new_table_and_the_new_feature_are_made(copy: Path, tmp_path: Path) -> None:
    assert "materialised" in run(copy, "-c", MATERIALISE, str(tmp_path))


def test_the_guards_pass_with_them(copy: Path) -> None:
    out = run(copy, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *GUARDS)
    assert "passed" in out and "failed" not in out
    assert "## dominance" in (copy / "docs" / "data-dictionary.md").read_text(encoding="utf-8")
