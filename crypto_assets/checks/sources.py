"""Measures across sources: do two venues agree, what is held back, is the premium key used, will the budget last."""

from __future__ import annotations

import calendar
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.dates import DAY
from crypto_assets.settings import Settings
from crypto_assets.sources.client.limits import PREMIUM_PLANS, PROVIDERS, limit_of
from crypto_assets.sources.client.quota import quota_store_of
from crypto_assets.tables.context import KRAKEN_WINDOW

AGREEMENT = 0.01  # of the price: venues differ by spread, and CoinGecko's point is seconds after the bar's close
AGREEING_SHARE = 0.99
BUDGET_WARNING = 0.8
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


def premium_share(scope: Scope) -> Outcome:
    """Share of CoinGecko calls made with the pro key, where one is set: 100 %. ERROR: a paid plan that is not used."""
    rows = scope.warehouse.read("api_usage", start=scope.start, end=scope.end).filter(pl.col("provider") == "coingecko")
    calls, premium = int(rows["calls"].sum()), int(rows["premium_calls"].sum())
    if scope.settings.coingecko_plan not in PREMIUM_PLANS:
        return Outcome(
            True,
            f"no pro key is set; {calls} call(s) on plan {scope.settings.coingecko_plan}",
            "ERROR",
            {"calls": calls},
        )
    share = premium / calls if calls else 1.0
    return Outcome(
        share == 1.0,
        f"{premium} of {calls} CoinGecko call(s) with the pro key ({share:.1%})",
        "ERROR",
        {"calls": calls, "premium_calls": premium, "share": share},
    )


@dataclass(frozen=True)
class Month:
    """A provider's calls of this month, and what they come to at its end, against the budget."""

    used: int
    budget: int
    projected: float

    @property
    def share(self) -> float:
        return self.projected / self.budget if self.budget else float("inf")

    def __str__(self) -> str:
        return f"{self.used:,} of {self.budget:,} calls used this month; {self.projected:,.0f} projected to its end ({self.share:.0%})"


def months(settings: Settings, now: datetime) -> dict[str, Month]:
    """Provider -> its month, of those that have a budget; the rest of it is taken to be like the last seven days.

    Counted in the quota store. Raises :class:`InstanceError`.
    """
    limits = {provider: limit_of(provider, settings) for provider in PROVIDERS}
    capped = {provider: limit for provider, limit in limits.items() if limit is not None and limit.budget is not None}
    if not capped:
        return {}
    quota, today = quota_store_of(settings), now.date()
    week: Counter[str] = Counter()
    for provider, _, _, calls, *_ in quota.calls(today - DAY * 6, today):
        week[provider] += calls
    left = calendar.monthrange(today.year, today.month)[1] - today.day
    found = {}
    for provider, limit in capped.items():
        used = quota.used(limit.bucket)
        found[provider] = Month(used, limit.budget or 0, used + week[provider] / 7 * left)
    return found


def budget_projection(scope: Scope) -> Outcome:
    """Each provider's calls projected to the end of the month against its budget, now, whatever the range: WARN from 80 %."""
    found = months(scope.settings, scope.now)
    if not found:
        return Outcome(True, "no monthly budget: the plan has no cap and API_BUDGETS sets none", "WARN", {})
    ranked = sorted(found, key=lambda provider: -found[provider].share)
    month = found[ranked[0]]
    return Outcome(
        month.share < BUDGET_WARNING,
        "; ".join(f"{provider}: {found[provider]}" for provider in ranked),
        "WARN",
        {
            "provider": ranked[0], "used": month.used, "budget": month.budget, "projected": month.projected,
            "projected_share": month.share,
        },
    )  # fmt: skip


MEASURES = {
    "prices": {"agreement": agreement},
    "quarantine": {"nothing_held": nothing_held},
    "api_usage": {"premium_share": premium_share, "budget_projection": budget_projection},
}
