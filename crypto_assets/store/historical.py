"""Features as they were known at any instants: a point-in-time join of an entity frame with ``ml_features``.

The answer to (symbol, instant) is the coin's newest row whose ``available_at`` is not after the instant, no older than
``max_age``. It is what Feast calls ``get_historical_features``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone

import polars as pl

from crypto_assets.catalog import by_symbol
from crypto_assets.catalog.listings import coin_of
from crypto_assets.dates import DAY
from crypto_assets.errors import UsageError, suggestion
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.contract import TIMESTAMP, Frame
from crypto_assets.tables.registry import freshness
from crypto_assets.tables.schemas import ML_FEATURES

MAX_AGE = freshness()[ML_FEATURES.table].late_after  # what is older is late in every check, too
BEFORE_ANY_ROW = datetime(1970, 1, 1, tzinfo=timezone.utc)
CHUNK_DAYS = 31  # days in memory at once: about 250 MB for 300 coins with all features
ROW_TS, ROW_KNOWN = "feature_ts", "feature_available_at"  # which row answered
_PLACE, _COIN, _AT = "_place", "_coin", "_at"


def historical_features(
    warehouse: Warehouse,
    entities: Frame,
    columns: Sequence[str],
    *,
    version: int | None = None,
    max_age: timedelta = MAX_AGE,
) -> pl.DataFrame:
    """Join features to entities, each as it was known at the entity's instant.

    Args:
        warehouse: the tables.
        entities: a row each: ``symbol`` (a coin, or a ticker that a venue used on that day) and ``ts`` (any instant; UTC
            where it has no time zone); further columns stay.
        columns: the features.
        version: the version of ``ml_features``; None for the newest.
        max_age: how long before the instant the row may have become known.

    Returns:
        The entities in their order, with the features, ``feature_ts`` and ``feature_available_at`` of the row that
        answers; null where no row does.

    Raises:
        UsageError: the entities lack a column or a value, or name no coin.
        WarehouseError: the table cannot be read.
    """
    asked = _asked(entities, columns)
    parts = [_join(warehouse, part, columns, version, max_age) for part in _by_days(asked)]
    answers = pl.concat(parts) if parts else _nothing(columns)
    given = asked.drop(_COIN, _AT)
    return given.join(answers, on=_PLACE, how="left", maintain_order="left").drop(_PLACE)


def _by_days(asked: pl.DataFrame) -> list[pl.DataFrame]:
    """Split the entities by spans of days, so that the memory does not grow with the span; before any row there is no answer."""
    asked = asked.filter(pl.col(_AT) >= BEFORE_ANY_ROW)
    if asked.is_empty():
        return []
    span = (pl.col(_AT) - pl.col(_AT).min()).dt.total_days() // CHUNK_DAYS
    return asked.with_columns(span.alias("_span")).partition_by("_span", include_key=False)


def _join(
    warehouse: Warehouse, asked: pl.DataFrame, columns: Sequence[str], version: int | None, max_age: timedelta
) -> pl.DataFrame:
    oldest = asked.select(pl.col(_AT).min() - max_age).item()
    newest = asked[_AT].max()
    assert isinstance(oldest, datetime) and isinstance(newest, datetime)
    rows = warehouse.scan(
        ML_FEATURES,
        start=oldest.date() - DAY,  # a row may become known after its day
        end=newest.date(),
        columns=[*ML_FEATURES.key, "available_at", *columns],
        symbols=asked[_COIN].unique().to_list(),
        version=version,
    ).filter(pl.col("available_at").is_between(oldest, newest))
    known = warehouse.collect(ML_FEATURES, rows).sort("available_at", "ts")
    known = known.select(
        pl.col("symbol").alias(_COIN), pl.col("available_at"), pl.col("ts").alias(ROW_TS),
        pl.col("available_at").alias(ROW_KNOWN), *columns,
    )  # fmt: skip
    joined = asked.select(_PLACE, _COIN, _AT).sort(_AT).join_asof(
        known, left_on=_AT, right_on="available_at", by=_COIN, strategy="backward", tolerance=max_age, check_sortedness=False,
    )  # fmt: skip
    return joined.select(_PLACE, ROW_TS, ROW_KNOWN, *columns)


def _nothing(columns: Sequence[str]) -> pl.DataFrame:
    kinds = ML_FEATURES.polars_schema
    return pl.DataFrame(
        schema={_PLACE: pl.UInt32, ROW_TS: TIMESTAMP, ROW_KNOWN: TIMESTAMP, **{name: kinds[name] for name in columns}}
    )


def _asked(entities: Frame, columns: Sequence[str]) -> pl.DataFrame:
    """Return the entities with their place, coin and instant. Raises UsageError where one is missing."""
    frame = entities if isinstance(entities, pl.DataFrame) else pl.from_pandas(entities)
    if absent := [name for name in ("symbol", "ts") if name not in frame.columns]:
        raise UsageError(f"entities: no column {' and no column '.join(absent)}; give symbol and ts (UTC), a row each")
    if twice := [name for name in (*columns, ROW_TS, ROW_KNOWN) if name in frame.columns]:
        raise UsageError(f"entities: {', '.join(twice)} would be there twice; rename or drop them")
    moments = _instants(frame["ts"])
    if missing := moments.null_count() + frame["symbol"].null_count():
        raise UsageError(f"entities: {missing} row(s) without a symbol or ts; leave them out")
    placed = frame.with_row_index(_PLACE).with_columns(moments.alias(_AT))
    days = placed.select("symbol", pl.col(_AT).dt.date().alias("_day")).unique()
    return placed.join(_coins(days), left_on=["symbol", pl.col(_AT).dt.date()], right_on=["symbol", "_day"],
                       how="left", maintain_order="left").select(*placed.columns, _COIN)  # fmt: skip


def _instants(given: pl.Series) -> pl.Series:
    kind = given.dtype
    if kind == pl.String:
        try:
            return given.str.to_datetime(time_unit="us", time_zone="UTC")
        except pl.exceptions.PolarsError as error:
            raise UsageError(
                f"entities: ts has a text that is no instant ({' '.join(str(error).split())[:120]}); write ISO in UTC"
            ) from error
    if isinstance(kind, pl.Datetime):
        aware = given.dt.replace_time_zone("UTC") if kind.time_zone is None else given.dt.convert_time_zone("UTC")
        return aware.dt.cast_time_unit("us")
    if kind == pl.Date:
        return given.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    raise UsageError(f"entities: ts is {kind}; give instants (UTC) or ISO text")


def _coins(days: pl.DataFrame) -> pl.DataFrame:
    """Return symbol, day and the coin that the symbol means on that day."""
    found: list[tuple[str, date, str]] = []
    unknown: dict[str, None] = {}
    for name, day in days.rows():
        try:
            coin = coin_of(name.strip().upper(), day, day)
        except UsageError as error:
            raise UsageError(f"entities: {error}") from error
        if coin is None:
            unknown[name] = None
        else:
            found.append((name, day, coin.symbol))
    if unknown:
        some = sorted(unknown)[:8]
        raise UsageError(
            f"entities: {', '.join(some)}{', …' if len(unknown) > 8 else ''} not in the catalogue"
            f"{suggestion(some, by_symbol())}; the coins are in crypto_assets/catalog/coins.csv"
        )
    return pl.DataFrame(found, schema={"symbol": pl.String, "_day": pl.Date, _COIN: pl.String}, orient="row")
