"""Rows that models are trained on: features as models read them, and labels, read a month at a time.

Only the columns that are needed are read. Features become float32 at once, so that a window of two years of fifty
coins takes the memory of one matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

from crypto_assets.assets import backfilled
from crypto_assets.dates import DAY, chunks, midnight
from crypto_assets.features.all_features import FEATURES
from crypto_assets.features.market_wide import MARKET_WIDE
from crypto_assets.models import preparation
from crypto_assets.models.market_state import SOURCES, columns_of
from crypto_assets.models.training import Labelled
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.registry import LOOK_BACK
from crypto_assets.transforms import labels
from crypto_assets.transforms.labels import VOLATILITY, Horizon

CHUNK_DAYS = 31
LABEL_COLUMNS = ("symbol", "ts", "available_at", "forward_return", "barrier", "label_available_at")


def labelled_rows(
    features: pl.LazyFrame,
    prices: pl.LazyFrame,
    names: Sequence[str],
    hours: int,
    days: tuple[date, date],
    known_by: datetime,
    every: int = 1,
) -> Labelled:
    """Read a window of rows with their labels.

    Args:
        features: rows of ``ml_features``.
        prices: rows of ``prices``.
        names: features; those that all coins of an hour share stay as they are, the others are ranked.
        hours: horizon of the labels.
        days: first and last day of the rows.
        known_by: prices that became known later do not count, UTC.
        every: only each n-th hour, counted in UTC: what a model does not sample takes neither memory nor time.

    Returns:
        The labelled rows. Ranks are among all rows of an hour, also those without a label, as when the model serves.

    Raises:
        WarehouseError: a table cannot be read.
    """
    rows, matrices = [], []
    shared = tuple(name for name in names if name in MARKET_WIDE or name in SOURCES)  # of an hour and not of a coin
    horizon = Horizon(hours, "label")
    returned, barrier, *_ = horizon.columns
    keys = ["symbol", "ts", "available_at"]
    if every > 1:
        features = features.filter(pl.col("ts").dt.epoch("s") // 3600 % every == 0)
    for first, last in chunks(*days, CHUNK_DAYS):
        part = features.filter(pl.col("date").is_between(first, last)).select(
            *dict.fromkeys([*keys, VOLATILITY, *columns_of(names)])
        )
        found = part.collect().sort("ts", "symbol")
        if found.is_empty():
            continue
        until = last + DAY + timedelta(hours=hours)
        wanted = prices.filter(pl.col("date").is_between(first, until)).select(*keys, "price_usd").collect()
        numbered = found.select(*keys, VOLATILITY).with_row_index("place")
        labelled = labels.label(numbered, wanted, horizon, barrier=1.0, known_by=known_by).sort("ts", "symbol")
        matrices.append(preparation.as_read(found, names, shared)[labelled["place"].to_numpy()])
        rows.append(labelled.rename({returned: "forward_return", barrier: "barrier"}).select(LABEL_COLUMNS))
    if not rows:
        return Labelled(_no_rows(), np.empty((0, len(names)), np.float32), tuple(names), shared)
    return Labelled(pl.concat(rows), np.concatenate(matrices), tuple(names), shared)


def features_of(
    wanted: Sequence[str], allow_backfilled: bool, warehouse: Warehouse, days: tuple[date, date]
) -> list[str]:
    """Return the features that a model may use: of those that it asks for, the ones whose values were known in time.

    The rule is that of training sets: a feature that rests on backfilled rows of its range is left out.

    Args:
        wanted: features by name; empty: all.
        allow_backfilled: whether such features stay.
        warehouse: the tables.
        days: first and last day of the rows.

    Raises:
        WarehouseError: a table cannot be read.
    """

    def read(table: str, start: date, end: date, columns: Sequence[str], symbols: Sequence[str] | None) -> pl.DataFrame:
        return warehouse.read(table, start=start, end=end, columns=columns, symbols=symbols)

    names = list(wanted or (*FEATURES, *SOURCES))
    known_by = midnight(days[1] + DAY)
    tables = () if allow_backfilled else backfilled.backfilled_tables(
        LOOK_BACK["ml_features"], read, days[0], known_by, None
    )  # fmt: skip
    left_out = backfilled.resting(columns_of(names), tables, allow=allow_backfilled).left_out
    return [name for name in names if SOURCES.get(name, name) not in left_out]


def _no_rows() -> pl.DataFrame:
    instant = pl.Datetime("us", "UTC")
    kinds = (pl.String, instant, instant, pl.Float64, pl.Int8, instant)
    return pl.DataFrame(schema=dict(zip(LABEL_COLUMNS, kinds, strict=True)))
