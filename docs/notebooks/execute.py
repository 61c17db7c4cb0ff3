"""Runs the notebooks and stores what they show: ``make notebooks``, or ``execute.py NAME…`` for some of them.

A notebook is written as Python (``NAME.py``): ``# %% [markdown]`` begins a text whose lines are comments, ``# %%`` a cell of
code. Editors such as VS Code, PyCharm and Jupyter with jupytext open that form directly. ``NAME.ipynb`` is made from it, with
outputs, for readers. It is never edited.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import market

NOT_NOTEBOOKS = ("execute", "market")
START_S, CELL_S = 60, 300


def names() -> list[str]:
    """Return the names of all notebooks."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NOT_NOTEBOOKS)


def parse(text: str) -> NotebookNode:
    """Read the Python form of a notebook.

    Args:
        text: cells that begin with ``# %%`` or ``# %% [markdown]``; what stands before the first one is left out.

    Returns:
        The notebook without outputs. Cells have their number as id, so that equal text makes an equal file.
    """
    cells = []
    for kind, body in re.findall(r"^# %%( \[markdown\])?\n(.*?)(?=^# %%|\Z)", text, flags=re.MULTILINE | re.DOTALL):
        prose = re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE)
        cell = new_markdown_cell(prose) if kind else new_code_cell(body.strip())
        cell["id"] = f"cell-{len(cells)}"
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def run(name: str, home: Path, address: str) -> NotebookNode:
    """Run a notebook.

    Args:
        name: which one.
        home: the home folder that it opens.
        address: the gateway that it asks.

    Returns:
        The notebook with its outputs, without times of execution.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = parse((HERE / f"{name}.py").read_text(encoding="utf-8"))
    settings = {**market.settings(home), "CRYPTO_ASSETS_URL": address}
    client = NotebookClient(
        notebook,
        timeout=CELL_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(HERE)}},
        record_timing=False,
    )
    with tempfile.TemporaryDirectory() as folder:  # IPython's history is nobody's business
        client.execute(env={**os.environ, **settings, "IPYTHONDIR": folder})
    return notebook


@contextmanager
def gateway(home: Path, port: int = 8000) -> Iterator[str]:
    """Run the HTTP gateway of a home on this machine, without tokens.

    Args:
        home: the home folder.
        port: where it listens.

    Yields:
        Its address.

    Raises:
        TimeoutError: it does not answer.
    """
    command = [sys.executable, "-m", "crypto_assets.cli.main", "serve", "--without-token", "--port", str(port)]
    serving = subprocess.Popen([*command, "--home", str(home)], stderr=subprocess.DEVNULL)
    address, until = f"http://127.0.0.1:{port}", time.monotonic() + START_S
    try:
        while not _answers(f"{address}/healthz"):
            if serving.poll() is not None or time.monotonic() > until:
                raise TimeoutError(f"the gateway does not answer on {address}; is the port taken?")
            time.sleep(0.1)
        yield address
    finally:
        serving.terminate()
        serving.wait()


def _answers(address: str) -> bool:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=5).close()
    except OSError:
        return False
    return True


def main(wanted: list[str]) -> None:
    """Run the notebooks and write their files."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        market.fill(home)
        with gateway(home) as address:
            for name in wanted or names():
                print(name, file=sys.stderr)
                nbformat.write(run(name, home, address), HERE / f"{name}.ipynb")


if __name__ == "__main__":
    main(sys.argv[1:])
