"""What a simulated day came to: service level, gaps, duplicates, and how often each incident was reported."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from typing import Any

import polars as pl

from crypto_assets.automation.schedules import SETTLES_AFTER
from crypto_assets.checks import calls
from crypto_assets.checks.outcome import Scope
from crypto_assets.checks.shells import every_measure
from crypto_assets.dates import DAY, days, midnight
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import CONTRACTS

# Tables with a row of each coin and hour or day, and the source whose lag says when a day must be whole.
WHOLE = {
    "prices": "prices",
    "ohlc": "ohlc",
    "ml_features": "prices",
    "onchain_base": "onchain_base",
    "onchain_enhanced": "onchain_base",
    "market_sentiment": "market_sentiment",
    "defi_metrics": "defi_metrics",
}


def incidents(messages: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Incident -> what it was, when it began and ended, and how often each of the two was reported."""
    found: dict[str, dict[str, Any]] = {}
    for message in messages:
        entry = found.setdefault(
            str(message["incident"]), {"title": message["title"], "what": message["what"], "reported": Counter()}
        )
        entry["reported"][message["event"]] += 1
        entry[message["event"]] = message["closed_at"] or message["opened_at"]
    return found


def reported_wrongly(found: dict[str, dict[str, Any]]) -> list[str]:
    """Incidents that were not reported once when they began and once when they ended."""
    once = {"opened": 1, "closed": 1}
    return [
        f"{entry['title']}: {dict(entry['reported'])}" for entry in found.values() if dict(entry["reported"]) != once
    ]


def service_level(warehouse: Warehouse, now: datetime, window: str) -> dict[str, Any]:
    """From the platform's own newest report: the shares of fresh slots in a window, by table."""
    rows = warehouse.read("slo_report", start=now.date() - DAY, end=now.date())
    newest = rows.filter(pl.col("ts") == pl.col("ts").max(), pl.col("window") == window)
    shares = {row["asset"]: round(row["share_fresh"], 4) for row in newest.iter_rows(named=True)}
    return {
        "slo_window": window,
        "slo": shares,
        "slo_least": min(shares.values()),
        "slots": int(newest.filter(pl.col("asset") == "prices")["slots"].sum()),
        "unobserved_slots": int(newest["unobserved_slots"].sum()),
    }


def gaps(warehouse: Warehouse, first: date, now: datetime) -> list[str]:
    """What is missing in the closed days since ``first`` that every provider should have by now, as sentences."""
    said = []
    for day in days(first, now.date() - DAY):
        scope = Scope(warehouse, Settings.from_env(), day, day, now)
        for table, source in WHOLE.items():
            if midnight(day + DAY) + SETTLES_AFTER[source] <= now:
                outcome = every_measure()[table]["rows_expected"](scope)
                said += [] if outcome.passed else [f"{table}: {outcome.description}"]
    return said


def premium_share(warehouse: Warehouse, first: date, now: datetime) -> float:
    """The share of CoinGecko's calls since ``first`` that were made with the paid key; by the platform's own check."""
    outcome = calls.premium_share(Scope(warehouse, Settings.from_env(), first, now.date(), now))
    if not outcome.numbers["calls"]:
        raise RuntimeError("no call of CoinGecko was counted, so the share of paid calls says nothing")
    return float(outcome.numbers["share"])


def duplicates(warehouse: Warehouse, first: date, now: datetime) -> list[str]:
    """Tables in which a key occurs twice."""
    said = []
    for table, contract in CONTRACTS.items():
        keys = warehouse.read(table, start=first, end=now.date(), columns=list(contract.key))
        if keys.height != keys.n_unique():
            said.append(f"{table}: {keys.height - keys.n_unique()} of {keys.height} rows")
    return said
