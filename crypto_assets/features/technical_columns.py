"""Columns of indicators of consecutive hourly bars: averages, momentum, bands, ranges, flows, from ``ohlc`` alone.

A bar is placed at its close. A gap of at most ``FILL_HOURS`` missing hours, as far as it is known at the row, counts as
flat bars at the close before it, with volume 0 (unknown where the bar before has none). After a longer gap indicators
restart: null until their window is complete, and recursive ones for their warm-up.
"""

from typing import Any

from crypto_assets.features.feature import (
    FILL_HOURS,
    LEAST_SHARE,
    WEEK_HOURS,
    WILDER_ALPHA,
    Coins,
    Feature,
    Need,
    ema_alpha,
    memory_bars,
    share,
    warmup_bars,
)

SMA_BARS = (10, 20, 50, 100, 200)
EMA_BARS = (9, 12, 20, 26, 50)
TO_SMA_BARS = (20, 50, 200)
EMA_FAST, EMA_SLOW, SIGNAL_BARS = 12, 26, 9
SIGNAL_ALPHA = ema_alpha(SIGNAL_BARS)
BOLLINGER_BARS, BOLLINGER_SIGMAS = 20, 2.0
STOCHASTIC_BARS, STOCHASTIC_MEAN = 14, 3
WILLIAMS_BARS = 24
CCI_BARS, MFI_BARS, CMF_BARS, DONCHIAN_BARS = 20, 14, 20, 20
ROC_BARS = (12, 48)
ULTIMATE_BARS = (7, 14, 28)
KELTNER_BARS, KELTNER_RANGES = 20, 2.0
VWAP_BARS = 24
DAY_WEEK = {"24h": 24, "7d": 168}  # bars

DIFFERENCE_TOLERANCE = 1e-12  # MACD is a small difference of large means, so the seed must fade further
WILDER_WARMUP = warmup_bars(WILDER_ALPHA)
WILDER_MEMORY = memory_bars(WILDER_ALPHA)
ADX_WARMUP = 2 * WILDER_WARMUP  # ADX is a Wilder mean of Wilder means
MACD_WARMUP = max(warmup_bars(ema_alpha(n), DIFFERENCE_TOLERANCE) for n in (EMA_FAST, EMA_SLOW))
SIGNAL_WARMUP = MACD_WARMUP + warmup_bars(SIGNAL_ALPHA, DIFFERENCE_TOLERANCE)
MACD_MEMORY = max(memory_bars(ema_alpha(n)) for n in (EMA_FAST, EMA_SLOW))
KELTNER_WARMUP = max(warmup_bars(ema_alpha(KELTNER_BARS)), WILDER_WARMUP)
KELTNER_MEMORY = max(memory_bars(ema_alpha(KELTNER_BARS)), WILDER_MEMORY + 1)

HLC = ("ohlc.high", "ohlc.low", "ohlc.close")
CLOSE = ("ohlc.close",)
HLCV = (*HLC, "ohlc.volume")
CV = ("ohlc.close", "ohlc.volume")
WILDER = "Wilder 1978"


def _bars(
    name: str, unit: str, formula: str, bars: int, inputs: tuple[str, ...] = CLOSE, coins: Coins = Coins.BARRED, *,
    warmup: int = 0, needs: tuple[Need, ...] = (), **more: Any,
) -> Feature:  # fmt: skip
    """Need ``bars`` bars, all of them; or ``warmup`` + 1 of them, for recursive means."""
    run = (Need((("ohlc.close", 0),), warmup + 1 if warmup else bars),)
    return Feature(name, unit, formula, inputs, needs or run, memory=bars if warmup else 1, coins=coins, **more)


def _traded(
    name: str, unit: str, formula: str, bars: int, inputs: tuple[str, ...] = HLCV, *, volumes: int = 0, **more: Any
) -> Feature:
    """Need the volume of ``volumes`` bars; by default of all ``bars``."""
    run = (Need((("ohlc.close", 0),), bars), Need((("ohlc.volume", 0),), volumes or bars))
    return _bars(name, unit, formula, bars, inputs, Coins.TRADED, **{"needs": run, **more})


