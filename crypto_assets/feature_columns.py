"""The columns of ``ml_features``: name, unit, definition and bounds, in table order.

How they are computed is in ``transforms/features``; a test keeps the two in step.
"""

from __future__ import annotations

import polars as pl

from crypto_assets.contract import Column


def _f(name: str, unit: str, description: str, lower: float | None = None, upper: float | None = None) -> Column:
    return Column(name, pl.Float64, unit, description, lower=lower, upper=upper)


PRICE_COLUMNS = (
    _f("price_usd", "USD", "Price observed at the hour mark (prices).", 0),
    _f("return_1h", "fraction", "p(ts) / p(ts - 1 h) - 1; null if either hour is missing.", -1),
    _f("return_24h", "fraction", "p(ts) / p(ts - 24 h) - 1; null if either hour is missing.", -1),
    _f("return_7d", "fraction", "p(ts) / p(ts - 168 h) - 1; null if either hour is missing.", -1),
    _f(
        "volatility_24h", "per hour", "Sample std of hourly log returns in (ts - 24 h, ts]; null below 80 % of them.", 0
    ),
    _f(
        "volatility_7d", "per hour", "Sample std of hourly log returns in (ts - 168 h, ts]; null below 80 % of them.", 0
    ),
)

TECHNICAL_COLUMNS = (
    _f("rsi_14", "0 to 100", "Wilder's RSI over 14 bars, restarted at gaps; null for the first 280 bars.", 0, 100),
    _f("sma_20", "quote", "Mean close of the last 20 consecutive hourly bars.", 0),
    _f("sma_50", "quote", "Mean close of the last 50 consecutive hourly bars.", 0),
    _f("ema_12", "quote", "EMA of close, alpha 2/13, restarted at gaps; null for the warm-up.", 0),
    _f("ema_26", "quote", "EMA of close, alpha 2/27, restarted at gaps; null for the warm-up.", 0),
    _f("macd_line", "quote", "ema_12 - ema_26."),
    _f("macd_signal", "quote", "EMA of macd_line, alpha 2/10."),
    _f("macd_histogram", "quote", "macd_line - macd_signal."),
    _f("bb_upper", "quote", "sma_20 + 2 population standard deviations of close."),
    _f("bb_middle", "quote", "Middle Bollinger band: mean close of 20 bars.", 0),
    _f("bb_lower", "quote", "sma_20 - 2 population standard deviations of close."),
    _f("stoch_k", "0 to 100", "Fast %K over 14 bars; null where the range is zero.", 0, 100),
    _f("stoch_d", "0 to 100", "Mean of the last 3 %K.", 0, 100),
    _f("atr_14", "quote", "Wilder's average true range over 14 bars, restarted at gaps.", 0),
    _f("vwap_24h", "quote", "Sum(typical price x volume) / sum(volume) over the last 24 consecutive bars.", 0),
)

ONCHAIN_COLUMNS = (
    _f("transaction_count_24h", "transactions", "onchain_base.transaction_count, as-of.", 0),
    _f("onchain_market_cap_usd", "USD", "onchain_base.market_cap_usd, as-of.", 0),
    _f("onchain_volume_24h", "USD", "onchain_base.transfer_volume_usd, as-of.", 0),
    _f("onchain_price_volatility_7d", "per day", "onchain_enhanced.price_volatility_7d, as-of.", 0),
    _f("onchain_active_addresses", "addresses", "onchain_base.active_addresses, as-of.", 0),
    _f("onchain_transaction_volume", "native units", "onchain_base.transfer_volume_native, as-of.", 0),
    _f("onchain_avg_transaction_value", "USD", "onchain_enhanced.avg_transaction_value_usd, as-of.", 0),
    _f("onchain_nvt_ratio", "ratio", "onchain_enhanced.nvt_ratio, as-of.", 0),
    _f("onchain_mvrv_ratio", "ratio", "onchain_enhanced.mvrv_ratio, as-of.", 0),
    _f("onchain_whale_transactions", "transfers", "Transfers of at least 1 M USD, where a source counts them.", 0),
)

CONTEXT_COLUMNS = (
    _f("fear_greed_index", "0 to 100", "market_sentiment.fear_greed_index, as-of.", 0, 100),
    _f("tvl_usd", "USD", "defi_metrics.tvl_usd of entity 'all', as-of.", 0),
    _f("stablecoin_supply_usd", "USD", "defi_metrics.stablecoin_supply_usd of entity 'all', as-of.", 0),
)

NEWS_COLUMNS = (
    _f("news_count_24h", "articles", "narratives.article_count_24h of the coin at ts; null where no news was seen.", 0),
    _f("news_sentiment_24h", "-1 to 1", "narratives.sentiment_24h of the coin at ts; null without articles.", -1, 1),
)

FEATURE_GROUPS = {
    "price": PRICE_COLUMNS,
    "technical": TECHNICAL_COLUMNS,
    "onchain": ONCHAIN_COLUMNS,
    "context": CONTEXT_COLUMNS,
    "news": NEWS_COLUMNS,
}
FEATURE_COLUMNS = tuple(column for group in FEATURE_GROUPS.values() for column in group)
