"""From arrays of coins x hours to columns of a frame: each value is copied once, and NaN becomes null."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from crypto_assets.features.grid import Arrays, Flags, Floats


def series_of(kept: Flags, arrays: Arrays) -> dict[str, pl.Series]:
    """The kept cells of each array, coin by coin, in memory that Polars reads in place: do not write to the arrays."""
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
