"""The share of feature cells with a value, of all cells and of the expected cells: by column, group, coin and day."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crypto_assets.catalog import Coin, by_symbol, select
from crypto_assets.checks.expected_features import FAR, INPUTS, Expectations, expectations, spans
from crypto_assets.checks.outcome import Chart, Outcome, Scope
from crypto_assets.checks.parts import parts
from crypto_assets.features.all_features import FEATURES, GROUPS
from crypto_assets.tables.schemas import ML_FEATURES, TEN_ONCHAIN_FIELDS

# A lower share means that an input stopped or was lost: cells that no source can give are not expected.
EXPECTED_THRESHOLD = 0.9
NAMES = list(FEATURES)
Counts = NDArray[np.int64]
Cells = NDArray[np.bool_]
EPOCH = date(1970, 1, 1)


@dataclass
class Population:
    """Counts of cells over the rows of a range. Arrays have one number per feature, in table order.

    Attributes:
        rows: Rows counted.
        filled: Cells with a value.
        expected: Cells that are expected.
        as_expected: Cells that are expected and have a value.
        coins: Symbol -> (as_expected, expected).
        daily: Day -> array of groups x (as_expected, expected).
        wanted: Which cells are expected.
    """

    rows: int = 0
    filled: Counts = field(default_factory=lambda: np.zeros(len(NAMES), dtype=np.int64))
    expected: Counts = field(default_factory=lambda: np.zeros(len(NAMES), dtype=np.int64))
    as_expected: Counts = field(default_factory=lambda: np.zeros(len(NAMES), dtype=np.int64))  # filled and expected
    coins: dict[str, Counts] = field(default_factory=dict)  # symbol -> (as_expected, expected)
    daily: dict[date, Counts] = field(default_factory=dict)  # day -> groups x (as_expected, expected)
    wanted: Expectations = field(default_factory=Expectations)
    # symbol -> instant from which each feature is expected, in microseconds
    begins: dict[str, Counts] = field(default_factory=dict, repr=False)

    def wanted_cells(self, symbol: str, marks: Counts) -> Cells:
        """Return which cells of a coin are expected at hour marks (rows x features), where no condition speaks against it."""
        if symbol not in self.begins:
            due = self.wanted.due.get(symbol, {})
            self.begins[symbol] = np.array([_micros(due[name]) if name in due else FAR for name in NAMES])
        expected: Cells = marks[:, None] >= self.begins[symbol]
        expected[:, _BARS] &= self.wanted.bars_before(symbol, marks)[:, None] >= _BARS_BEFORE
        return expected

    @property
    def overall(self) -> float:
        """Cells with a value ÷ all cells; 0 without rows."""
        return float(self.filled.sum() / (self.rows * len(NAMES))) if self.rows else 0.0

    @property
    def expected_overall(self) -> float:
        """Expected cells with a value ÷ expected cells; 0 where none is expected."""
        return _share(self.as_expected.sum(), self.expected.sum()) or 0.0

    def columns(self) -> dict[str, float]:
        """Return feature -> share of its cells with a value."""
        return {
            name: float(count / self.rows) if self.rows else 0.0 for name, count in zip(NAMES, self.filled, strict=True)
        }

    def expected_columns(self) -> dict[str, float | None]:
        """Return feature -> share of its expected cells with a value; None where none is expected."""
        return {n: _share(a, e) for n, a, e in zip(NAMES, self.as_expected, self.expected, strict=True)}

    def groups(self) -> dict[str, float | None]:
        """Return group of features -> share of its expected cells with a value; None where none is expected."""
        return {g: _share(self.as_expected @ of, self.expected @ of) for g, of in zip(GROUPS, _MEMBERS, strict=True)}

    def by_coin(self) -> dict[str, float | None]:
        """Return symbol -> share of its expected cells with a value; None where none is expected."""
        return {symbol: _share(*counts) for symbol, counts in sorted(self.coins.items())}

    def chart(self) -> Chart:
        """Build the chart of the shares by group and day."""
        days = sorted(self.daily)
        series = {
            group: (days, [_share(*self.daily[day][n]) for day in days]) for n, group in enumerate(GROUPS)
        }  # fmt: skip
        return Chart(series, "expected feature cells filled, by group", "%")


def _share(part: float | np.integer, whole: float | np.integer) -> float | None:
    return round(float(part / whole), 6) if whole else None


_MEMBERS = np.array([[name in {f.name for f in group} for name in NAMES] for group in GROUPS.values()], dtype=np.int64)


def measure_population(scope: Scope) -> Population:
    """Count every cell of the range; a bounded number of rows is in memory at a time.

    Args:
        scope: The tables, the configured coins, and the range.

    Returns:
        The counts.

    Raises:
        WarehouseError: A table cannot be read.
    """
    return scope.once("population", lambda: _measure_population(scope))


def _measure_population(scope: Scope) -> Population:
    found = Population(wanted=expectations(scope, select(scope.settings.coins)))
    names = ["symbol", "ts", "date", *NAMES]
    for first, last in parts(scope, ML_FEATURES.table, len(names)):
        frame = scope.warehouse.read(ML_FEATURES, start=first, end=last, columns=names, in_order=False)
        if frame.height:
            _count(found, frame)
    return found


def _count(found: Population, frame: pl.DataFrame) -> None:
    """Add rows.

    On nearly every day of a coin a feature is expected in all rows or in none, so that only its values are to be counted.
    Rows of the other days are looked at one by one, which takes several times longer.
    """
    # In the files the rows of a coin and day are consecutive, and groups of consecutive rows take no search.
    frame = frame.with_columns(run=pl.struct("symbol", "date").rle_id().set_sorted())
    days = _by_day(frame).sort("symbol", "date")
    filled = days.select(NAMES).to_numpy().astype(np.int64)
    counted, due = filled.copy(), np.repeat(days["rows"].to_numpy().astype(np.int64)[:, None], len(NAMES), axis=1)
    for column, n in _CONDITIONED.items():
        counted[:, column], due[:, column] = days[f"{NAMES[column]} {n}"].to_numpy(), days[f"rows {n}"].to_numpy()
    marks = [days[name].to_physical().to_numpy() for name in ("first", "last")]
    expected, whole = np.empty(filled.shape, dtype=np.bool_), np.empty(days.height, dtype=np.bool_)
    for symbol, mine in spans(days["symbol"]):
        first, last = (instants[mine] for instants in marks)
        expected[mine] = found.wanted_cells(symbol, first)
        same = (expected[mine] == found.wanted_cells(symbol, last)).all(axis=1)
        whole[mine] = same & found.wanted.of_one_run(symbol, first, last)
    found.rows += int(days["rows"].filter(pl.Series(whole)).sum())
    found.filled += filled[whole].sum(axis=0)
    counts = np.stack([counted * expected, due * expected], axis=1)
    _add(found, days.filter(pl.Series(whole)), counts[whole])
    rest = days["run"].filter(pl.Series(~whole))
    if rest.len():
        _count_rows(found, frame.filter(pl.col("run").is_in(rest.implode())).sort("symbol", "ts"))


def _by_day(frame: pl.DataFrame) -> pl.DataFrame:
    """Return for each run of rows: symbol, date, rows, first and last ts, and the values of each feature.

    ``rows N`` are those for which condition N holds; ``FEATURE N`` its values in these rows.
    """
    rules = [pl.sql_expr(condition).fill_null(value=False) for condition in _CONDITIONS]
    values = {f"{NAMES[column]} {n}": pl.col(NAMES[column]).filter(rules[n]) for column, n in _CONDITIONED.items()}
    return frame.group_by("run").agg(
        pl.col("symbol", "date").first(),
        pl.len().alias("rows"),
        pl.col("ts").min().alias("first"),
        pl.col("ts").max().alias("last"),
        *(pl.col(name).count() for name in NAMES),
        *(rule.sum().alias(f"rows {n}") for n, rule in enumerate(rules)),
        *(value.count().alias(name) for name, value in values.items()),
    )


def _count_rows(found: Population, frame: pl.DataFrame) -> None:
    """Add rows that are sorted by coin and hour, one by one."""
    filled = np.ascontiguousarray(frame.select(pl.col(name).is_not_null() for name in NAMES).to_numpy())
    marks, expected = frame["ts"].to_physical().to_numpy(), np.empty(filled.shape, dtype=np.bool_)
    for symbol, mine in spans(frame["symbol"]):
        expected[mine] = found.wanted_cells(symbol, marks[mine])
    for condition, columns in _CONDITIONS.items():
        holds = frame.select(pl.sql_expr(condition).fill_null(value=False).alias("holds"))["holds"].to_numpy()
        expected[:, columns] &= holds[:, None]
    found.rows += len(filled)
    found.filled += filled.sum(axis=0)
    place = frame.select("symbol", "date")
    starts = np.flatnonzero(
        place.select(pl.struct("symbol", "date").rle_id().diff().fill_null(1)).to_series().to_numpy()
    )
    counts = [np.add.reduceat(cells, starts, axis=0, dtype=np.int64) for cells in (filled & expected, expected)]
    _add(found, place[starts.tolist()], np.stack(counts, axis=1))


def _add(found: Population, place: pl.DataFrame, counts: Counts) -> None:
    """Add cells: days of coins x (filled and expected, expected) x features.

    Args:
        found: The counts so far.
        place: symbol and date of each day of a coin, sorted by symbol.
        counts: The cells.
    """
    as_expected, due = counts.sum(axis=0)
    found.as_expected += as_expected
    found.expected += due
    for symbol, mine in spans(place["symbol"]):
        found.coins[symbol] = found.coins.get(symbol, np.zeros(2, dtype=np.int64)) + counts[mine].sum(axis=(0, 2))
    # As floats, which hold these counts exactly: NumPy multiplies matrices of whole numbers slowly.
    grouped = (counts.astype(np.float64) @ _MEMBERS.T.astype(np.float64)).astype(np.int64).transpose(0, 2, 1)
    numbers, which = np.unique(place["date"].to_physical().to_numpy(), return_inverse=True)
    sums = np.zeros((len(numbers), *grouped.shape[1:]), dtype=np.int64)
    np.add.at(sums, which, grouped)
    for number, now in zip(numbers.tolist(), sums, strict=True):
        day = EPOCH + timedelta(days=number)
        found.daily[day] = found.daily.get(day, np.zeros_like(now)) + now


_OF_BARS = {
    n: f for n, f in FEATURES.items() if f.tables == {"ohlc"} and f.first_hours
}  # indicators that need consecutive bars
_BARS = [NAMES.index(name) for name in _OF_BARS]
_BARS_BEFORE = np.array([feature.first_hours for feature in _OF_BARS.values()])
_CONDITIONS: dict[str, list[int]] = {}
for _number, _feature in enumerate(FEATURES.values()):
    if _feature.where:
        _CONDITIONS.setdefault(_feature.where, []).append(_number)
_CONDITIONED = {column: n for n, columns in enumerate(_CONDITIONS.values()) for column in columns}


def _micros(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds() * 1e6)


def why_null(found: Population, name: str, coins: tuple[Coin, ...]) -> str:
    """Explain in one sentence why cells of a feature are null; empty where none is.

    Args:
        found: The counts.
        name: The feature.
        coins: The configured coins.

    Returns:
        The sentence.
    """
    feature = FEATURES[name]
    number = NAMES.index(name)
    reasons = []
    without = [coin.symbol for coin in coins if not feature.coins.has(coin)]
    if without:
        reasons.append(f"only {feature.coins.value}: not {_names(without)}")
    for source, _ in INPUTS[name]:
        absent = [s for s in found.wanted.not_given.get(source, []) if feature.coins.has(by_symbol()[s])]
        if absent:
            reasons.append(f"the source gave no {source} for {_names(absent)}")
    lost = int(found.expected[number] - found.as_expected[number])
    if lost:
        stale = f" or older than {_span(feature.stale)}" if feature.stale else ""
        reasons.append(f"{lost} expected cell(s) without an input in the window{stale}")
    return "; ".join(dict.fromkeys(reasons))


def _span(span: timedelta) -> str:
    """Return a span in days; one shorter than a day in minutes."""
    days = span / timedelta(days=1)
    return f"{days:g} days" if days >= 1 else f"{span / timedelta(minutes=1):g} minutes"


def _names(symbols: list[str]) -> str:
    return ", ".join(symbols[:8]) + (f" and {len(symbols) - 8} more" if len(symbols) > 8 else "")


def ten_fields(found: Population, coins: tuple[Coin, ...]) -> dict[str, dict[str, object]]:
    """Report the ten on-chain columns.

    Args:
        found: The counts.
        coins: The configured coins.

    Returns:
        Column -> its share of all cells, its share of the expected cells, and why any cell is null.
    """
    shares, expected = found.columns(), found.expected_columns()
    return {
        name: {
            "share": round(shares[name], 4),
            "expected": expected[name],
            "null_because": why_null(found, name, coins),
        }
        for name in TEN_ONCHAIN_FIELDS
    }


def feature_population(scope: Scope) -> Outcome:
    """Compute the share of expected feature cells with a value, by column, group and coin. WARN below 90 %."""
    return outcome_of(measure_population(scope), scope)


def outcome_of(found: Population, scope: Scope) -> Outcome:
    """Build the outcome of the range's cells."""
    ten = ten_fields(found, select(scope.settings.coins))
    said = "; ".join(
        f"{name} {fact['share']:.0%}" + (f" ({fact['null_because']})" if fact["null_because"] else "")
        for name, fact in ten.items()
    )
    return Outcome(
        found.rows > 0 and found.expected_overall >= EXPECTED_THRESHOLD,
        f"{found.expected_overall:.1%} of the feature cells that a source can give are populated, {found.overall:.1%} of "
        f"all cells, over {found.rows} rows; on-chain fields: {said}",
        "WARN",
        {
            "overall": found.overall, "expected_population": found.expected_overall, "rows": found.rows,
            "ten_onchain_fields": ten, "groups": found.groups(), "coins": found.by_coin(), "columns": found.columns(),
            "expected_columns": found.expected_columns(), "not_given": found.wanted.not_given,
            **({"population_by_group": found.chart()} if len(found.daily) > 1 else {}),  # one day makes no line
        },
    )  # fmt: skip


def outcome_of_day(found: Population, day: date) -> Outcome:
    """What the check says of one day's cells: those that a source can give, by group."""
    counts = found.daily.get(day)
    if counts is None:
        return Outcome(False, "no rows on this day", "WARN", {"rows": 0})
    share = _share(*counts.sum(axis=0)) or 0.0
    by_group = {group: _share(*counts[n]) for n, group in enumerate(GROUPS)}
    low = sorted((part, group) for group, part in by_group.items() if part is not None and part < EXPECTED_THRESHOLD)
    text = f"{share:.1%} of the feature cells that a source can give are populated"
    text += f"; least: {', '.join(f'{group} {part:.0%}' for part, group in low[:3])}" if low else ""
    return Outcome(share >= EXPECTED_THRESHOLD, text, "WARN", {"expected_population": share})
