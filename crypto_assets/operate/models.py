"""The registry of models and their newest signals, for the commands ``train``, ``models`` and ``signals``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from crypto_assets.catalog.listings import resolve
from crypto_assets.dates import DAY
from crypto_assets.errors import ModelError, UsageError
from crypto_assets.runtime.lock import only_one
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.models import FAILED, SIGNALS, TRAINED, TRAINED_MODELS

RECENT = DAY * 2  # a coin whose newest signal is older has none
METRICS = ("in_sample_rank_ic", "out_of_fold_rank_ic", "out_of_fold_error", "out_of_fold_sharpe")
SHOWN = ("model_id", "model", "kind", "date", "status", "reason", "rows", "coins", "train_start", "trained_until",
         "artefact", "artefact_sha256", *METRICS)  # fmt: skip
HEX = 7  # fewest characters that name a model


def alone(settings: Settings, first: date) -> AbstractContextManager[None]:
    """Hold a month for one training at a time.

    Args:
        settings: the home.
        first: the month.

    Raises:
        InstanceError: another training of this month is at work.
    """
    return only_one(settings.home / f"train-{first:%Y-%m}.lock", f"training of {first:%Y-%m}", "crypto-assets train")


def parse_month(text: str) -> date:
    """Read ``--month``.

    Args:
        text: ``YYYY-MM``.

    Raises:
        UsageError: it is no month.
    """
    try:
        return date.fromisoformat(f"{text.strip()}-01")
    except ValueError as error:
        raise UsageError(f"--month {text!r} is not a month; write YYYY-MM, e.g. 2024-03") from error


def trained_in(warehouse: Warehouse, first: date, now: datetime) -> list[dict[str, Any]]:
    """Return the trainings of a month.

    Args:
        warehouse: the tables.
        first: the month.
        now: the instant, UTC.

    Raises:
        ModelError: there is none, or one of them failed; it says what serves in its place.
        WarehouseError: the table cannot be read.
    """
    rows = registry(warehouse)
    found = [row for row in rows if row["date"] == first.isoformat()]
    if not found:
        raise ModelError(
            f"ml_features has no row before {first}, so that nothing can be trained: fill it with crypto-assets backfill "
            "--start DATE --end DATE"
        )
    failed = [row for row in found if row["status"] == FAILED]
    if failed:
        one = failed[0]
        others = ", ".join(row["model"] for row in found if row["status"] == TRAINED)
        raise ModelError(
            f"{one['reason']}; {_former(rows, one, now)}" + (f"; {others} of {first:%Y-%m} trained" if others else "")
        )
    return found


def _former(rows: Iterable[dict[str, Any]], failed: dict[str, Any], now: datetime) -> str:
    older = [
        row for row in rows
        if row["model"] == failed["model"] and row["status"] == TRAINED and row["date"] < failed["date"]
    ]  # fmt: skip
    if not older:
        return "no former model is there, so none serves"
    newest = max(older, key=lambda row: row["date"])
    age = (now.date() - date.fromisoformat(newest["date"])).days
    return f"the model of {newest['date'][:7]} goes on, {age} days old"


def registry(warehouse: Warehouse) -> list[dict[str, Any]]:
    """Return every training as JSON values, the newest month first.

    Args:
        warehouse: the tables.

    Raises:
        WarehouseError: the table cannot be read.
    """
    rows = warehouse.read(TRAINED_MODELS).sort(["date", "model"], descending=[True, False])
    return [
        {name: _plain(row[name]) for name in SHOWN}
        | {"features": len(row["features"]), "config": json.loads(row["config"])}
        for row in rows.rows(named=True)
    ]


def compare(warehouse: Warehouse, one: str, other: str) -> dict[str, Any]:
    """Say in what two trainings differ: settings, features, rows and figures.

    Args:
        warehouse: the tables.
        one: the beginning of a model_id.
        other: of another.

    Raises:
        UsageError: none or several trainings begin so.
        WarehouseError: the table cannot be read.
    """
    rows = warehouse.read(TRAINED_MODELS)
    left, right = (_one(rows, text) for text in (one, other))
    settings = [json.loads(row["config"]) for row in (left, right)]
    features = [set(row["features"]) for row in (left, right)]
    names = (
        "model_id",
        "date",
        "model",
        "kind",
        "code_version",
        "rows",
        "coins",
        "trained_until",
        "rows_hash",
        *METRICS,
    )
    return {
        "models": [{name: _plain(row[name]) for name in names} for row in (left, right)],
        "settings": {
            name: [settings[0].get(name), settings[1].get(name)]
            for name in sorted({*settings[0], *settings[1]})
            if settings[0].get(name) != settings[1].get(name)
        },
        "features_of_first_only": sorted(features[0] - features[1]),
        "features_of_second_only": sorted(features[1] - features[0]),
        "same_rows": left["rows_hash"] is not None and left["rows_hash"] == right["rows_hash"],
    }


def _one(rows: pl.DataFrame, text: str) -> dict[str, Any]:
    found = rows.filter(pl.col("model_id").str.starts_with(text)) if len(text) >= HEX else rows.clear()
    ids = found["model_id"].unique()
    if ids.len() != 1:
        why = "several trainings begin" if ids.len() else "no training begins"
        raise UsageError(
            f"{why} with {text!r}; give {HEX} or more characters of a model_id; crypto-assets models lists them"
        )
    return found.row(0, named=True)


def latest_signals(
    warehouse: Warehouse, symbols: Sequence[str] | None, now: datetime, before: date | None = None
) -> dict[str, Any]:
    """Return the newest signal of each coin, with its age and that of its model.

    Args:
        warehouse: the tables.
        symbols: the coins; None for all.
        now: the instant, UTC.
        before: the last day, where a demo's recordings end.

    Raises:
        ModelError: there is none.
        UsageError: a coin does not exist.
        WarehouseError: the table cannot be read.
    """
    wanted = None if symbols is None else resolve(tuple(symbols), "--symbols", now.date(), now.date())
    day = max(warehouse.days_with_rows("signals", date.min, before or now.date()), default=None)
    rows = warehouse.read(SIGNALS, start=day - RECENT, end=day, symbols=wanted) if day else SIGNALS.empty()
    if rows.is_empty():
        raise ModelError(
            "there is no signal"
            + (f" of {', '.join(wanted)}" if wanted else "")
            + ": train with crypto-assets train, then "
            "fill predictions and signals with crypto-assets backfill --start DATE --end DATE --select 'group:\"models\"'"
        )
    newest = rows.sort("symbol", "ts").unique("symbol", keep="last").sort("weight", "symbol", descending=[True, False])
    return {
        "now": now.isoformat(),
        "generated_market": bool(newest["source"].str.starts_with("sandbox").any()),
        "signals": [
            {
                **{name: _plain(row[name]) for name in SIGNALS.names if name not in ("date", "source", "pit_quality")},
                "age_minutes": round((now - row["available_at"]) / timedelta(minutes=1), 1),
                "model_age_days": round((now - row["trained_until"]) / DAY, 1),
            }
            for row in newest.rows(named=True)
        ],
    }


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value
