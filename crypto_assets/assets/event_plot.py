"""Events over the price line, for metadata: a numbered point for each, and its headline below."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl

from crypto_assets.assets import plots
from crypto_assets.narratives.digests import escaped

BTC = "BTC"
SHOWN_DAYS = 14  # up to the run's last day
EVENTS = 8  # those of most outlets
LARGEST = 8  # outlets from which a point grows no more


def events_over_price(news_events: pl.DataFrame, prices: pl.DataFrame, end: date) -> str:
    """Draw the events of most outlets over the price of the coin that most of them name first.

    Args:
        news_events: rows of the table.
        prices: rows of the table.
        end: the last day that is shown.

    Returns:
        Markdown: the picture, and a line for each event. A text without a picture where there is no price.
    """
    start = end - timedelta(days=SHOWN_DAYS - 1)
    line = prices.filter(pl.col("date").is_between(start, end), pl.col("price_usd").is_not_null()).sort("ts")
    events = _largest(news_events.filter(pl.col("date").is_between(start, end)))
    symbol = _most_named(events, set(line["symbol"]))
    line = line.filter(pl.col("symbol") == symbol)
    chosen = [
        (event, price) for event in events if symbol in event["symbols"] and (price := _price(line, event)) is not None
    ]
    chosen = sorted(chosen[:EVENTS], key=lambda pair: (pair[0]["first_seen"], pair[0]["event_id"]))
    if line.is_empty():
        return "No price of a coin that events name."
    every = line.gather_every(max(1, line.height // plots.POINTS))
    marks = [(event["first_seen"], price, float(min(event["outlet_count"], LARGEST))) for event, price in chosen]
    picture = plots.line_chart(
        {symbol: (every["ts"].to_list(), every["price_usd"].to_list())},
        title=f"Events and the price of {symbol}", unit="USD", marks=marks,
    )  # fmt: skip
    said = [
        f"{n}. {event['first_seen']:%Y-%m-%d %H:%M} {escaped(event['headline'])} ({event['outlet_count']} outlet(s))"
        for n, (event, _) in enumerate(chosen, start=1)
    ]
    return "\n".join([picture, "", *said])


def _largest(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each event once, as its newest day says, those of most outlets first."""
    newest = rows.sort("date", "event_id").unique("event_id", keep="last", maintain_order=True)
    return newest.sort("outlet_count", "first_seen", "event_id", descending=[True, True, False]).to_dicts()


def _most_named(events: list[dict[str, Any]], priced: set[str]) -> str:
    """Return the coin with a price that most events name; of a tie, and without any, BTC or the first by name."""
    counts = dict.fromkeys(sorted(priced, key=lambda name: (name != BTC, name)), 0)
    for event in events:
        for symbol in event["symbols"]:
            if symbol in counts:
                counts[symbol] += 1
    return max(counts, key=lambda name: counts[name]) if counts else BTC


def _price(line: pl.DataFrame, event: dict[str, Any]) -> float | None:
    """Return the last price at the instant at which an event was first known; None before the line begins."""
    before = line.filter(pl.col("ts") <= event["first_seen"])
    return None if before.is_empty() else float(before["price_usd"][-1])
