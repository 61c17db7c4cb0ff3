"""From when on a source can give each coin each feature: what the definitions say, and what the stored inputs show.

A cell is expected where the definition names the coin, the source has given every input for it at least once, and the
inputs reach back over the feature's window. What a source never gave is listed by name, so that nothing goes unsaid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

import polars as pl

from crypto_assets.catalog import Coin
from crypto_assets.checks.outcome import Scope
from crypto_assets.feature_columns import DERIVED, FEATURES, Feature
from crypto_assets.feature_columns.feature import HOUR, column_of, entity_of, table_of
from crypto_assets.partitions import DAY
from crypto_assets.schemas import CONTRACTS
from crypto_assets.transforms import onchain
from crypto_assets.transforms.features import LOOKBACK_DAYS

DERIVED_BY_NAME = {column.name: column for column in DERIVED}
ONCHAIN_HISTORY = (onchain.LOOKBACK_DAYS + 2 * LOOKBACK_DAYS["onchain_base"]) * DAY
BAR = HOUR  # a bar stands at its close

First = dict[tuple[str, str, str], datetime]  # (table, entity or symbol, column) -> first instant it was known


@dataclass
class Expectations:
    """``due``: coin -> feature -> instant from which it is expected. ``not_given``: input -> coins that never had it."""

    due: dict[str, dict[str, datetime]] = field(default_factory=dict)
    not_given: dict[str, list[str]] = field(default_factory=dict)


def expectations(scope: Scope, coins: Sequence[Coin]) -> Expectations:
    """Of all features for these coins, from the inputs stored up to the range's end."""
    first = _first_known(scope, {source for feature in FEATURES.values() for source, _ in inputs_of(feature)})
    found = Expectations()
    for coin in coins:
        due = found.due.setdefault(coin.symbol, {})
        for feature in FEATURES.values():
            if not feature.coins.has(coin):
                continue
            moments = [_moment(source, span, coin, first) for source, span in inputs_of(feature)]
            for (source, _), moment in zip(inputs_of(feature), moments, strict=True):
                if moment is None and coin.symbol not in found.not_given.setdefault(source, []):
                    found.not_given[source].append(coin.symbol)
            if all(moment is not None for moment in moments):
                known = [moment for moment in moments if moment is not None]
                due[feature.name] = max(known, default=_NEVER_LATE) + feature.first_hours * HOUR
    found.not_given = {source: names for source, names in sorted(found.not_given.items()) if names}
    return found


_NEVER_LATE = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def inputs_of(feature: Feature) -> tuple[tuple[str, timedelta], ...]:
    """The provider's columns that the feature rests on, each with the history that it needs before the feature's own.

    A column of onchain_enhanced is traced to the base columns it is derived from.
    """
    found: list[tuple[str, timedelta]] = []
    for source in feature.inputs:
        derived = DERIVED_BY_NAME.get(column_of(source)) if table_of(source) == "onchain_enhanced" else None
        if derived is None:
            found.append((source, timedelta()))
        else:
            days = ceil(derived.least * derived.days) - 1 if derived.least < 1 else derived.days - 1
            found += [(f"onchain_base.{column}", days * DAY) for column in derived.inputs]
    return tuple(found)


def _moment(source: str, span: timedelta, coin: Coin, first: First) -> datetime | None:
    entity = entity_of(source)
    name = coin.defillama if entity == "chain" else entity or coin.symbol
    if table_of(source) == "market_sentiment":
        name = ""
    moment = first.get((table_of(source), name or "", column_of(source)))
    return None if moment is None else moment + span + (BAR if table_of(source) == "ohlc" else timedelta())


def _first_known(scope: Scope, sources: Iterable[str]) -> First:
    """When each table's columns were first known to have a value, by coin or entity."""
    columns: dict[str, set[str]] = {}
    for source in sources:
        columns.setdefault(table_of(source), set()).add(column_of(source))
    found: First = {}
    for table, names in columns.items():
        contract = CONTRACTS[table]
        back = ONCHAIN_HISTORY if table == "onchain_base" else LOOKBACK_DAYS[table] * DAY
        owner = next((key for key in ("symbol", "entity") if key in contract.key), None)
        instant = "ts" if "ts" in contract.key and table != "derivatives" else "available_at"
        wanted = sorted({*names, instant, *([owner] if owner else [])})
        rows = scope.warehouse.read(table, start=scope.start - back, end=scope.end, columns=wanted)
        rows = rows if owner else rows.with_columns(pl.lit("").alias("owner"))
        firsts = rows.group_by(owner or "owner").agg(
            pl.col(instant).filter(pl.col(name).is_not_null()).min().alias(name) for name in sorted(names)
        )
        for row in firsts.iter_rows(named=True):
            name = row.pop(owner or "owner")
            found |= {(table, name, column): moment for column, moment in row.items() if moment is not None}
    return found
