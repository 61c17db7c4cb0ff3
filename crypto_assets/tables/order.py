"""Whether rows are sorted, without sorting them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def in_order(rows: pl.DataFrame, by: Sequence[str]) -> bool:
    """Say whether rows are sorted: a look at neighbours costs a fraction of a sort.

    Within a run of rows that differ in the last column only, that column must not fall; the first rows of the runs must be in order
    themselves. So a text, which is slow to compare, is held against its neighbour once for each row and not twice.

    Args:
        rows: the rows.
        by: the columns.

    Returns:
        Whether they rise; False where one of them is null.
    """
    if rows.height < 2:
        return True
    *before, last = by
    rises = (pl.col(last) >= pl.col(last).shift(1)).alias("rises")
    if not before:
        return bool(rows.select(rises.tail(rows.height - 1).fill_null(value=False).all()).item())
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in before)
    found = rows.select(~same.fill_null(value=False).alias("begins"), rises)
    rising = found.select((pl.col("begins") | pl.col("rises")).tail(rows.height - 1).fill_null(value=False).all())
    return bool(rising.item()) and in_order(rows.select(before).filter(found["begins"]), before)