_AVERAGES = (
    *(_bars(f"sma_{n}", "quote", f"Mean close of the last {n} consecutive hourly bars.", n, lower=0) for n in SMA_BARS),
    *(
        _bars(f"ema_{n}", "quote", f"EMA of close, alpha 2/{n + 1}, restarted at gaps.", memory_bars(ema_alpha(n)),
              lower=0, warmup=warmup_bars(ema_alpha(n)))
        for n in EMA_BARS
    ),
    *(_bars(f"close_to_sma_{n}", "fraction", f"close / sma_{n} - 1.", n, lower=-1) for n in TO_SMA_BARS),
    _bars("macd_line", "quote", "ema_12 - ema_26.", MACD_MEMORY, warmup=MACD_WARMUP, reference="Appel 1979"),
    _bars("macd_signal", "quote", "EMA of macd_line, alpha 2/10.", MACD_MEMORY + memory_bars(SIGNAL_ALPHA) - 1,
          warmup=SIGNAL_WARMUP),
    _bars("macd_histogram", "quote", "macd_line - macd_signal.", MACD_MEMORY + memory_bars(SIGNAL_ALPHA) - 1,
          warmup=SIGNAL_WARMUP),
    _bars("ppo_12_26", "fraction", "macd_line / ema_26.", MACD_MEMORY, warmup=MACD_WARMUP),
)  # fmt: skip
_BANDS = (
    _bars("bb_upper", "quote", "bb_middle + 2 population standard deviations of close.", BOLLINGER_BARS,
          reference="Bollinger 2001"),
    _bars("bb_middle", "quote", "Middle Bollinger band: mean close of 20 bars, the same number as sma_20.", BOLLINGER_BARS, lower=0),
    _bars("bb_lower", "quote", "bb_middle - 2 population standard deviations of close.", BOLLINGER_BARS),
    _bars("bb_percent_b", "fraction", "(close - bb_lower) / (bb_upper - bb_lower); null where the band is flat.", BOLLINGER_BARS),
    _bars("bb_width", "fraction", "(bb_upper - bb_lower) / bb_middle.", BOLLINGER_BARS, lower=0),
    _bars("keltner_upper", "quote", "ema_20 + 2 atr_14.", KELTNER_MEMORY, HLC, warmup=KELTNER_WARMUP,
          reference="Keltner channel after Raschke"),
    _bars("keltner_lower", "quote", "ema_20 - 2 atr_14.", KELTNER_MEMORY, HLC, warmup=KELTNER_WARMUP),
    _bars("donchian_upper_20", "quote", "Highest high of 20 bars.", DONCHIAN_BARS, ("ohlc.high",), lower=0),
    _bars("donchian_lower_20", "quote", "Lowest low of 20 bars.", DONCHIAN_BARS, ("ohlc.low",), lower=0),
    _bars("donchian_position_20", "fraction", "(close - lower) / (upper - lower) of the Donchian channel; null where it is flat.",
          DONCHIAN_BARS, HLC, lower=0, upper=1),
)  # fmt: skip
_MOMENTUM = (
    _bars("rsi_14", "0 to 100", "Wilder's RSI over 14 bars, restarted at gaps; null while nothing moved.", WILDER_MEMORY + 1,
          lower=0, upper=100, warmup=WILDER_WARMUP, reference=WILDER),
    _bars("stoch_k", "0 to 100", "Fast %K over 14 bars; null where the range is zero.", STOCHASTIC_BARS, HLC, lower=0, upper=100,
          reference="Lane"),
    _bars("stoch_d", "0 to 100", "Mean of the last 3 %K.", STOCHASTIC_BARS + STOCHASTIC_MEAN - 1, HLC, lower=0, upper=100),
    _bars("stoch_slow_d", "0 to 100", "Mean of the last 3 stoch_d (slow %D).", STOCHASTIC_BARS + 2 * (STOCHASTIC_MEAN - 1), HLC,
          lower=0, upper=100),
    _bars("williams_r_24", "-100 to 0", "-100 (highest high - close) / (highest high - lowest low) of 24 bars; null where the range is zero.",
          WILLIAMS_BARS, HLC, lower=-100, upper=0, reference="Williams %R; 14 bars would repeat stoch_k"),
    _bars("cci_20", "index", "(typical - its mean) / (0.015 x mean absolute deviation), typical = (high + low + close) / 3, 20 bars; null where flat.",
          CCI_BARS, HLC, reference="Lambert 1980"),
    *(_bars(f"roc_{n}", "fraction", f"close / close {n} bars before - 1.", n + 1, lower=-1) for n in ROC_BARS),
    _bars("ultimate_oscillator", "0 to 100", "Weighted 4:2:1 buying pressure / true range over 7, 14, 28 bars; null where a range is zero.",
          ULTIMATE_BARS[-1] + 1, HLC, lower=0, upper=100, reference="Williams 1976"),
)  # fmt: skip
_RANGES = (
    _bars("atr_14", "quote", "Wilder's average true range over 14 bars, restarted at gaps.", WILDER_MEMORY + 1, HLC, lower=0,
          warmup=WILDER_WARMUP, reference=WILDER),
    _bars("natr_14", "fraction", "atr_14 / close.", WILDER_MEMORY + 1, HLC, lower=0, warmup=WILDER_WARMUP),
    _bars("plus_di_14", "0 to 100", "100 x Wilder mean of +DM / Wilder mean of true range.", WILDER_MEMORY + 1, HLC, lower=0,
          warmup=WILDER_WARMUP, reference=WILDER),
    _bars("minus_di_14", "0 to 100", "100 x Wilder mean of -DM / Wilder mean of true range.", WILDER_MEMORY + 1, HLC, lower=0,
          warmup=WILDER_WARMUP, reference=WILDER),
    _bars("adx_14", "0 to 100", "Wilder mean of DX = 100 |+DM - -DM| / (+DM + -DM) of the Wilder means; DX is 0 where neither moved.",
          2 * WILDER_MEMORY, HLC, lower=0, upper=100, warmup=ADX_WARMUP, reference=WILDER),
    *(
        feature
        for span, n in DAY_WEEK.items()
        for feature in (
            _bars(f"parkinson_volatility_{span}", "per hour", f"sqrt(mean of ln(high / low)² / (4 ln 2)) over {n} bars.", n,
                  ("ohlc.high", "ohlc.low"), lower=0, reference="Parkinson 1980"),
            _bars(f"garman_klass_volatility_{span}", "per hour",
                  f"sqrt(mean of 0.5 ln(high / low)² - (2 ln 2 - 1) ln(close / open)²) over {n} bars.", n,
                  ("ohlc.open", *HLC), lower=0, reference="Garman and Klass 1980"),
        )
    ),
)  # fmt: skip
_FLOWS = (
    _traded("vwap_24h", "quote", "Sum(typical price x volume) / sum(volume) over the last 24 consecutive bars.", VWAP_BARS, lower=0),
    _traded("close_to_vwap_24h", "fraction", "close / vwap_24h - 1.", VWAP_BARS, lower=-1),
    *(
        _traded(f"obv_{span}", "base units", f"On-balance volume of the last {n} bars: volume signed by the change of close. "
                "A window, not Granville's sum since listing, so that it does not depend on where history begins.", n + 1, CV,
                volumes=n, reference="Granville 1963, as the difference of OBV over the window")
        for span, n in DAY_WEEK.items()
    ),
    _traded("obv_share_24h", "-1 to 1", "obv_24h / volume of the same bars; null where nothing traded.", VWAP_BARS + 1, CV, volumes=VWAP_BARS,
            lower=-1, upper=1),
    _traded("mfi_14", "0 to 100", "100 x rising / (rising + falling) typical price x volume over 14 bars; null where neither.",
            MFI_BARS + 1, volumes=MFI_BARS, lower=0, upper=100, reference="Quong and Soudack 1989"),
    _traded("cmf_20", "-1 to 1", "Sum of volume x ((close - low) - (high - close)) / (high - low) / sum of volume, 20 bars; a bar without range counts 0.",
            CMF_BARS, lower=-1, upper=1, reference="Chaikin money flow"),
    _traded("traded_value_24h", "quote", "Sum of close x volume over 24 bars.", VWAP_BARS, CV, lower=0),
    _traded("traded_value_zscore_7d", "sigma", "z-score of the bar's close x volume over 168 bars, ddof 1.", DAY_WEEK["7d"], CV,
            needs=share(CV, DAY_WEEK["7d"], own=True)),
    *(
        _traded(f"amihud_illiquidity_{span}", "fraction per M quote",
                f"Mean of |close / close before - 1| / (close x volume / 1e6) over the last {n} bars that traded.", n + 1, CV,
                needs=(Need((("ohlc.close", 0), ("ohlc.close", 1), ("ohlc.volume", 0)), n, LEAST_SHARE, flat=False),), lower=0,
                reference="Amihud 2002")
        for span, n in DAY_WEEK.items()
    ),
)  # fmt: skip

_QUALITY = (
    _bars("bars_filled_7d", "bars", f"Flat bars among the last 168 hours: missing hours of holes that are no longer than {FILL_HOURS} "
          "hours as known at ts; null where no bar closed in them.", WEEK_HOURS,
          needs=(Need((("ohlc.close", 0),), WEEK_HOURS, 1 / WEEK_HOURS, flat=False),), lower=0, upper=WEEK_HOURS),
)  # fmt: skip

TECHNICAL_FEATURES = (*_AVERAGES, *_BANDS, *_MOMENTUM, *_RANGES, *_FLOWS, *_QUALITY)
