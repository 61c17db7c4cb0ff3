"""On-chain columns against Coin Metrics' own, in the recording, and against pandas where the provider has no such column."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crypto_assets.tables.schemas import COINMETRICS_METRICS
from crypto_assets.transforms.onchain import OUTPUT, enhance

# Ours -> theirs, and the digits to which the provider publishes its own.
THEIRS = {
    "nvt_ratio": ("NVTAdj", 1e-7),
    "mvrv_ratio": ("CapMVRVCur", 1e-7),
    "nvt_signal_90d": ("NVTAdj90", 1e-9),
    "price_volatility_30d": ("VtyDayRet30d", 1e-9),
}
FILES = ("coinmetrics_daily_2020-04_2021-04.parquet", "coinmetrics_daily_to_2020-03.parquet")


def base_of(recorded: pd.DataFrame) -> pd.DataFrame:
    days = pd.to_datetime(recorded["date"])
    base = pd.DataFrame({"symbol": recorded["asset"].str.upper(), "date": days.dt.date, "source": "coinmetrics"})
    base["available_at"] = (days.dt.tz_localize("UTC") + pd.Timedelta(hours=30)).astype("datetime64[us, UTC]")
    for name, metric in COINMETRICS_METRICS.items():
        base[name] = recorded[metric].astype(float) if metric in recorded else np.nan
    return base


@pytest.mark.parametrize("file", FILES)
def test_ratios_equal_coin_metrics_own(shared: Path, file: str) -> None:
    recorded = pd.read_parquet(shared / "data" / file)
    recorded = recorded[recorded["asset"].isin(["btc", "ltc", "eth", "uni", "aave", "mkr", "comp", "snx"])]
    recorded = recorded.reset_index(drop=True)
    base = base_of(recorded)
    # The provider's own MVRV must not stand in for ours.
    found = enhance(base.assign(mvrv_provider=np.nan), date(2009, 1, 1), date(2022, 1, 1))
    beside = pd.concat([base[["symbol", "date"]], recorded[[theirs for theirs, _ in THEIRS.values()]]], axis=1)
    both = found.merge(beside, on=["symbol", "date"])
    for name, (theirs, digits) in THEIRS.items():
        pair = both[[name, theirs]].astype(float).dropna()
        pair = pair[pair[theirs] != 0]
        assert len(pair) > 1000, name
        assert pair[name].to_numpy() == pytest.approx(pair[theirs].to_numpy(), rel=digits), name


def test_every_derived_column_equals_pandas_on_recorded_bitcoin(shared: Path) -> None:
    recorded = pd.read_parquet(shared / "data" / FILES[1])
    recorded = recorded[(recorded["asset"] == "btc") & recorded["PriceUSD"].notna()].sort_values("date")
    base = base_of(recorded.reset_index(drop=True))
    rng = np.random.default_rng(1)  # the recording has no exchange flows of these years: any numbers test the formula
    base = base.assign(
        exchange_inflow_usd=rng.gamma(3.0, size=len(base)), exchange_outflow_usd=rng.gamma(3.0, size=len(base))
    )
    assert (pd.Series(pd.to_datetime(base["date"])).diff().dropna() == pd.Timedelta(days=1)).all()
    found = enhance(base, date(2009, 1, 1), date(2022, 1, 1))
    wanted = by_pandas(base)
    assert set(wanted) == set(OUTPUT)
    for name, series in wanted.items():
        value, expected = found[name].to_numpy(float), series.replace([np.inf, -np.inf], np.nan).to_numpy(float)
        assert np.isfinite(value).sum() > 1000, name
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True), name


def by_pandas(b: pd.DataFrame) -> dict[str, pd.Series]:
    """The definitions as pandas says them, for a table without a missing day."""
    cap, realized, moved = b["market_cap_usd"], b["realized_cap_usd"], b["transfer_volume_usd"]
    count, active, supply, price, fees = (
        b[n] for n in ("transaction_count", "active_addresses", "supply_current", "price_usd", "fees_usd")
    )
    logs = np.log(price).diff()
    issued = supply.diff().where(lambda s: s >= 0) * price

    def zscore(s: pd.Series) -> pd.Series:
        return (s - s.rolling(30).mean()) / s.rolling(30).std()

    def change(s: pd.Series, days: int) -> pd.Series:
        return s / s.shift(days) - 1

    hashes = b["hash_rate"]
    mvrv = cap / realized
    return {
        "nvt_ratio": cap / moved, "mvrv_ratio": mvrv.fillna(b["mvrv_provider"]), "avg_transaction_value_usd": moved / count,
        "price_volatility_7d": logs.rolling(7).std(), "price_volatility_30d": logs.rolling(30).std(),
        "active_addresses_change_7d": change(active, 7), "active_addresses_zscore_30d": zscore(active),
        "transaction_count_change_7d": change(count, 7), "transaction_count_zscore_30d": zscore(count),
        "transfer_volume_change_7d": change(moved, 7), "transfer_volume_zscore_30d": zscore(moved),
        "transactions_per_address": count / active, "nvt_signal_90d": cap / moved.rolling(90).mean(),
        "nupl": (cap - realized) / cap, "mvrv_zscore_365d": (cap - realized) / cap.rolling(365, min_periods=292).std(),
        "issuance_usd": issued, "puell_multiple_365d": issued / issued.rolling(365, min_periods=292).mean(),
        "fee_share": fees / (fees + issued), "fee_per_transaction_usd": fees / count,
        "hash_ribbon_30d_60d": hashes.rolling(30).mean() / hashes.rolling(60).mean() - 1,
        "hash_rate_change_30d": change(hashes, 30), "difficulty_change_30d": change(b["difficulty"], 30),
        "supply_growth_30d": change(supply, 30), "velocity_30d": b["transfer_volume_native"].rolling(30).sum() / supply,
        "net_exchange_flow_usd": b["exchange_inflow_usd"] - b["exchange_outflow_usd"],
        "exchange_inflow_zscore_30d": zscore(b["exchange_inflow_usd"]),
    }  # fmt: skip
