"""Checks of the calls to providers: whether the paid key is used, and whether the budget lasts for the month."""

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
    """Compute the share of CoinGecko calls made with the pro key. ERROR below 100 %, because a paid plan is not used."""
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
    """A provider's calls of this month against its budget.

    Attributes:
        used: Calls made so far.
        budget: Calls that the plan allows in the month.
        projected: Calls expected until the end of the month.
    """

    used: int
    budget: int
    projected: float

    @property
    def share(self) -> float:
        """The projected calls as a fraction of the budget; infinite for a budget of 0."""
        return self.projected / self.budget if self.budget else float("inf")

    def __str__(self) -> str:
        return f"{self.used:,} of {self.budget:,} calls used this month; {self.projected:,.0f} projected to its end ({self.share:.0%})"


def months(settings: Settings, now: datetime) -> dict[str, Month]:
    """Project the calls of each provider that has a budget to the end of the month.

    The remaining days are expected to be like the last seven. The calls are counted in the quota store.

    Args:
        settings: Plans, budgets, and the quota store.
        now: The instant, UTC.

    Returns:
        Provider -> its month.

    Raises:
        InstanceError: The quota store cannot be reached.
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
    """Compare each provider's projected calls of the current month with its budget. WARN from 80 %; the range does not matter."""
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
