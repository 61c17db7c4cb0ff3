"""Our features inside freqtrade's FreqAI: the source of freqai.ipynb."""

# %% [markdown]
# # Our features inside freqtrade's FreqAI
#
# [freqtrade](https://www.freqtrade.io) trades; its part FreqAI trains models on columns whose names begin with `%`. Two small files bring ours
# there over HTTP: one asks the gateway and joins, the other is the strategy. They need what freqtrade has, not crypto_assets.
#
# ```sh
# crypto-assets serve --port 8000 --without-token
# cp docs/notebooks/freqtrade/*.py ~/freqtrade/user_data/strategies/
# freqtrade backtesting --strategy ExternalFeatures --freqaimodel LightGBMRegressor --config config.json
# ```

# %%
import sys
from pathlib import Path

sys.path.insert(0, "freqtrade")
print(Path("freqtrade/ExternalFeatures.py").read_text(encoding="utf-8").split('"""', 2)[2].strip())

# %% [markdown]
# What it does, step by step. freqtrade's candles have the time at which they *open*, and a decision is made when they close. So a candle of
# 09:00 gets the newest features known at 10:00: the row of 09:00, known at 09:05. The row of 10:00 is known at 10:05, too late.

# %%
import os

import crypto_assets_features as external
import httpx
import pandas as pd
import pyarrow as pa

ADDRESS = os.environ.get("CRYPTO_ASSETS_URL", "http://127.0.0.1:8000")
bars = httpx.get(
    f"{ADDRESS}/v1/tables/ohlc/rows",
    params={"symbols": "BTC", "columns": "open,high,low,close,volume"},
    headers={"Accept": external.ARROW},
    timeout=60,
).raise_for_status()
candles = pa.ipc.open_stream(bars.content).read_all().to_pandas().rename(columns={"ts": "date"})
candles = candles.sort_values("date", ignore_index=True)[["date", "open", "high", "low", "close", "volume"]]

FEATURES = ["rsi_14", "volatility_7d", "onchain_active_addresses"]
features = external.fetch("BTC", candles["date"].iloc[0].to_pydatetime(), FEATURES)
joined = external.join(candles, features, pd.Timedelta(hours=1))
joined[["date", "close", "%-rsi_14", "%-volatility_7d", "%-onchain_active_addresses"]].tail(3)

# %% [markdown]
# Nothing looks ahead: after everything that became known later is deleted, every candle before has the same values.

# %%
middle = candles["date"].iloc[len(candles) // 2]
known_then = features[features["available_at"] <= middle + pd.Timedelta(hours=1)]
again = external.join(candles[candles["date"] <= middle], known_then, pd.Timedelta(hours=1))
pd.testing.assert_frame_equal(joined.iloc[: len(again)], again)
print(f"{len(again)} candles, the same values without the {len(features) - len(known_then)} later rows")

# %% [markdown]
# And what it costs to get this wrong by one hour: the row of the hour at which the candle closes "knows" five minutes more.

# %%
wrong = external.join(
    candles, features.assign(available_at=features["available_at"] - pd.Timedelta(minutes=5)), pd.Timedelta(hours=1)
)
changed = (joined["%-rsi_14"] != wrong["%-rsi_14"]) & joined["%-rsi_14"].notna()
print(f"{changed.mean():.1%} of the candles would get another row")

# %% [markdown]
# The part of freqtrade's configuration that turns FreqAI on:
#
# ```json
# "freqai": {
#     "enabled": true, "identifier": "crypto_assets", "train_period_days": 30, "backtest_period_days": 7,
#     "feature_parameters": {"include_timeframes": ["1h"], "include_corr_pairlist": [], "label_period_candles": 24},
#     "data_split_parameters": {"test_size": 0}, "model_training_parameters": {}
# }
# ```
#
# FreqAI then trains on these columns and writes its prediction into `&-return`. A test of this repository runs the strategy in freqtrade itself
# (2026.9) where one is installed.
