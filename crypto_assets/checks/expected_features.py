"""From which instant on each feature of each coin is expected, from the definitions and the stored inputs.

A cell is expected if the definition includes the coin, the source has given every input at least once, and the inputs
cover the window of the feature. Indicators of bars also need bars without a gap too long for flat bars; missing bars are
reported by ``rows_expected``. Inputs that a source never gave are listed by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crypto_assets.catalog import Coin
from crypto_assets.checks.outcome import Scope
from crypto_assets.checks.parts import parts
from crypto_assets.dates import DAY
from crypto_assets.features.all_features import FEATURES, Feature
from crypto_assets.features.feature import FILL_HOURS, HOUR, Coins, column_of, entity_of, table_of
from crypto_assets.features.lookback import HOURLY, LOOKBACK_DAYS
from crypto_assets.features.onchain_columns import DERIVED_BY_NAME
from crypto_assets.tables.registry import CONTRACTS, LOOK_BACK, enhanced

ENHANCED = enhanced()
HOUR_US = HOUR // timedelta(microseconds=1)
FAR = np.iinfo(np.int64).max
Ints = NDArray[np.int64]

First = dict[tuple[str, str, str], datetime]  # (table, entity or symbol, column) -> first instant it was known


@dataclass
class Expectations:
    """Which cells are expected.

    Attributes:
        due: Coin -> feature -> instant (UTC) from which it is expected.
        not_given: Input (``table.column``) -> coins for which the source never gave it.
        bars: Coin -> (first close, last close) of each of its runs of bars without a long gap, in microseconds.
    """

    due: dict[str, dict[str, datetime]] = field(default_factory=dict)
    not_given: dict[str, list[str]] = field(default_factory=dict)
    bars: dict[str, tuple[Ints, Ints]] = field(default_factory=dict)

    def bars_before(self, symbol: str, marks: Ints) -> Ints:
        """Count the consecutive bars before each hour mark. Flat bars of short gaps count too.

        Args:
            symbol: The coin.
            marks: Hour marks, microseconds since 1970, UTC.

        Returns:
            One count per mark; -1 where the gap is too long.
        """
        run, first, last = self._runs(symbol, marks)
        known = (run >= 0) & ((marks - last) // HOUR_US <= FILL_HOURS)
        return np.where(known, (marks - first) // HOUR_US, -1)

    def of_one_run(self, symbol: str, first: Ints, last: Ints) -> NDArray[np.bool_]:
        """Say whether :meth:`bars_before` grows by one an hour, or stays -1, over each span of hour marks.

        Args:
            symbol: The coin.
            first: The first mark of each span.
            last: The last mark of each span.

        Returns:
            One value per span; False where a run of bars begins or ends within it.
        """
        same = self._runs(symbol, first)[0] == self._runs(symbol, last)[0]
        known = [self.bars_before(symbol, marks) >= 0 for marks in (first, last)]
        return same & (known[0] == known[1])

    def _runs(self, symbol: str, marks: Ints) -> tuple[Ints, Ints, Ints]:
        """Return the newest run that began by each mark (-1: none did), its first and its last close."""
        first, last = self.bars.get(symbol, (np.array([FAR]), np.array([FAR])))
        run = np.searchsorted(first, marks, side="right") - 1
        return run, first[run], last[run]


def expectations(scope: Scope, coins: Sequence[Coin]) -> Expectations:
    """Find which features are expected for these coins.

    Args:
        scope: The inputs up to the end of the range are read.
        coins: The coins.

    Returns:
        The expectations of all features.
    """
    first = _first_known(scope, {source for source, _ in _PLACES})
    found = Expectations(bars=_bar_runs(scope))
    absent: dict[str, dict[str, None]] = {}
    for coin in coins:
        due = found.due.setdefault(coin.symbol, {})
        having = {kind for kind in Coins if kind.has(coin)}
        moments = {place: _moment(*place, coin, first) for place in _PLACES}
        for feature in FEATURES.values():
            if feature.coins not in having:
                continue
            known = [moments[place] for place in INPUTS[feature.name]]
            instead = [moments[place] for place in INSTEAD[feature.name]]
            begins = [_last(found) for found in (known, instead) if found or not feature.inputs]
            begun = [moment for moment in begins if moment is not None]
            if begun:
                due[feature.name] = min(begun) + _WARMUP[feature.name]
            for place, moment in zip(INPUTS[feature.name], known, strict=True) if not begun else ():
                if moment is None:
                    absent.setdefault(place[0], {})[coin.symbol] = None
    found.not_given = {source: list(names) for source, names in sorted(absent.items())}
    return found


def _last(moments: Sequence[datetime | None]) -> datetime | None:
    """When all inputs are there; None while one is not."""
    known = [moment for moment in moments if moment is not None]
    return max(known, default=_NEVER_LATE) if len(known) == len(moments) else None


def spans(symbols: pl.Series) -> Iterator[tuple[str, slice]]:
    """Yield (coin, slice of its rows) of a column in which the rows of each coin are consecutive."""
    runs, begin = symbols.rle().struct.unnest(), 0
    for length, symbol in runs.select("len", "value").iter_rows():
        yield symbol, slice(begin, begin + length)
        begin += length


def _bar_runs(scope: Scope) -> dict[str, tuple[Ints, Ints]]:
    """Return coin -> (first close, last close) of each run of bars; a gap that flat bars fill is no end of it."""
    far = replace(scope, start=scope.start - LOOKBACK_DAYS["ohlc"] * DAY)
    found: dict[str, list[list[int]]] = {}
    for first, last in parts(far, "ohlc", 2):
        rows = scope.warehouse.read("ohlc", start=first, end=last, columns=["symbol", "ts"])  # sorted by both
        every = rows["ts"].to_physical().to_numpy() + HOUR_US
        for symbol, mine in spans(rows["symbol"]):
            closes, known = every[mine], found.setdefault(symbol, [])
            before = known[-1][1] if known else closes[0]
            gaps = np.diff(closes, prepend=before) // HOUR_US > FILL_HOURS + 1  # too long to fill
            begins = np.flatnonzero(gaps) if known else np.flatnonzero(gaps | (np.arange(len(closes)) == 0))
            ends = [*(begins[begins > 0] - 1), len(closes) - 1]
            if known and (not len(begins) or begins[0] > 0):  # the run of the part before goes on
                known[-1][1] = int(closes[ends.pop(0)])
            known += [[int(closes[begin]), int(closes[end])] for begin, end in zip(begins, ends, strict=True)]
    return {symbol: (np.array(runs)[:, 0], np.array(runs)[:, 1]) for symbol, runs in found.items()}


_NEVER_LATE = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def inputs_of(feature: Feature) -> tuple[tuple[str, timedelta], ...]:
    """Find the provider's columns behind a feature. A column of onchain_enhanced is traced to its base columns.

    A column of an enhanced table is traced to the base columns it is derived from.
    """
    found: list[tuple[str, timedelta]] = []
    for source in feature.inputs:
        base = ENHANCED.get(table_of(source))
        derived = None if base is None else DERIVED_BY_NAME.get(column_of(source))
        if derived is None:
            found.append((source, timedelta()))
        else:
            found += [(f"{base}.{column}", derived.first_days * DAY) for column in derived.inputs]
    return tuple(found)


INPUTS = {name: inputs_of(feature) for name, feature in FEATURES.items()}
INSTEAD = {name: tuple((source, timedelta()) for source in feature.instead) for name, feature in FEATURES.items()}
_PLACES = tuple(dict.fromkeys(place for named in (INPUTS, INSTEAD) for places in named.values() for place in places))
_WARMUP = {name: feature.first_hours * HOUR for name, feature in FEATURES.items()}


def _moment(source: str, span: timedelta, coin: Coin, first: First) -> datetime | None:
    named = _NAMED[source]
    name = coin.defillama if named.entity == "chain" else named.entity or coin.symbol
    if named.of_venue:
        name = _at_venue(coin.symbol, named.entity or "")
    moment = first.get((named.table, name if name and named.owned else "", named.column))
    return None if moment is None else moment + span + named.delay


@dataclass(frozen=True)
class _Named:
    """What the name of an input says, taken apart once and not for each coin."""

    table: str
    entity: str | None
    column: str
    owned: bool
    of_venue: bool
    delay: timedelta  # a bar stands at its close

    @staticmethod
    def of(source: str) -> _Named:
        table, entity = table_of(source), entity_of(source)
        of_venue = bool(entity) and "venue" in CONTRACTS[table].key
        delay = HOURLY.get(table, 0) * HOUR
        return _Named(table, entity, column_of(source), _owner(table) is not None, of_venue, delay)


def _owner(table: str) -> str | None:
    """The column that says whose value a row has; None where it is the whole market's."""
    return next((key for key in ("symbol", "entity", "series") if key in CONTRACTS[table].key), None)


