"""Runs the strategy of docs/notebooks/freqtrade inside freqtrade: ``FREQTRADE_PYTHON freqai_run.py STRATEGIES FOLDER``.

It needs freqtrade with LightGBM, and a gateway at ``CRYPTO_ASSETS_URL``; not crypto_assets. The candles are the gateway's own bars, kept
as freqtrade keeps downloaded ones. No exchange is asked: what runs is freqtrade's strategy loader, FreqAI's training and prediction
window by window, and the strategy's rules. The figures go to stdout as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import httpx
import pandas as pd
import pyarrow as pa
from freqtrade.data.dataprovider import DataProvider
from freqtrade.data.history import get_datahandler, load_pair_history
from freqtrade.enums import CandleType, RunMode
from freqtrade.resolvers import StrategyResolver

PAIR, TIMEFRAME = "BTC/USDT", "1h"
FREQAI = {
    "enabled": True,
    "identifier": "crypto_assets",
    "train_period_days": 30,
    "backtest_period_days": 7,
    "feature_parameters": {
        "include_timeframes": [TIMEFRAME],
        "include_corr_pairlist": [],
        "label_period_candles": 24,
        "indicator_periods_candles": [],
        "include_shifted_candles": 0,
        "DI_threshold": 0,
        "plot_feature_importances": 0,
        "buffer_train_data_candles": 0,
        "shuffle_after_split": False,
    },
    "data_split_parameters": {"test_size": 0, "shuffle": False},
    "model_training_parameters": {"n_estimators": 30, "num_threads": 1, "verbosity": -1},
}


def candles() -> pd.DataFrame:
    """Bars of the gateway in freqtrade's columns."""
    answer = httpx.get(
        f"{os.environ['CRYPTO_ASSETS_URL']}/v1/tables/ohlc/rows",
        params={"symbols": "BTC", "columns": "open,high,low,close,volume"},
        headers={"Accept": "application/vnd.apache.arrow.stream"},
        timeout=60,
    ).raise_for_status()
    rows = pa.ipc.open_stream(answer.content).read_all().to_pandas().rename(columns={"ts": "date"})
    rows["date"] = rows["date"].astype("datetime64[ms, UTC]")
    return rows.sort_values("date", ignore_index=True)[["date", "open", "high", "low", "close", "volume"]]


def main(strategies: Path, folder: Path) -> None:
    """Train, predict and apply the rules over the last two weeks."""
    data = folder / "data"
    data.mkdir(parents=True)
    rows = candles()
    get_datahandler(data, "feather").ohlcv_store(PAIR, TIMEFRAME, rows, CandleType.SPOT)
    last = rows["date"].iloc[-1].normalize()
    kept = folder / "config.json"  # FreqAI copies it beside the models
    kept.write_text(json.dumps({"freqai": FREQAI}), encoding="utf-8")
    config = {
        "config_files": [str(kept)],
        "runmode": RunMode.BACKTEST,
        "strategy": "ExternalFeatures",
        "strategy_path": str(strategies),
        "freqaimodel": "LightGBMRegressor",
        "freqai": FREQAI,
        "timeframe": TIMEFRAME,
        "timerange": f"{last - pd.Timedelta(days=14):%Y%m%d}-{last:%Y%m%d}",
        "user_data_dir": folder,
        "datadir": data,
        "dataformat_ohlcv": "feather",
        "exchange": {"name": "binance", "pair_whitelist": [PAIR]},
        "pairs": [PAIR],
        "stake_currency": "USDT",
        "trading_mode": "spot",
        "candle_type_def": CandleType.SPOT,
    }
    strategy = StrategyResolver.load_strategy(config)
    strategy.dp = DataProvider(config, None)
    strategy.ft_bot_start()
    loaded = load_pair_history(PAIR, TIMEFRAME, data, candle_type=CandleType.SPOT)
    analysed = strategy.ft_advise_signals(strategy.advise_indicators(loaded, {"pair": PAIR}), {"pair": PAIR})
    kept_models = sorted(folder.glob("models/crypto_assets/**/*_metadata.json"))
    predicted = analysed[analysed["do_predict"] == 1]
    found = {
        "strategy": strategy.get_strategy_name(),
        "trained_on": [json.loads(path.read_text(encoding="utf-8"))["training_features_list"] for path in kept_models],
        "candles": len(analysed),
        "predicted": len(predicted),
        "distinct_predictions": int(predicted["&-return"].nunique()),
        "entries": int(analysed["enter_long"].fillna(0).sum()),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
