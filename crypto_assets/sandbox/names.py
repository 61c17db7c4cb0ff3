"""What a name meant at a venue: the market of each coin, cut to the time in which it had the name, in the unit of then.

So the sandbox has the real renames, redenominations, delistings and second uses of names, on their real days: SUNUSDT
trades a thousand times higher before 2021-06-14, LUNAUSDT is one coin until 2022-05-13 and another from 2022-05-31 on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crypto_assets.catalog import all_coins
from crypto_assets.catalog.listings import Listing, listings
from crypto_assets.sandbox.market import Backend, Bars


def at(venue: str) -> dict[str, list[Listing]]:
    """Return name -> the spans in which it meant a coin at a venue, in order of time.

    Args:
        venue: a field of the catalogue, e.g. ``binance``.

    Returns:
        The names of all coins.
    """
    found: dict[str, list[Listing]] = {}
    for coin in all_coins():
        for one in listings(coin, venue):
            found.setdefault(one.ticker, []).append(one)
    return {name: sorted(spans, key=lambda one: one.since) for name, spans in found.items()}


def bars(backend: Backend, spans: Sequence[Listing], stamped_s: int = 0) -> Bars | None:
    """Return the bars that a name had.

    Args:
        backend: the market, in the unit of today.
        spans: what the name meant.
        stamped_s: seconds from the opening of a bar to its stamp, which decides whether it is in a span.

    Returns:
        The bars in order of time; None where the market has none of its coins.
    """
    known = [(one, whole) for one in spans if (whole := backend.bars(one.symbol)) is not None]
    if not known:
        return None
    if len(known) == 1 and known[0][0].begins is None and known[0][0].ends is None:
        return known[0][1]
    parts = []
    for one, whole in known:
        cut = whole.between(one.since.timestamp() - stamped_s, one.until.timestamp() - 1 - stamped_s)
        prices = (getattr(cut, name) * one.factor for name in ("open", "high", "low", "close"))
        parts.append((cut.ts, *prices, cut.volume / one.factor))
    return Bars(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
