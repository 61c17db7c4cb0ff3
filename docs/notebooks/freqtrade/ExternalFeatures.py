"""A freqtrade strategy whose FreqAI model learns from features of crypto_assets.

Copy this file and ``crypto_assets_features.py`` into ``user_data/strategies``. It is an example of the wiring, not of a strategy
that earns.
"""

from __future__ import annotations

import pandas as pd
from crypto_assets_features import fetch, join
from freqtrade.exchange import timeframe_to_minutes
from freqtrade.strategy import IStrategy

FEATURES = ("return_24h", "volatility_7d", "rsi_14", "onchain_active_addresses")


class ExternalFeatures(IStrategy):
    """Long while FreqAI expects a rise over the label's candles."""

    INTERFACE_VERSION = 3
    timeframe = "1h"
    startup_candle_count = 0  # the features arrive computed
    minimal_roi = {"0": 1.0}  # noqa: RUF012 - freqtrade's form
    stoploss = -0.1
    process_only_new_candles = True

    def feature_engineering_standard(self, dataframe: pd.DataFrame, metadata: dict, **kwargs: object) -> pd.DataFrame:
        """Add the features as they were known when each candle closed."""
        symbol = metadata["pair"].split("/")[0]
        features = fetch(symbol, dataframe["date"].iloc[0].to_pydatetime(), FEATURES)
        return join(dataframe, features, pd.Timedelta(minutes=timeframe_to_minutes(self.timeframe)))

    def set_freqai_targets(self, dataframe: pd.DataFrame, metadata: dict, **kwargs: object) -> pd.DataFrame:
        """Label each candle with the return that follows."""
        ahead = self.freqai_info["feature_parameters"]["label_period_candles"]
        dataframe["&-return"] = dataframe["close"].shift(-ahead) / dataframe["close"] - 1
        return dataframe

    def populate_indicators(self, dataframe: pd.DataFrame, metadata: dict) -> pd.DataFrame:
        """Let FreqAI train and predict."""
        return self.freqai.start(dataframe, metadata, self)

    def populate_entry_trend(self, dataframe: pd.DataFrame, metadata: dict) -> pd.DataFrame:
        """Buy where the model is sure and expects a rise."""
        dataframe.loc[(dataframe["do_predict"] == 1) & (dataframe["&-return"] > 0.002), "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe: pd.DataFrame, metadata: dict) -> pd.DataFrame:
        """Sell where it expects a fall."""
        dataframe.loc[dataframe["&-return"] < 0, "exit_long"] = 1
        return dataframe
