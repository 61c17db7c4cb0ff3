"""A rolling LightGBM workflow over one panel: ours against Qlib's, with the same rows, features, trees and retrainings.

Both read the panel from disk, rank features and labels within the hour, train every 30 days on the last 180 days whose
labels are known, score the next 30 days, and end with one score a coin and hour. The seconds compared are those outside
``lightgbm.train``, which is the same library on the same rows; totals and peak memories are in the notes. Each side runs
in a process of its own. Qlib knows days only, so a day there stands for an hour.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crypto_assets.models import ic, learners, splits
from crypto_assets.models.config import ModelConfig
from crypto_assets.models.training import Labelled
from crypto_assets_bench import _qlib_walk
from crypto_assets_bench.factors_vs_qlib import _last_line, interpreter
from crypto_assets_bench.result import Result, peak_mb

COINS, FEATURES, HOURS = 20, 100, 24 * 270 + 1
WINDOW, STEP, HORIZON = 24 * 180, 24 * 30, 24
BEGIN = 1  # hour of the first training row: Qlib's generator refuses a segment that begins with its calendar
TREES = 50
RUN_S = 3_600
DAY_ONE, HOUR_ONE = date(2000, 1, 1), datetime(2024, 1, 1, tzinfo=timezone.utc)
DECIDED = timedelta(minutes=5)
NAMES = [f"f{number:03}" for number in range(FEATURES)]
CONFIG = ModelConfig("walk", "lightgbm", HORIZON, WINDOW // 24, parameters={"trees": TREES, "threads": 1})


def run() -> Result:
    """Run both sides, and refuse a ratio where their scores are not of the same quality."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        panel = made_up()
        panel.write_parquet(folder / "panel.parquet")
        command = [sys.executable, "-m", "crypto_assets_bench.walk_forward", str(folder)]
        ours = said_by(command)
        notes = {
            "coins": COINS, "hours": HOURS, "features": FEATURES, "trees": TREES, "retrainings": ours["retrainings"],
            "ours_total_s": round(ours["seconds"], 1), "ours_rank_ic": round(_rank_ic(folder / "ours.parquet", panel), 4),
        }  # fmt: skip
        outside = ours["seconds"] - ours["training"]
        try:
            theirs = qlib(panel, folder)
        except (OSError, subprocess.SubprocessError) as error:
            return Result(
                round(outside, 2),
                None,
                None,
                round(ours["peak_mb"]),
                notes | {"why": f"Qlib is not there: {_last_line(error)}"},
            )
        both = _together(folder)
        notes |= {
            "qlib_total_s": round(theirs["seconds"], 1), "qlib_peak_mb": round(theirs["peak_mb"]), "qlib": theirs["version"],
            "qlib_rank_ic": round(_rank_ic(folder / "qlib.parquet", panel), 4), "scores_correlate": round(both, 4),
            "seconds": "outside lightgbm.train", "cpu_ratio": round(_outside_cpu(theirs) / _outside_cpu(ours), 2),
            "ours_cpu_s": round(_outside_cpu(ours), 2), "qlib_cpu_s": round(_outside_cpu(theirs), 2),
        }  # fmt: skip
    if theirs["retrainings"] != ours["retrainings"] or abs(notes["ours_rank_ic"] - notes["qlib_rank_ic"]) > 0.01:
        raise SystemExit(f"the two workflows did not do the same work: {notes}; a ratio would mean nothing")
    baseline = theirs["seconds"] - theirs["training"]
    return Result(round(outside, 2), round(baseline, 2), round(baseline / outside, 2), round(ours["peak_mb"]), notes)


def _outside_cpu(side: dict[str, Any]) -> float:
    """Return the processors' seconds outside ``lightgbm.train``: on a busy machine these are what to compare."""
    return float(side["cpu"] - side["cpu_training"])


