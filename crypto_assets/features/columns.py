"""Turn arrays of coins x hours into columns of a frame: each value is copied once, and NaN becomes null."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from crypto_assets.features.grid import Arrays, Flags, Floats


def series_of(kept: Flags, arrays: Arrays) -> dict[str, pl.Series]:
    """Select the kept cells of each array, coin by coin.

    Polars reads the memory in place, so do not write to the arrays afterwards.

    Args:
        kept: coins x hours: the cells that become rows.
        arrays: column -> coins x hours.

    Returns:
        Column -> series of the kept cells.
    """
    whole = bool(kept.all())
    return {name: _series(name, _cells(kept, whole, array)) for name, array in arrays.items()}


def _cells(kept: Flags, whole: bool, array: Floats) -> Floats:
    return np.ascontiguousarray(array.reshape(-1)) if whole else array[kept]


def _series(name: str, values: Floats) -> pl.Series:
    known = ~np.isnan(values)
    nulls = len(values) - int(np.count_nonzero(known))
    validity = pa.py_buffer(np.packbits(known, bitorder="little")) if nulls else None
    column = pa.Array.from_buffers(pa.float64(), len(values), [validity, pa.py_buffer(values)], nulls)
    return pl.Series(name, column)
