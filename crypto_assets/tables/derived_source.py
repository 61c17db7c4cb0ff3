"""The value of ``source`` in derived rows. The names of providers belong to ``sources/``."""

from __future__ import annotations

import polars as pl

DERIVED = "derived"
SANDBOX_DERIVED = "sandbox/derived"
SANDBOX_PREFIX = "sandbox"


def derived_source(*frames: pl.DataFrame) -> str:
    """Name the source of derived rows.

    One sandbox row is enough for the sandbox's name, because rows that were partly computed from made-up data must say
    so.

    Args:
        *frames: the inputs; a frame without rows or without a ``source`` column does not count.

    Returns:
        ``'sandbox/derived'`` if any row of any frame has a ``source`` that starts with 'sandbox', else ``'derived'``.
    """
    for frame in frames:
        if frame.is_empty() or "source" not in frame.columns:
            continue
        names = frame.get_column("source").unique().cast(pl.String)
        if names.str.starts_with(SANDBOX_PREFIX).any():
            return SANDBOX_DERIVED
    return DERIVED
