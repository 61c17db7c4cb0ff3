"""Measure of derived tables: does each row carry the worst quality of its inputs?"""

from __future__ import annotations

import polars as pl

from crypto_assets.checks.outcome import Measure, Outcome, Scope
from crypto_assets.checks.parts import parts
from crypto_assets.dates import DAY
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.pit_quality import BACKFILLED, FINAL, PIT_QUALITY, WorstOfInputs
from crypto_assets.tables.registry import CONTRACTS, LOOK_BACK
from crypto_assets.tables.worst_quality import RANKS, Input, with_worst_quality

WORKED_ON = 12  # numbers of a row that are in memory while its inputs are looked up


def carries_worst(table: str, rule: WorstOfInputs) -> Measure:
    """Build the measure of a derived table."""

    def measure(scope: Scope) -> Outcome:
        """Compare the pit_quality of each row with the worst of the input rows that it may rest on.

        WARN where a row says a better one: an input was written again after the row was derived, and it is derived again soon,
        or the asset does not carry the quality of its inputs. A worse one is no lie: rows that were stored before the column was
        there are backfilled until they are derived again.
        """
        contract, inputs = CONTRACTS[table], dict[str, Input]()
        example, counts = "", dict.fromkeys(("rows", "rows_better", "rows_worse", "rows_backfilled"), 0)
        names = _columns(contract, rule.by)
        for first, last in parts(scope, table, WORKED_ON):
            rows = scope.warehouse.read(contract, start=first, end=last, columns=names)
            if not rows.is_empty():
                inputs = inputs or _inputs(scope, table, rule.by)
                example = _count(counts, rows, with_worst_quality(rule, rows, inputs)[PIT_QUALITY], example)
        better, backfilled = counts["rows_better"], counts["rows_backfilled"]
        text = f"{counts['rows'] - better} of {counts['rows']} row(s) are no better than the worst of their inputs"
        text += f"{example}; {backfilled} row(s) are backfilled"
        return Outcome(not better, text, "WARN", counts)

    return measure


def _count(counts: dict[str, int], rows: pl.DataFrame, worst: pl.Series, example: str) -> str:
    """Add what rows say to the counts; return the example, or the first one of these rows."""
    said, due = (quality.replace_strict(RANKS, return_dtype=pl.Int64) for quality in (rows[PIT_QUALITY], worst))
    wrong = rows.filter(said < due)
    counts["rows"] += rows.height
    counts["rows_better"] += wrong.height
    counts["rows_worse"] += int((said > due).sum())
    counts["rows_backfilled"] += rows.filter(pl.col(PIT_QUALITY) == BACKFILLED).height
    if example or wrong.is_empty():
        return example
    return f"; e.g. on {wrong['date'][0]}, where one says {wrong[PIT_QUALITY][0]}"


def _inputs(scope: Scope, table: str, by: str | None) -> dict[str, Input]:
    return {
        name: Input(CONTRACTS[name], _worse_than_final(scope, name, by), back)
        for name, back in LOOK_BACK[table].items()
        if (name, by) in _FARTHEST
    }


def _worse_than_final(scope: Scope, table: str, by: str | None) -> pl.DataFrame:
    """Read what of an input can make a derived row worse: of each subject, day and quality the row that was known first.

    Files whose rows are all final are not read. Several tables are derived from the input: it is read once, as far back as one
    of them looks.
    """
    contract, first = CONTRACTS[table], scope.start - _FARTHEST[table, by] * DAY
    names = _columns(contract, by)
    *others, quality = [name for name in names if name != "available_at"]

    def known_first(rows: pl.LazyFrame) -> pl.LazyFrame:
        if quality == PIT_QUALITY:
            rows = rows.filter((pl.col(quality) != FINAL) | pl.col(quality).is_null())
        return rows.group_by(*others, quality).agg(pl.col("available_at").min())

    def read() -> pl.DataFrame:
        return scope.warehouse.summarise(contract, known_first, start=first, end=scope.end, columns=names)

    return scope.once(f"rows of {table} by {by} worse than final, {first} to {scope.end}", read)


def _columns(contract: Contract, by: str | None) -> list[str]:
    return [name for name in (by, "date", "available_at", PIT_QUALITY) if name in contract.by_name]


_RULES = {
    table: rule for table, contract in CONTRACTS.items() if isinstance(rule := contract.pit_quality, WorstOfInputs)
}
# (input, column of the subject) -> how many days back one of the derived tables with this column looks
_FARTHEST: dict[tuple[str, str | None], int] = {}
for _table, _rule in _RULES.items():
    for _input, _back in LOOK_BACK[_table].items():
        if set(CONTRACTS[_input].pit_quality.allowed) != {FINAL}:
            _FARTHEST[_input, _rule.by] = max(_back, _FARTHEST.get((_input, _rule.by), 0))

MEASURES: dict[str, dict[str, Measure]] = {
    table: {"carries_worst_quality": carries_worst(table, rule)} for table, rule in _RULES.items()
}
