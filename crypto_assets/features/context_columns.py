"""Columns about the market around a coin.

They cover value locked, stablecoins, fear and greed, futures, communities, developers and the calendar.
"""

from typing import Any

from crypto_assets.features.feature import (
    DAILY_STALENESS,
    DAY_HOURS,
    MONTH_HOURS,
    SNAPSHOT_STALENESS,
    WEEK_HOURS,
    Change,
    Coins,
    Feature,
    ends,
)

GREED = ("market_sentiment.fear_greed_index",)
TVL = ("defi_metrics[all].tvl_usd",)
STABLE = ("defi_metrics[all].stablecoin_supply_usd",)
CHAIN_TVL = ("defi_metrics[chain].tvl_usd",)


def _now(name: str, unit: str, formula: str, inputs: tuple[str, ...], **more: Any) -> Feature:
    return Feature(name, unit, formula, inputs, **{"stale": DAILY_STALENESS, "lower": 0, **more})


def _change(
    name: str, unit: str, what: str, inputs: tuple[str, ...], hours: int, change: Change, **more: Any
) -> Feature:
    how = "minus" if change is Change.DIFFERENCE else "divided by"
    formula = f"{what} as known at ts {how} {what} as known {hours} hours before{'' if how == 'minus' else ', - 1'}."
    lower = None if change is Change.DIFFERENCE else -1
    given = {
        "stale": DAILY_STALENESS,
        "needs": ends(inputs, hours),
        "change": change,
        "lower": lower,
    }
    return Feature(name, unit, formula, inputs, **{**given, **more})


CONTEXT_FEATURES = (
    _now("fear_greed_index", "0 to 100", "Crypto Fear & Greed index.", GREED, upper=100),
    _change("fear_greed_change_24h", "points", "The index", GREED, DAY_HOURS, Change.DIFFERENCE, lower=-100, upper=100),
    _change("fear_greed_change_7d", "points", "The index", GREED, WEEK_HOURS, Change.DIFFERENCE, lower=-100, upper=100),
    _now("tvl_usd", "USD", "Total value locked over all chains.", TVL),
    _change("tvl_change_24h", "fraction", "Total value locked", TVL, DAY_HOURS, Change.RELATIVE),
    _change("tvl_change_7d", "fraction", "Total value locked", TVL, WEEK_HOURS, Change.RELATIVE),
    _now("stablecoin_supply_usd", "USD", "Stablecoins in circulation over all chains.", STABLE),
    _change("stablecoin_supply_change_7d", "fraction", "Stablecoins in circulation", STABLE, WEEK_HOURS, Change.RELATIVE),
    _change("stablecoin_supply_change_30d", "fraction", "Stablecoins in circulation", STABLE, MONTH_HOURS, Change.RELATIVE),
    _now("chain_tvl_usd", "USD", "Value locked on the coin's own chain.", CHAIN_TVL, coins=Coins.CHAIN),
    _change("chain_tvl_change_7d", "fraction", "Value locked on the coin's own chain", CHAIN_TVL, WEEK_HOURS, Change.RELATIVE,
            coins=Coins.CHAIN),
    _now("market_cap_to_tvl", "ratio", "market_cap_usd at ts / chain_tvl_usd; null where nothing is locked.",
         (*CHAIN_TVL, "prices.market_cap_usd"), coins=Coins.CHAIN),
)  # fmt: skip

_FUNDING = ("derivatives.funding_rate",)
_INTEREST = ("derivatives.open_interest_usd",)
_VENUE_INTEREST = ("open_interest.open_interest_usd",)


def _served(*instead: str, **more: Any) -> dict[str, Any]:
    """What else defines a column of the snapshot of all venues, and the inputs that serve where it has no value."""
    return {"instead": instead, **more}


DERIVATIVES_FEATURES = tuple(
    Feature(name, unit, formula, inputs, coins=Coins.PRICED, **{"stale": SNAPSHOT_STALENESS, **more})
    for name, unit, formula, inputs, more in (
        ("funding_rate", "fraction per funding interval", "Mean funding rate over contracts, weighted by open interest.", _FUNDING,
         _served("funding_rates.funding_rate")),
        ("open_interest_usd", "USD", "Open interest of perpetual futures over all venues.", _INTEREST, _served(*_VENUE_INTEREST, lower=0)),
        ("open_interest_change_24h", "fraction", "Open interest as known at ts / as known 24 hours before - 1.", _INTEREST,
         _served(*_VENUE_INTEREST, needs=ends(_INTEREST, DAY_HOURS), change=Change.RELATIVE, lower=-1)),
        ("open_interest_to_market_cap", "ratio", "open_interest_usd / market_cap_usd at ts.", (*_INTEREST, "prices.market_cap_usd"),
         _served(*_VENUE_INTEREST, "prices.market_cap_usd", lower=0)),
        ("futures_basis", "fraction of the index", "(futures - index) / index, weighted by open interest.", ("derivatives.basis",),
         _served("perpetual_bars.basis")),
        ("futures_volume_24h_usd", "USD", "Volume of perpetual futures in 24 hours.", ("derivatives.volume_24h_usd",),
         _served("perpetual_bars.volume_usd", lower=0)),
    )
)  # fmt: skip

_SUBSCRIBERS = ("social_metrics.reddit_subscribers",)
SOCIAL_FEATURES = (
    _now("reddit_subscribers", "accounts", "Subscribers of the coin's subreddit.", _SUBSCRIBERS, coins=Coins.PRICED),
    _change("reddit_subscribers_change_7d", "fraction", "Subscribers of the coin's subreddit", _SUBSCRIBERS, WEEK_HOURS,
            Change.RELATIVE, coins=Coins.PRICED),
    *(
        _now(name, unit, f"social_metrics.{name} of the newest day known.", (f"social_metrics.{name}",), coins=Coins.PRICED)
        for name, unit in (("reddit_active_accounts_48h", "accounts"), ("reddit_posts_48h", "posts an hour"),
                           ("reddit_comments_48h", "comments an hour"))
    ),
)  # fmt: skip

DEVELOPER_FEATURES = (
    *(
        _now(f"developer_{name}", unit, f"developer_activity.{name} of the newest day known.", (f"developer_activity.{name}",),
             coins=Coins.PRICED)
        for name, unit in (("commits_4w", "commits"), ("stars", "stars"), ("forks", "forks"),
                           ("pull_requests_merged", "requests"), ("pull_request_contributors", "accounts"))
    ),
    _now("developer_issue_closure", "fraction", "Issues closed / issues ever opened; null where none was.",
         ("developer_activity.closed_issues", "developer_activity.total_issues"), coins=Coins.PRICED),
)  # fmt: skip

CALENDAR_FEATURES = tuple(
    Feature(name, "-1 to 1", formula, (), lower=-1, upper=1)
    for name, formula in (
        ("hour_sin", "sin(2 pi x hour of the UTC day / 24)."),
        ("hour_cos", "cos(2 pi x hour of the UTC day / 24)."),
        ("weekday_sin", "sin(2 pi x weekday / 7), Monday 0."),
        ("weekday_cos", "cos(2 pi x weekday / 7), Monday 0."),
    )
)