def said_by(command: Sequence[str]) -> dict[str, Any]:
    """Run a side, and return what its last line says."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def made_up() -> pl.DataFrame:
    """Prices that wander, and features of which a tenth know a little of the next day's return."""
    random = np.random.default_rng(7)
    steps = random.normal(0, 0.01, (HOURS, COINS))
    close = 50 * np.exp(np.cumsum(steps, axis=0)).astype(np.float32)
    ahead = np.zeros((HOURS, COINS))
    ahead[:-HORIZON] = close[HORIZON:] / close[:-HORIZON] - 1
    features = random.normal(size=(FEATURES, HOURS, COINS))
    features[::10] += ahead / 0.05 * 0.05
    marks = [HOUR_ONE + timedelta(hours=hour) for hour in range(HOURS)]
    columns = {name: values.reshape(-1).astype(np.float32) for name, values in zip(NAMES, features, strict=True)}
    return pl.DataFrame(
        {
            "symbol": [f"C{coin:03}" for coin in range(COINS)] * HOURS,
            "ts": pl.Series(marks).gather(np.repeat(np.arange(HOURS), COINS)),
            "close": close.reshape(-1),
            **columns,
        }
    )


def ours_from(folder: Path) -> dict[str, float]:
    """Read the panel, walk forward, and write one score a coin and hour."""
    engine = learners.booster_library()
    train, inside = engine.train, [0.0, 0.0]

    def timed(*given: Any, **named: Any) -> Any:
        then = _qlib_walk.spent()
        try:
            return train(*given, **named)
        finally:
            for place, (now, before) in enumerate(zip(_qlib_walk.spent(), then, strict=True)):
                inside[place] += now - before

    engine.train = timed
    began = _qlib_walk.spent()
    rows = pl.read_parquet(folder / "panel.parquet").sort("ts", "symbol")
    close = rows["close"].to_numpy().astype(np.float64).reshape(HOURS, COINS)
    forward = np.full(close.shape, np.nan)
    forward[:-HORIZON] = close[HORIZON:] / close[:-HORIZON] - 1
    labelled = Labelled.of(
        rows.with_columns(
            pl.Series("forward_return", forward.reshape(-1)),
            pl.lit(None, pl.Int8).alias("barrier"),
            (pl.col("ts") + DECIDED).alias("available_at"),
            (pl.col("ts") + timedelta(hours=HORIZON) + DECIDED).alias("label_available_at"),
        ),
        NAMES,
    )
    decided, known = (
        labelled.rows[name].dt.replace_time_zone(None).to_numpy() for name in ("available_at", "label_available_at")
    )
    known = np.where(np.isnan(labelled.rows["forward_return"].to_numpy()), np.datetime64("NaT"), known)
    starts = [HOUR_ONE + timedelta(hours=hour) for hour in (*range(BEGIN + WINDOW, HOURS, STEP), HOURS)]
    parts = []
    for fold in splits.walk_forward(splits.Times(decided, known), starts, window=timedelta(hours=WINDOW)):
        training = labelled.take(fold.train)
        learner = learners.fit(CONFIG, training.matrix, training.outcomes())
        scores = learner.score(labelled.matrix[fold.test])
        parts.append(labelled.rows[fold.test].select("symbol", "ts", pl.Series("score", scores)))
    pl.concat(parts).write_parquet(folder / "ours.parquet")
    seconds, cpu = (now - then for now, then in zip(_qlib_walk.spent(), began, strict=True))
    return {
        "seconds": seconds, "training": inside[0], "cpu": cpu, "cpu_training": inside[1], "peak_mb": peak_mb(),
        "retrainings": len(parts),
    }  # fmt: skip


def qlib(panel: pl.DataFrame, folder: Path) -> dict[str, Any]:
    """Write the panel in Qlib's layout and run its side."""
    python = interpreter()
    _write_qlib(panel, folder / "qlib")
    (folder / "task.json").write_text(json.dumps(_task()), encoding="utf-8")
    side = str(Path(_qlib_walk.__file__))
    found = said_by(
        [str(python), side, str(folder / "qlib"), str(folder / "task.json"), str(folder / "theirs.parquet")]
    )
    theirs = pl.read_parquet(folder / "theirs.parquet")
    hour = (theirs["datetime"].dt.date() - DAY_ONE).dt.total_days()
    theirs.select(
        symbol=pl.col("instrument").str.to_uppercase(), ts=pl.lit(HOUR_ONE) + pl.duration(hours=hour), score="score"
    ).write_parquet(folder / "qlib.parquet")
    return found


def _day(hour: int) -> str:
    return str(DAY_ONE + timedelta(days=hour))