_NAMED = {source: _Named.of(source) for source, _ in _PLACES}


def _history(table: str) -> timedelta:
    """How long before the range a first value may lie: as far as features look back, also by way of enhanced tables."""
    enhanced_from = [name for name, base in ENHANCED.items() if base == table and name in LOOKBACK_DAYS]
    more = max((LOOK_BACK[name][table] + LOOKBACK_DAYS[name] for name in enhanced_from), default=0)
    return (LOOKBACK_DAYS[table] + more) * DAY


def _first_known(scope: Scope, sources: Iterable[str]) -> First:
    """Return (table, coin or entity, column) -> the first instant at which a value was known."""
    columns: dict[str, set[str]] = {}
    for source in sources:
        columns.setdefault(table_of(source), set()).add(column_of(source))
    found: First = {}
    for table, names in columns.items():
        begins = _begins(scope, table, sorted(names))
        owners = begins.group_by("owner").agg(pl.col(sorted(names)).min())
        for keys, rows in (
            (["owner"], owners),
            (["owner", "venue"], begins if "venue" in begins.columns else owners[:0]),
        ):
            for row in rows.iter_rows(named=True):
                name = _at_venue(*(row.pop(key) for key in keys))
                found |= {(table, name, column): moment for column, moment in row.items() if moment is not None}
    return found


def _begins(scope: Scope, table: str, names: Sequence[str]) -> pl.DataFrame:
    """Return owner (empty for the whole market), venue where rows have one, and when each column was first known."""
    instant = "ts" if table in HOURLY else "available_at"  # others are joined as of when they were known
    owner, venue = _owner(table), [name for name in ("venue",) if name in CONTRACTS[table].key]
    first = [pl.col(instant).filter(pl.col(name).is_not_null()).min().alias(name) for name in names]
    whose = pl.col(owner).alias("owner") if owner else pl.lit("").alias("owner")

    def by_owner(rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows.group_by(whose, *venue).agg(first)

    begin, wanted = scope.start - _history(table), {*names, instant, *venue, *([owner] if owner else [])}
    return scope.warehouse.summarise(table, by_owner, start=begin, end=scope.end, columns=sorted(wanted))


def _at_venue(symbol: str, venue: str = "") -> str:
    return f"{symbol} {venue}" if venue else symbol
