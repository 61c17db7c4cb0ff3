"""How far the inputs of a model have moved since its training.

Source: Siddiqi, Credit Risk Scorecards, 2006 (population stability index; below 0.1 little, above 0.25 much).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LITTLE, MUCH = 0.1, 0.25
SMALLEST_SHARE = 1e-4  # of a bin that is empty on one side: the index stays finite


def bin_edges(training: Floats, bins: int = 10) -> Floats:
    """Return the inner edges of equally filled bins of a feature's training values; NaN does not count."""
    known = training[~np.isnan(training)]
    if not known.size:
        return np.empty(0)
    return np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]))


def shares(values: Floats, edges: Floats) -> Floats:
    """Return the share of values in each bin; all NaN where there is no value."""
    known = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=edges.size + 1)
    return counts / known.size if known.size else np.full(edges.size + 1, np.nan)


def shares_and_unknown(values: Floats, edges: Floats) -> Floats:
    """Return the share of values in each bin and, last, of unknown ones; all NaN where there is no row."""
    counts = np.bincount(np.searchsorted(edges, values[~np.isnan(values)], side="right"), minlength=edges.size + 1)
    rows = max(values.size, 1)
    return np.append(counts, np.isnan(values).sum()) / rows if values.size else np.full(edges.size + 2, np.nan)


def stability_index(training: Floats, now: Floats) -> float:
    """Return the population stability index of shares by bin: sum of (now - then) ln(now / then).

    Args:
        training: shares by bin at the training.
        now: shares by the same bins now.

    Returns:
        0 for equal shares; NaN where one side has no value.
    """
    if np.isnan(training).any() or np.isnan(now).any():
        return float("nan")
    then, here = np.maximum(training, SMALLEST_SHARE), np.maximum(now, SMALLEST_SHARE)
    return float(((here - then) * np.log(here / then)).sum())
