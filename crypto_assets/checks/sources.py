"""Measures across sources: do two venues agree, and what is held back."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.dates import DAY
from crypto_assets.tables.prices import KRAKEN_WINDOW

AGREEMENT = 0.01  # of the price: venues differ by spread, and CoinGecko's point is seconds after the bar's close
AGREEING_SHARE = 0.99
HOUR = timedelta(hours=1)


def compared(scope: Scope) -> pl.DataFrame:
    """Coin-hours that both sources have: symbol, ts, date, price_usd, close, and how far off they are as a fraction."""
    names = ["symbol", "ts", "date", "price_usd"]
    prices = scope.warehouse.read("prices", start=scope.start, end=scope.end, columns=names)
    bars = scope.warehouse.read(
        "kraken_ohlc", start=scope.start - DAY, end=scope.end, columns=["symbol", "ts", "close"]
    ).with_columns(pl.col("ts") + HOUR)
    return prices.join(bars, on=["symbol", "ts"]).with_columns(off=(pl.col("price_usd") / pl.col("close") - 1).abs())


def agreement(scope: Scope) -> Outcome:
    """CoinGecko's hour marks against the closes of Kraken's bars: within 1 % for 99 % of coins and hours; the worst is named.

    WARN: venues differ in a rush; which of the two is wrong is for a person to say.
    """
    both = compared(scope)
    if both.is_empty():
        gone = (scope.now - KRAKEN_WINDOW).date() > scope.end
        text = "Kraken shows 720 hours only and none of the range is stored" if gone else "no hour to compare"
        # The bar that closes at midnight is stored with its day, some minutes later.
        marks = scope.warehouse.read("prices", start=scope.start, end=scope.end, columns=["ts"])
        due = marks.filter(pl.col("ts") <= scope.now - HOUR).height
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
    """Rows in quarantine that nobody has judged yet, today's with them. WARN: prices lack them until one does."""
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
