"""Columns about the economy: the readings in force of each macro series, joined as-of.

``macro_indicators`` has a reading for the beginning of each day and for each publication in it, so that what is joined is
the newest vintage known at the decision.
"""

from __future__ import annotations

from crypto_assets.catalog.macro import SERIES, Frequency, MacroSeries
from crypto_assets.features.feature import DAILY_STALENESS, Feature

TABLE = "macro_indicators"
SINCE, UNTIL = "released_at", "next_release_at"


def _columns(series: MacroSeries) -> tuple[Feature, ...]:
    change = "fraction" if series.relative else series.unit
    against = "/ that of {} observation(s) before - 1" if series.relative else "- that of {} observation(s) before"

    def one(suffix: str, unit: str, formula: str, column: str, lower: float | None = None) -> Feature:
        name = f"macro_{series.feature}{suffix}"
        return Feature(name, unit, formula, (f"{TABLE}[{series.name}].{column}",), stale=DAILY_STALENESS, lower=lower)

    found = [
        one("", series.unit, f"{series.title}: the newest observation, in the vintage known at ts.", "level"),
        *(one(f"_change_{n}", change, f"Level {against.format(n)}, as both stood then.", f"change_{n}") for n in (1, 5, 20)),
        one("_zscore_20", "sigma", "z-score of the level over the last 20 observations, as they stood then, ddof 1.", "zscore_20"),
        one("_days_since_release", "days", "Days from the publication of the level to ts.", SINCE, lower=0),
    ]  # fmt: skip
    if series.frequency is not Frequency.DAILY:  # where it is daily, it is the change of one observation
        found.append(one("_surprise", change, "Level against the last observation where it is new, against its former vintage where "
                         "it is revised.", "surprise"))  # fmt: skip
    if series.release is not None:
        found.append(one("_hours_to_release", "hours", "Hours from ts to the next release in the calendar; null where it is overdue.",
                         UNTIL, lower=0))  # fmt: skip
    return tuple(found)


MACRO_FEATURES = tuple(feature for series in SERIES if series.feature is not None for feature in _columns(series))
