"""Fourteen Alpha158 factors, 800 instruments x 3,400 days: ours against Qlib's ``D.features`` with two kernels.

Both read the same panel from disk (ours one Parquet file, Qlib its own binary files) and give one frame; the values are
compared. Qlib lives in an environment of its own, made once under ``~/.cache/crypto_assets``; where it cannot be
installed the baseline is null and the notes say why.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from crypto_assets_bench import _environment, _qlib_side
from crypto_assets_bench._factors import QLIB, Singles, factors
from crypto_assets_bench.result import Result, peak_mb

INSTRUMENTS, DAYS = 800, 3_400
WARMUP = 20  # Qlib fills partial windows at the start; ours says nothing there
REPEATS = 3
CLOSE = 1e-6  # relative: Qlib computes in single precision
HOME = Path.home() / ".cache" / "crypto_assets" / "qlib"
REQUIREMENT = "pyqlib>=0.9.6,<0.10"
RUN_S = 600


def run() -> Result:
    panel = made_up()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "panel.parquet"
        _long(panel).write_parquet(path)
        ours: dict[str, Singles] = {}
        took = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            frame = ours_from(path)
            took.append(time.perf_counter() - began)
        ours = {name: frame[name].to_numpy() for name in QLIB}
        best, peak = min(took), peak_mb()
        try:
            baseline, theirs, version = qlib(panel, Path(folder))
        except (OSError, subprocess.SubprocessError) as error:
            why = f"Qlib is not there: {_last_line(error)}"
            return Result(round(best, 3), None, None, round(peak), {"instruments": INSTRUMENTS, "why": why})
    worst = worst_difference(ours, theirs)
    notes = {
        "instruments": INSTRUMENTS,
        "days": DAYS,
        "factors": len(QLIB),
        "qlib": version,
        "worst_rel": f"{worst:.1e}",
    }
    if worst > CLOSE:
        raise SystemExit(f"the factors differ from Qlib's by {worst:.1e} relative; a ratio would mean nothing")
    return Result(round(best, 3), round(baseline, 3), round(baseline / best, 2), round(peak), notes)


def made_up() -> dict[str, Singles]:
    """Prices that wander and volumes that swing, instruments x days."""
    random = np.random.default_rng(7)
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.02, (INSTRUMENTS, DAYS)), axis=1))
    panel = {
        "close": close,
        "high": close * (1 + random.uniform(0, 0.02, close.shape)),
        "low": close * (1 - random.uniform(0, 0.02, close.shape)),
        "volume": random.lognormal(10, 1, close.shape),
    }
    return {name: array.astype(np.float32) for name, array in panel.items()}


def ours_from(path: Path) -> pl.DataFrame:
    """One row an instrument and day, sorted, as Qlib gives it."""
    rows = pl.read_parquet(path)
    shape = (INSTRUMENTS, DAYS)
    panel = {name: rows[name].to_numpy().reshape(shape) for name in ("close", "high", "low", "volume")}
    found = factors(panel)
    return rows.select("instrument", "day").with_columns(
        pl.Series(name, values.reshape(-1)) for name, values in found.items()
    )


def _long(panel: dict[str, Singles]) -> pl.DataFrame:
    days = [date(2010, 1, 1) + timedelta(days=n) for n in range(DAYS)]
    return pl.DataFrame(
        {
            "instrument": np.repeat([f"C{n:04}" for n in range(INSTRUMENTS)], DAYS),
            "day": pl.Series(days * INSTRUMENTS),
            **{name: array.reshape(-1) for name, array in panel.items()},
        }
    )


def qlib(panel: dict[str, Singles], folder: Path) -> tuple[float, np.ndarray, str]:
    """Seconds of the better of two runs, the values (rows x factors, sorted like ours) and Qlib's version."""
    python = interpreter()
    _write_qlib(panel, folder / "qlib")
    expressions, out = folder / "expressions.json", folder / "out.npy"
    expressions.write_text(json.dumps(QLIB), encoding="utf-8")
    command = [str(python), str(Path(_qlib_side.__file__)), str(folder / "qlib"), str(expressions), str(out)]
    said = []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, check=True)
        said.append(json.loads(done.stdout.splitlines()[-1]))
    return min(found["seconds"] for found in said), np.load(out), said[0]["version"]


def interpreter() -> Path:
    """The Python that has Qlib."""
    return _environment.interpreter(HOME, "Qlib", REQUIREMENT)


def _write_qlib(panel: dict[str, Singles], root: Path) -> None:
    """Qlib's layout: a calendar, the instruments, and a file of float32 per instrument and field."""
    days = [str(date(2010, 1, 1) + timedelta(days=n)) for n in range(DAYS)]
    (root / "calendars").mkdir(parents=True)
    (root / "calendars" / "day.txt").write_text("\n".join(days) + "\n", encoding="utf-8")
    (root / "instruments").mkdir()
    lines = [f"C{n:04}\t{days[0]}\t{days[-1]}" for n in range(INSTRUMENTS)]
    (root / "instruments" / "all.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for n in range(INSTRUMENTS):
        place = root / "features" / f"c{n:04}"
        place.mkdir(parents=True)
        for name, array in panel.items():
            np.concatenate([[np.float32(0)], array[n]]).astype("<f4").tofile(place / f"{name}.day.bin")


def worst_difference(ours: dict[str, Singles], theirs: np.ndarray) -> float:
    """The largest relative difference of a cell after the first windows; of a correlation or a slope, absolute."""
    worst = 0.0
    for number, (name, values) in enumerate(ours.items()):
        one = values.reshape(INSTRUMENTS, DAYS)[:, WARMUP:]
        other = theirs[:, number].astype(np.float64).reshape(INSTRUMENTS, DAYS)[:, WARMUP:]
        scale = 1.0 if name in ("BETA", "CORR") else np.maximum(np.abs(other), 1e-3)
        worst = max(worst, float((np.abs(one - other) / scale).max()))
    return worst


def _last_line(error: Exception) -> str:
    text = str(getattr(error, "stderr", "") or error).strip().splitlines()
    return text[-1][:160] if text else type(error).__name__
