"""Checks across sources: two venues agree on prices, and no price is held in quarantine."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.checks.parts import parts
from crypto_assets.dates import DAY
from crypto_assets.tables.prices import KRAKEN_WINDOW

AGREEMENT = 0.01  # of the price: venues differ by their spread, and CoinGecko's point is some seconds after the close of the bar
AGREEING_SHARE = 0.99
HOUR = timedelta(hours=1)


def compared(scope: Scope) -> pl.DataFrame:
    """Join the hours of CoinGecko and Kraken.

    Args:
        scope: The tables and the range.

    Returns:
        One row per coin and hour that both have: symbol, ts, date, price_usd, close (USD), off (difference as a
        fraction of close).
    """
    names, found = ["symbol", "ts", "date", "price_usd"], []
    for first, last in parts(scope, "prices", len(names)):
        bars = scope.warehouse.read(
            "kraken_ohlc", start=first - DAY, end=last, columns=["symbol", "ts", "close"], in_order=False
        ).with_columns(pl.col("ts") + HOUR)
        prices = scope.warehouse.read("prices", start=first, end=last, columns=names, in_order=False)
        found.append(prices.join(bars, on=["symbol", "ts"], how="inner", maintain_order="left"))
    both = pl.concat(found).sort("symbol", "ts")
    return both.with_columns(off=(pl.col("price_usd") / pl.col("close") - 1).abs())


def agreement(scope: Scope) -> Outcome:
    """Compare CoinGecko's hourly prices with the closes of Kraken's bars; 99 % must agree within 1 %. It names the worst.

    WARN: venues differ while prices move fast, and a person must find out which one is wrong.
    """
    both = compared(scope)
    if both.is_empty():
        gone = (scope.now - KRAKEN_WINDOW).date() > scope.end
        text = (
            "Kraken shows the newest 720 hours only, and no bar of the range is stored"
            if gone
            else "no hour to compare"
        )
        # The bar that closes at midnight is stored some minutes later, with its day.
        closed = pl.col("ts") <= scope.now - HOUR
        due = scope.warehouse.summarise(
            "prices",
            lambda rows: rows.filter(closed).select(pl.len()),
            start=scope.start,
            end=scope.end,
            columns=["ts"],
        ).item()
        return Outcome(gone or not due, text, "WARN", {"compared": 0})
    share = float((both["off"] <= AGREEMENT).mean() or 0.0)  # type: ignore[arg-type]
    worst = both.sort("off", descending=True).row(0, named=True)
    return Outcome(
        share >= AGREEING_SHARE,
        f"{share:.2%} of {both.height} coin-hours agree within {AGREEMENT:.0%}; worst: {worst['symbol']} at "
        f"{worst['ts']:%Y-%m-%d %H:%M}, {worst['price_usd']:g} against {worst['close']:g} ({worst['off']:.1%})",
        "WARN",
        {
            "compared": both.height, "share_agreeing": share, "worst_symbol": worst["symbol"],
            "worst_off": worst["off"], "mean_off": float(both["off"].mean() or 0.0),  # type: ignore[arg-type]
        },
    )  # fmt: skip


def nothing_held(scope: Scope) -> Outcome:
    """Count the rows in quarantine that are not released, including today's. WARN: the table prices lacks them."""
    end = max(scope.end, scope.now.date()) if scope.live else scope.end
    rows = scope.warehouse.read("quarantine", start=scope.start, end=end)
    held = rows.filter(pl.col("released_at").is_null())
    coins = held["symbol"].unique().sort().to_list()
    text = f"{held.height} row(s) held" + (
        f" of {', '.join(coins[:8])}; crypto-assets release SYMBOL TS" if coins else ""
    )
    return Outcome(held.is_empty(), text, "WARN", {"held": held.height, "released": rows.height - held.height})


MEASURES = {
    "prices": {"agreement": agreement},
    "quarantine": {"nothing_held": nothing_held},
}
