"""The ``source`` of derived rows. Provider names live in the sources; nothing else belongs here."""

from __future__ import annotations

import polars as pl

DERIVED = "derived"
SANDBOX_DERIVED = "sandbox/derived"
SANDBOX_PREFIX = "sandbox"


def derived_source(*frames: pl.DataFrame) -> str:
    """``'sandbox/derived'`` if any row of any frame has a ``source`` starting with 'sandbox', else ``'derived'``.

    Frames without rows or without a ``source`` column say nothing. One sandbox row is enough: what was partly
    computed from made-up data must say so.
    """
    for frame in frames:
        if frame.is_empty() or "source" not in frame.columns:
            continue
        names = frame.get_column("source").unique().cast(pl.String)
        if names.str.starts_with(SANDBOX_PREFIX).any():
            return SANDBOX_DERIVED
    return DERIVED
