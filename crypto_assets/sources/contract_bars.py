"""Hourly bars of contracts and of the index that they follow, as the venues' rows of klines give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crypto_assets.sources.contracts import MILLISECOND, on_the_hour
from crypto_assets.sources.reading import HOUR, OUTSIDE, SECOND_COPY, SHAPE, UNFINISHED, Reading


@dataclass(frozen=True)
class Kline:
    """One finished bar: of the contract, as given, or of its index, which has no volume."""

    close: float
    volume: float | None
    value: float | None  # the volume in the quote currency
    source: str


@dataclass
class Klines:
    """Finished bars by the hour at which they open. Answers may give them in any order and more than once.

    Attributes:
        reading: counts what is not a bar, and has the days and the clock.
        value: the position of the volume in the quote currency in a row; None where rows have no volume.
        found: the bars.
    """

    reading: Reading
    value: int | None
    found: dict[datetime, Kline] = field(default_factory=dict)

    def read(self, rows: Sequence[Any], source: str, what: str, must: str) -> None:
        """Read the rows ``[open time, open, high, low, close, volume, …]`` of one answer.

        Args:
            rows: the rows.
            source: the value of the ``source`` column.
            what: the provider, route, coin and window, for messages.
            must: what has to change before the rows can be stored.

        Raises:
            SourceError: most rows cannot be trusted.
        """
        for row in rows:
            if not isinstance(row, list) or len(row) <= (4 if self.value is None else self.value):
                self.reading.aside(SHAPE, row)
                continue
            self._read_row(row, source)
        self.reading.judge(what, len(rows), must)

    def _read_row(self, row: list[Any], source: str) -> None:
        reading = self.reading
        at = reading.instant(row[0], MILLISECOND, row)
        ts = on_the_hour(at, reading, row) if at is not None else None
        prices = reading.prices(row[1:5], ts, row) if ts is not None else None
        if ts is None or prices is None:
            return
        if ts + HOUR > reading.now:
            reading.spare(UNFINISHED)
        elif not reading.inside(ts):
            reading.spare(OUTSIDE)
        else:
            volumes = (None, None) if self.value is None else (row[5], row[self.value])
            volume, value = (
                reading.cell(raw, name, ts) for raw, name in zip(volumes, ("volume", "volume_usd"), strict=True)
            )
            bar = Kline(prices[3], volume, value, source)
            if self.found.setdefault(ts, bar) != bar:
                reading.aside(SECOND_COPY, row, ts, doubt=False)


def bar_rows(bars: Mapping[datetime, Kline], index: Mapping[datetime, Kline], coins: int) -> list[tuple[Any, ...]]:
    """Put the bars of a contract beside those of its index.

    Args:
        bars: the contract's bars by hour.
        index: the index's bars by hour.
        coins: the number of coins that one contract is of.

    Returns:
        (ts, source, close, index_close, volume, volume_usd) of each bar, prices and volumes of one coin.
    """
    rows = []
    for ts, bar in sorted(bars.items()):
        beside = index.get(ts)
        volume = None if bar.volume is None else bar.volume * coins
        rows.append((ts, bar.source, bar.close / coins, beside.close / coins if beside else None, volume, bar.value))
    return rows
