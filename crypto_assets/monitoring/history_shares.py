"""Compute the shares of the expected history from counts, by table and for all tables together. Pure."""

from __future__ import annotations

import polars as pl

ALL = "all"
PARTITIONS = ("partitions_expected", "partitions_materialized", "partitions_with_rows")
ROWS = ("rows_expected", "rows_present")
SHARES = ("share_materialized", "share_with_rows", "share_rows")


def shares(counts: pl.DataFrame) -> pl.DataFrame:
    """Compute the shares. A share of nothing is null.

    Args:
        counts: asset, PARTITIONS, ROWS. Tables without a rule for their rows (null) do not count in the sums of rows.

    Returns:
        One row per asset, and 'all' for the sums, with SHARES.
    """
    sums = counts.select(pl.lit(ALL).alias("asset"), *(pl.col(name).sum() for name in (*PARTITIONS, *ROWS)))
    return pl.concat([counts.select(sums.columns), sums]).with_columns(
        share_materialized=_share("partitions_materialized", "partitions_expected"),
        share_with_rows=_share("partitions_with_rows", "partitions_expected"),
        share_rows=_share("rows_present", "rows_expected"),
    )


def _share(part: str, whole: str) -> pl.Expr:
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))
