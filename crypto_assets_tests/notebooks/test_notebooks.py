"""Every notebook and the quick start run, and the stored outputs are what the notebooks show today."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import crypto_assets
from crypto_assets_tests.ports import free_port

nbformat = pytest.importorskip("nbformat", reason="the notebooks run with the packages of the extra docs")
ROOT = Path(crypto_assets.__file__).parents[1]
NOTEBOOKS = ROOT / "docs" / "notebooks"
if not NOTEBOOKS.is_dir():
    pytest.skip("an installed package has no docs folder", allow_module_level=True)

NAMES = ("first_look", "freqai", "narratives", "over_http", "point_in_time", "train_a_model")
NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
TOLERANCE = 0.01  # of a figure: other processors round otherwise


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("execute_notebooks", NOTEBOOKS / "execute.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


execute = _script()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebooks") / "home"
    execute.market.fill(folder)
    return folder


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with execute.gateway(home, free_port()) as address:
        yield address


def outputs(notebook) -> list[str]:
    """The text that each cell of code shows, cell by cell."""
    shown = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            texts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell.outputs]
            shown.append("".join(texts))
    return shown


def test_every_notebook_is_there_with_its_source() -> None:
    assert tuple(execute.names()) == NAMES
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(NAMES)
    index = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"({name}.ipynb)" not in index] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_notebook_is_made_from_its_source_and_names_no_machine(name: str) -> None:
    stored = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    source = execute.parse((NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8"))
    parts = [[(cell.cell_type, cell.source) for cell in book.cells] for book in (stored, source)]
    assert parts[0] == parts[1], f"docs/notebooks/{name}.ipynb is not made from {name}.py: run make notebooks"
    text = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    for place in ("/tmp", "/home/", "/root", "/Users/", str(ROOT)):
        assert place not in text, f"{name} shows a path of the machine on which it ran: {place}"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_shows_what_is_stored(name: str, home: Path, address: str) -> None:
    stored = outputs(nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4))
    shown = outputs(execute.run(name, home, address))
    assert any(shown), name
    for kept, now in zip(stored, shown, strict=True):
        message = (
            f"docs/notebooks/{name}.ipynb shows other figures than the code does: run make notebooks\n{kept}\n{now}"
        )
        assert NUMBER.sub("#", kept).split() == NUMBER.sub("#", now).split(), message
        figures = [[float(number) for number in NUMBER.findall(text)] for text in (kept, now)]
        assert figures[1] == pytest.approx(figures[0], rel=TOLERANCE, abs=TOLERANCE), message


def test_look_ahead_earns_and_knowing_only_then_does_not() -> None:
    """What the page says about its figures."""
    text = "\n".join(outputs(nbformat.read(NOTEBOOKS / "point_in_time.ipynb", as_version=4)))
    sharpe = {
        name.strip(): float(value) for name, value in re.findall(r"^(.*?) +value of 1:.*year: +(\S+)$", text, re.M)
    }
    assert sharpe["by date (look-ahead)"] > 10
    assert abs(sharpe["as of"]) < 2 and abs(sharpe["by the platform"]) < 2


def test_the_strategy_trains_inside_freqtrade(address: str, tmp_path: Path) -> None:
    python = os.environ.get("FREQTRADE_PYTHON")
    if not python:
        pytest.skip(
            "set FREQTRADE_PYTHON to a Python with freqtrade[freqai]==2026.9; it needs an environment of its own"
        )
    script = Path(__file__).with_name("freqai_run.py")
    ended = subprocess.run(
        [python, str(script), str(NOTEBOOKS / "freqtrade"), str(tmp_path / "user_data")],
        env={**os.environ, "CRYPTO_ASSETS_URL": address},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = json.loads(ended.stdout)
    ours = ["%-return_24h", "%-volatility_7d", "%-rsi_14", "%-onchain_active_addresses"]
    assert found["trained_on"] == [ours, ours]  # two weeks, a model each
    assert found["predicted"] == 14 * 24
    assert found["distinct_predictions"] > 50 and found["entries"] > 0


QUICK_START = ROOT / "docs" / "quick-start.md"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", QUICK_START.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def _environment(home: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **execute.market.settings(home), "PATH": path}


def test_the_commands_of_the_quick_start_run(home: Path, tmp_path: Path) -> None:
    """In the order of the page, over this home instead of a demo's."""
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("the page uses bash and curl, and one is not installed")
    blocks = [block for block in _blocks("sh") if not block.startswith("make ")]
    assert len(blocks) == 3
    port = str(free_port())
    script = "set -euo pipefail\n" + "\n".join(blocks).replace("8000", port)
    ended = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=_environment(home), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    answers = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith('{"')]
    assert answers[0] == {"status": "ready"}
    assert [row["symbol"] for row in answers[1]["rows"]] == ["BTC"] * 3
    assert (tmp_path / "prices.parquet").read_bytes()[:4] == b"PAR1"


def test_the_python_of_the_quick_start_runs(home: Path, tmp_path: Path) -> None:
    script = "\n".join(_blocks("python"))
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=_environment(home), capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert set(re.findall(r"'(\w+)':", ended.stdout)) == {"return_24h", "volatility_7d", "rsi_14"}
