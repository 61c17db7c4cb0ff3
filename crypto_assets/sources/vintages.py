"""What the sources of macro series share: one published value, and the frame of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

import pandas as pd

from crypto_assets.catalog.macro import BY_NAME, MacroSeries
from crypto_assets.errors import NotListedError, SourceError
from crypto_assets.sources.cells import Cells
from crypto_assets.sources.fetched import SetAsideLog, utc
from crypto_assets.tables.macro import MACRO_SERIES
from crypto_assets.tables.pit_quality import PIT_QUALITY

COLUMNS = [*MACRO_SERIES.given_names, PIT_QUALITY]
TOO_EARLY = "published before its observation"


@dataclass(frozen=True)
class Vintage:
    """One value of one observation.

    Attributes:
        series: Its series.
        observed: The day that dates the observation.
        vintage: The day of publication.
        known: The instant from which the value counts, UTC.
        value: The value; None where it was withdrawn or not given.
        quality: Its ``pit_quality``.
    """

    series: MacroSeries
    observed: date
    vintage: date
    known: datetime
    value: float | None
    quality: str


@dataclass
class Given:
    """The answers of one provider.

    Attributes:
        source: The value of the column ``source``.
        vintages: What was published, in any order.
        digests: SHA-256 of the answers.
        missing: Series -> why the provider has nothing of it.
        failed: Series -> why it could not be had this time.
        releases: Number of a release -> its dates, in order.
        log: What was set aside.
    """

    source: str = ""
    vintages: list[Vintage] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    releases: dict[int, list[date]] = field(default_factory=dict)
    log: SetAsideLog = field(default_factory=SetAsideLog)

    def refused(self, names: Iterable[str], error: SourceError) -> None:
        """Note that series could not be had: missing where the provider has none of them or lets nobody in, else failed."""
        gone = isinstance(error, NotListedError) or error.status in (401, 403, 404)
        (self.missing if gone else self.failed).update(dict.fromkeys(names, str(error)))

    def read(self, raw: object, series: MacroSeries, observed: date) -> float | None:
        """Read a value; what is no number, or below what the series can be, is logged and None."""
        value = Cells(MACRO_SERIES, self.log).read(raw, "value", series.name, observed)
        if value is not None and series.lowest is not None and value < series.lowest:
            self.log.add(series.name, observed, f"below {series.lowest:g}", raw, "value")
            return None
        return value

    def add(self, vintage: Vintage) -> None:
        """Keep a value, unless it was published before its observation began."""
        if vintage.vintage < vintage.observed:
            said = f"{vintage.observed} in the vintage of {vintage.vintage}"
            self.log.add(vintage.series.name, vintage.vintage, TOO_EARLY, said)
        else:
            self.vintages.append(vintage)


async def each_series(routes: Mapping[str, str], ask: Callable[[MacroSeries, str, Given], Awaitable[None]]) -> Given:
    """Ask a provider for its series one by one; one that fails takes no other with it.

    Args:
        routes: Series -> where the provider has it.
        ask: Asks for one series at its route, and adds what was published.

    Returns:
        The answers; a series that failed alone is noted in them.

    Raises:
        SourceError: The last failure, where every series failed.
    """
    given, error = Given(), None
    for name, route in routes.items():
        try:
            await ask(BY_NAME[name], route, given)
        except SourceError as caught:
            error = caught
            given.refused([name], caught)
    if error is not None and len(given.missing) + len(given.failed) == len(routes):
        raise error
    return given


def frame_of(vintages: Iterable[Vintage], sources: Mapping[str, str]) -> pd.DataFrame:
    """Build the rows of contract ``macro_series``.

    Args:
        vintages: What was published.
        sources: Provider -> value of the column ``source``.

    Returns:
        The rows, by series, observation and vintage.
    """
    rows = [
        (v.series.name, v.observed, v.vintage, v.known.date(), v.known, sources[v.series.provider], v.value,
         v.series.unit, v.quality)
        for v in sorted(vintages, key=lambda v: (v.series.name, v.observed, v.known))
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["series", "observation_date", "vintage_date", "date", "available_at", "source",
                                        "value", "unit", PIT_QUALITY])  # fmt: skip
    return utc(frame, "available_at").astype({"value": "float64"})[COLUMNS]
