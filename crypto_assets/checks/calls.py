"""Measures of the calls to providers: is the premium key used, and will the month's budget last."""

from __future__ import annotations

import calendar
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from crypto_assets.checks.outcome import Outcome, Scope
from crypto_assets.dates import DAY
from crypto_assets.settings import Settings
from crypto_assets.sources.client.limits import PREMIUM_PLANS, PROVIDERS, limit_of
from crypto_assets.sources.client.quota import quota_store_of

BUDGET_WARNING = 0.8


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


MEASURES = {"api_usage": {"premium_share": premium_share, "budget_projection": budget_projection}}
