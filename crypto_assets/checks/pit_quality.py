"""Measure of derived tables: does each row carry the worst quality of its inputs?"""

from __future__ import annotations

import polars as pl

from crypto_assets.checks.outcome import Measure, Outcome, Scope
from crypto_assets.dates import DAY
from crypto_assets.tables.contract import Contract
from crypto_assets.tables.pit_quality import BACKFILLED, FINAL, PIT_QUALITY, WorstOfInputs
from crypto_assets.tables.registry import CONTRACTS, LOOK_BACK
from crypto_assets.tables.worst_quality import RANKS, Input, with_worst_quality


def carries_worst(table: str, rule: WorstOfInputs) -> Measure:
    """Build the measure of a derived table."""

    def measure(scope: Scope) -> Outcome:
        """Compare the pit_quality of each row with the worst of the input rows that it may rest on.

        WARN where a row says a better one: an input was written again after the row was derived, and it is derived again soon,
        or the asset does not carry the quality of its inputs. A worse one is no lie: rows that were stored before the column was
        there are backfilled until they are derived again.
        """
        rows = _quality(scope, CONTRACTS[table], rule.by)
        inputs = {
            name: Input(CONTRACTS[name], _worse_than_final(scope, name, rule.by), back)
            for name, back in LOOK_BACK[table].items()
            if rows.height and (name, rule.by) in _FARTHEST
        }
        worst = with_worst_quality(rule, rows, inputs)[PIT_QUALITY]
        said, due = (quality.replace_strict(RANKS, return_dtype=pl.Int64) for quality in (rows[PIT_QUALITY], worst))
        wrong = rows.filter(said < due)
        backfilled = rows.filter(pl.col(PIT_QUALITY) == BACKFILLED).height
        text = f"{rows.height - wrong.height} of {rows.height} row(s) are no better than the worst of their inputs"
        if wrong.height:
            text += f"; e.g. on {wrong['date'][0]}, where one says {wrong[PIT_QUALITY][0]}"
        text += f"; {backfilled} row(s) are backfilled"
        numbers = {
            "rows": rows.height, "rows_better": wrong.height, "rows_worse": int((said > due).sum()),
            "rows_backfilled": backfilled,
        }  # fmt: skip
        return Outcome(wrong.is_empty(), text, "WARN", numbers)

    return measure


def _quality(scope: Scope, contract: Contract, by: str | None) -> pl.DataFrame:
    return scope.warehouse.read(contract, start=scope.start, end=scope.end, columns=_columns(contract, by))


def _worse_than_final(scope: Scope, table: str, by: str | None) -> pl.DataFrame:
    """Read the rows of an input that can make a derived row worse: files whose rows are all final are not read.

    Several tables are derived from the input: it is read once, as far back as one of them looks.
    """
    contract, first = CONTRACTS[table], scope.start - _FARTHEST[table, by] * DAY

    def read() -> pl.DataFrame:
        names = _columns(contract, by)
        rows = scope.warehouse.scan(contract, start=first, end=scope.end, columns=names)
        if PIT_QUALITY in names:
            quality = pl.col(PIT_QUALITY)
            rows = rows.filter((quality != FINAL) | quality.is_null())
        return scope.warehouse.collect(contract, rows)

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
