"""Asset of the group ``ml``: the point-in-time feature table."""

import dagster as dg
import polars as pl

from crypto_assets.assets import shell
from crypto_assets.assets.providers import Providers
from crypto_assets.catalog import symbols
from crypto_assets.features.build import build_features


@dg.asset(**shell.asset_kwargs("ml_features"), ins=shell.inputs_of("ml_features"))
def ml_features(
    context: dg.AssetExecutionContext,
    providers: Providers,
    prices: pl.DataFrame,
    ohlc: pl.DataFrame,
    onchain_base: pl.DataFrame,
    onchain_enhanced: pl.DataFrame,
    market_sentiment: pl.DataFrame,
    defi_metrics: pl.DataFrame,
    narratives: pl.DataFrame,
    derivatives: pl.DataFrame,
    funding_rates: pl.DataFrame,
    open_interest: pl.DataFrame,
    perpetual_bars: pl.DataFrame,
    implied_volatility: pl.DataFrame,
    social_metrics: pl.DataFrame,
    developer_activity: pl.DataFrame,
) -> pl.DataFrame:
    """Compute the features of the configured coins for the days of the run, from the inputs over their look-back."""
    start, end = shell.days_of(context)
    shell.show_lineage(context)
    return build_features(
        prices=prices,
        ohlc=ohlc,
        onchain_base=onchain_base,
        onchain_enhanced=onchain_enhanced,
        market_sentiment=market_sentiment,
        defi_metrics=defi_metrics,
        narratives=narratives,
        derivatives=derivatives,
        funding_rates=funding_rates,
        open_interest=open_interest,
        perpetual_bars=perpetual_bars,
        implied_volatility=implied_volatility,
        venues=providers.settings().derivative_sources,
        social_metrics=social_metrics,
        developer_activity=developer_activity,
        symbols=symbols(providers.coins()),
        start=start,
        end=end,
    )


ASSETS = [ml_features]
