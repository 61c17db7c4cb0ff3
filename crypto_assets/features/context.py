"""Context around the price: as-of joins of daily and snapshot tables, as the feature definitions name them.

The arithmetic of as-of joins is in ``asof.py``. News is on the hourly grid (``news.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from crypto_assets.catalog import by_symbol
from crypto_assets.features.all_features import FEATURES, Change, Feature
from crypto_assets.features.asof import KnownRows, as_of, known_rows
from crypto_assets.features.feature import column_of, entity_of, table_of
from crypto_assets.features.grid import HOUR_US, Arrays, Floats, Grid
from crypto_assets.features.lookback import oldest_days
from crypto_assets.features.macro_columns import SINCE, UNTIL
from crypto_assets.features.windows import ratio

MARKET = "MARKET"  # the symbol of tables without coins
# Quotients of a joined column: feature -> numerator and denominator, each a table's column or a feature at ts.
QUOTIENTS = {
    "market_cap_to_tvl": ("market_cap_usd", "defi_metrics[chain].tvl_usd"),
    "open_interest_to_market_cap": ("derivatives.open_interest_usd", "market_cap_usd"),
    "developer_issue_closure": ("developer_activity.closed_issues", "developer_activity.total_issues"),
}
# Instants that are joined as microseconds since 1970, and become a span from or to the hour mark.
CLOCKS = {SINCE: (-1.0, 24 * HOUR_US), UNTIL: (1.0, HOUR_US)}  # column -> sign, microseconds of the unit
LOOKED_UP = tuple(f for f in FEATURES.values() if f.stale is not None and f.name not in QUOTIENTS)


@dataclass(frozen=True)
class Context:
    """All joined tables, ready to be read for a block of coins on the output grid."""

    grid: Grid
    rows: Mapping[str, KnownRows]  # 'table' or 'table[entity]' -> rows
    market: dict[str, Floats] = field(default_factory=dict)  # joined once for all coins: one row of hours

    def arrays(self, coins: slice, at_ts: Mapping[str, Floats]) -> Arrays:
        """Compute the context columns of a block of coins.

        Args:
            coins: the block.
            at_ts: feature columns of the block that quotients need.

        Returns:
            Column -> coins x hours.
        """
        count = coins.stop - coins.start
        out: Arrays = {}
        for feature in LOOKED_UP:
            if feature.name in self.market:
                out[feature.name] = np.broadcast_to(self.market[feature.name], (count, self.grid.hours))
            else:
                out[feature.name] = self.feature(feature, coins)
        for name, (above, below) in QUOTIENTS.items():
            top, bottom = (at_ts[n] if n in at_ts else self.value(n, FEATURES[name], coins) for n in (above, below))
            out[name] = ratio(top, bottom)
        return out

    def value(self, source: str, feature: Feature, coins: slice, before: int = 0) -> Floats:
        """Join the column of a source as-of.

        Args:
            source: ``table.column`` or ``table[entity].column``.
            feature: the feature, for its staleness.
            coins: the block.
            before: hours before the first hour of the grid to compute as well.

        Returns:
            Coins x hours.
        """
        if feature.stale is None:
            raise ValueError(f"{feature.name} is not looked up as-of")
        grid = Grid(self.grid.symbols, self.grid.first - before, self.grid.hours + before)
        rows, oldest = self.rows[source.rpartition(".")[0]], oldest_days(table_of(source))
        return as_of(rows, column_of(source), grid, coins, feature.stale, oldest)

    def feature(self, feature: Feature, coins: slice) -> Floats:
        """Compute a feature that is one joined column, or its change.

        Args:
            feature: the feature.
            coins: the block.

        Returns:
            Coins x hours.
        """
        before = feature.hours - 1
        value = self.value(feature.inputs[0], feature, coins, before)
        if column_of(feature.inputs[0]) in CLOCKS:
            return self._span(value, *CLOCKS[column_of(feature.inputs[0])])
        if feature.change is Change.NONE:
            return value
        now, then = value[:, before:], value[:, : value.shape[1] - before]
        return now - then if feature.change is Change.DIFFERENCE else ratio(now, then) - 1.0

    def _span(self, instants: Floats, sign: float, unit: float) -> Floats:
        """Turn instants into the span from them to the hour mark, or to them; NaN where it is below zero."""
        marks = (self.grid.first + np.arange(self.grid.hours)) * float(HOUR_US)
        spans = sign * (instants - marks) / unit
        # Published within the minutes between the mark and the decision: it is 0 days old.
        return np.maximum(spans, 0.0) if sign < 0 else np.where(spans >= 0.0, spans, np.nan)


def context(grid: Grid, tables: Mapping[str, pl.DataFrame]) -> Context:
    """Prepare the tables for as-of joins.

    Args:
        grid: the output grid.
        tables: table name -> rows.

    Returns:
        The context.
    """
    wanted: dict[str, list[str]] = {}
    for feature in FEATURES.values():
        for name in feature.inputs if feature.stale is not None else ():
            if table_of(name) in tables:
                wanted.setdefault(name.rpartition(".")[0], []).append(column_of(name))
    rows = {
        place: known_rows(_by_coin(place, tables[table_of(place)], grid.symbols), _symbols(place, grid), [*dict.fromkeys(columns)])
        for place, columns in wanted.items()
    }  # fmt: skip
    found = Context(grid, rows)
    for feature in LOOKED_UP:
        if _is_market(feature.inputs[0]):
            found.market[feature.name] = found.feature(feature, slice(0, 1))
    return found


def _is_market(source: str) -> bool:
    return entity_of(source) == "all" or table_of(source) in ("market_sentiment", "macro_indicators")


def _symbols(place: str, grid: Grid) -> tuple[str, ...]:
    return (MARKET,) if _is_market(f"{place}.") else grid.symbols


def _by_coin(place: str, frame: pl.DataFrame, symbols: tuple[str, ...]) -> pl.DataFrame:
    """Add a ``symbol`` to a frame: the coin's own, that of the chain whose native coin it is, or MARKET."""
    entity = entity_of(f"{place}.")
    if entity == "chain":
        coins = {symbol: by_symbol()[symbol].defillama for symbol in symbols if symbol in by_symbol()}
        chains = pl.DataFrame(
            {"symbol": list(coins), "entity": list(coins.values())}, schema={"symbol": pl.String, "entity": pl.String}
        )
        return frame.join(chains.drop_nulls(), on="entity", how="inner")
    if _is_market(f"{place}."):
        owner = "series" if "series" in frame.columns else "entity"
        kept = frame.filter(pl.col(owner) == entity) if entity else frame
        return kept.with_columns(pl.lit(MARKET).alias("symbol"))
    return frame