def _task() -> dict[str, Any]:
    """Return Qlib's task of the first retraining; its rolling generator makes the others."""
    options = CONFIG.all_parameters
    handler = {
        "class": "DataHandlerLP",
        "module_path": "qlib.data.dataset.handler",
        "kwargs": {
            "instruments": "all",
            "data_loader": {
                "class": "QlibDataLoader",
                "kwargs": {
                    "config": {
                        "feature": [[f"${name}" for name in NAMES], NAMES],
                        "label": [[f"Ref($close, -{HORIZON})/$close-1"], ["LABEL"]],
                    }
                },
            },
            "infer_processors": [{"class": "CSRankNorm", "kwargs": {"fields_group": "feature"}}],
            "learn_processors": [
                {"class": "DropnaLabel"},
                {"class": "CSRankNorm", "kwargs": {"fields_group": "label"}},
            ],
        },
    }
    model = {
        "class": "LGBModel",
        "module_path": "qlib.contrib.model.gbdt",
        "kwargs": {
            "loss": "mse", "num_boost_round": TREES, "early_stopping_rounds": TREES + 1,
            "num_leaves": options["leaves"], "learning_rate": options["learning_rate"],
            "min_data_in_leaf": options["least_rows_a_leaf"], "feature_fraction": options["feature_fraction"],
            "bagging_fraction": options["row_fraction"], "bagging_freq": 1, "lambda_l2": options["l2"],
            "seed": options["seed"], "num_threads": options["threads"], "deterministic": True, "force_row_wise": True,
        },
    }  # fmt: skip
    # Both ends count. The generator takes ``trunc_days`` from the training's end, so that no label reaches the test.
    tested = BEGIN + WINDOW
    segments = {"train": [_day(BEGIN), _day(tested - 1)], "test": [_day(tested), _day(HOURS - 1)]}
    dataset = {
        "class": "DatasetH",
        "module_path": "qlib.data.dataset",
        "kwargs": {"handler": handler, "segments": segments},
    }
    record = [
        {
            "class": "SignalRecord",
            "module_path": "qlib.workflow.record_temp",
            "kwargs": {"model": "<MODEL>", "dataset": "<DATASET>"},
        }
    ]
    return {"task": {"model": model, "dataset": dataset, "record": record}, "step": STEP, "trunc_days": HORIZON + 1}


def _write_qlib(panel: pl.DataFrame, root: Path) -> None:
    """Write Qlib's layout: a calendar, the instruments, and a file of float32 per instrument and field."""
    days = [_day(hour) for hour in range(HOURS)]
    for name in ("calendars", "instruments", "features"):
        (root / name).mkdir(parents=True)
    # One day without data after the last: the generator looks where the next test would begin.
    (root / "calendars" / "day.txt").write_text("\n".join([*days, _day(HOURS)]) + "\n", encoding="utf-8")
    names = panel["symbol"].unique().sort().to_list()
    lines = [f"{name}\t{days[0]}\t{days[-1]}" for name in names]
    (root / "instruments" / "all.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for (name,), rows in panel.sort("ts").group_by("symbol", maintain_order=True):
        place = root / "features" / str(name).lower()
        place.mkdir()
        for field in ("close", *NAMES):
            np.concatenate([[np.float32(0)], rows[field].to_numpy()]).astype("<f4").tofile(place / f"{field}.day.bin")


def _rank_ic(scores: Path, panel: pl.DataFrame) -> float:
    """Return the mean hourly rank IC of scores, by one computation for both sides."""
    ahead = (
        pl.col("close").cast(pl.Float64).shift(-HORIZON).over("symbol", order_by="ts")
        / pl.col("close").cast(pl.Float64)
        - 1
    )
    outcomes = panel.select("symbol", "ts", outcome=ahead)
    judged = (
        pl.read_parquet(scores)
        .with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
        .join(outcomes, on=["symbol", "ts"])
    )
    return float(ic.hourly_ic(judged)["rank_ic"].mean())  # type: ignore[arg-type]


def _together(folder: Path) -> float:
    """Return the correlation of both sides' scores, after counting that they are of the same rows."""
    ours, theirs = (
        pl.read_parquet(folder / name).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
        for name in ("ours.parquet", "qlib.parquet")
    )
    both = ours.join(theirs, on=["symbol", "ts"])
    if not ours.height == theirs.height == both.height:
        raise SystemExit(f"ours has {ours.height} scores and Qlib {theirs.height}, {both.height} of the same rows")
    return float(np.corrcoef(both["score"], both["score_right"])[0, 1])


if __name__ == "__main__":
    print(json.dumps(ours_from(Path(sys.argv[1]))))
