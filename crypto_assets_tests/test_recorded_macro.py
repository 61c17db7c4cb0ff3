"""Recorded vintages served by a server of our own: what features use on a day is the vintage of that day.

The recording says on which day of a weekly panel a value was first seen. It is read here once more, and what stood on a day
is found with pandas. The same comparison fails where the server gives the newest revisions as if they had always stood.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import polars as pl
import pytest

from crypto_assets.catalog.business_days import published
from crypto_assets.catalog.macro import BY_NAME
from crypto_assets.features.build import build_features
from crypto_assets.sources import fred
from crypto_assets.sources.vintages import frame_of
from crypto_assets.tables.macro import MACRO_INDICATORS, MACRO_SERIES
from crypto_assets.transforms.macro import indicators, with_combined
from crypto_assets_tests.features.frames import table
from crypto_assets_tests.sources.wire_server import Reply, Request, fetch, serve, shared

UTC = timezone.utc
START, END = date(2018, 10, 1), date(2021, 11, 30)  # the archive of the recording begins in 2016-10
NOW = datetime(2026, 11, 1, tzinfo=UTC)
NAMES = ("PAYEMS", "CPIAUCSL", "CPILFESL", "UNRATE", "GDPC1")
COLUMNS = ["", "_change_1", "_change_5", "_change_20", "_zscore_20"]


def recording() -> pd.DataFrame:
    """series, observed, vintage, value: each value with the day on which it was first seen."""
    frame = pd.read_parquet(shared("series", "macro", "fred_vintages_2016-10_2021-12.parquet"))
    frame = frame[frame["series_id"].isin(NAMES) & (frame["observation_date"] >= "2013-01-01")]
    frame = frame.rename(
        columns={"series_id": "series", "observation_date": "observed", "first_seen_vintage": "vintage"}
    )
    return frame.sort_values(["series", "observed", "vintage"]).reset_index(drop=True)


def server(rows: pd.DataFrame) -> Callable[[Request], Any]:
    """FRED with these values, each standing until the next one of its observation."""
    until = rows.groupby(["series", "observed"])["vintage"].shift(-1)
    ends = (pd.to_datetime(until) - pd.Timedelta(days=1)).dt.strftime("%Y-%m-%d").fillna("9999-12-31")
    listed = {name: list(zip(g["observed"], g["vintage"], ends[g.index], g["value"].map(repr), strict=True))
              for name, g in rows.groupby("series")}  # fmt: skip

    def answer(request: Request) -> Any:
        asked = request.query
        if request.path.endswith("/release/dates"):
            return {"release_dates": []}
        if asked["series_id"] not in listed:
            return Reply({"error_code": 400, "error_message": "Bad Request.  The series does not exist."}, 400)
        begin, end = asked["realtime_start"], asked["realtime_end"]
        found = [{"date": day, "realtime_start": max(since, begin), "realtime_end": min(to, end), "value": value}
                 for day, since, to, value in listed[asked["series_id"]]
                 if since <= end and to >= begin and day >= asked["observation_start"]]  # fmt: skip
        return {"count": len(found), "observations": found}

    return answer


def features(rows: pd.DataFrame) -> tuple[pl.DataFrame, pd.DataFrame]:
    """(rows of macro_series, features by the hour) of what the platform stores from the server."""
    with serve(server(rows)) as running:
        settings = running.settings(FRED_API_KEY="k" * 32)
        given = fetch(lambda client: fred.fetch_vintages(client, settings, START, END, NOW))
    assert not given.failed
    vintages = MACRO_SERIES.validate(frame_of(given.vintages, {"fred": given.source}))
    readings = MACRO_INDICATORS.validate(indicators(with_combined(vintages), given.releases, START, END, NOW))
    hours = pd.date_range(f"{START} 00:00", f"{END} 23:00", freq="h", tz="UTC")
    marks = [ts.to_pydatetime() for ts in hours if ts.hour in (0, 14)]
    prices = table("prices", [{"symbol": "BTC", "ts": ts, "available_at": ts, "price_usd": 1.0} for ts in marks])
    wanted = [f"macro_{BY_NAME[name].feature}{suffix}" for name in NAMES for suffix in COLUMNS]
    got = build_features(
        symbols=["BTC"], start=START, end=END, columns=wanted, tables={"prices": prices, "macro_indicators": readings}
    )
    return vintages, got.to_pandas().set_index("ts").sort_index()


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return recording()


@pytest.fixture(scope="module")
def as_published(rows: pd.DataFrame) -> tuple[pl.DataFrame, pd.DataFrame]:
    return features(rows)


def newest_vintage(rows: pd.DataFrame, name: str, at: datetime) -> str:
    """The newest day on which something of the series was seen by an instant."""
    days = rows.loc[rows["series"] == name, "vintage"].unique()
    return max(day for day in days if published(date.fromisoformat(day), BY_NAME[name].published) <= at)


def stood(rows: pd.DataFrame, name: str, until: str) -> pd.Series:
    """Observation -> value that stood on a day, without what the archive had when it began."""
    mine = rows[(rows["series"] == name) & (rows["vintage"] <= until)]
    first = mine.groupby("observed")["vintage"].transform("min")
    old = pd.to_datetime(first) - pd.to_datetime(mine["observed"]) > BY_NAME[name].frequency.late
    mine = mine[~(old & (mine["vintage"] == first))].sort_values(["vintage", "observed"])
    # The recording dates a quarter by its last month, and in the panels of some weeks by the month before.
    span = "Q" if name == "GDPC1" else "M"
    return mine.groupby(pd.PeriodIndex(mine["observed"], freq=span))["value"].last()


def reading(
    rows: pd.DataFrame, name: str, at: datetime, done: dict[tuple[str, str], dict[str, float]]
) -> dict[str, float]:
    """What the columns of a series are at an instant; ``done`` keeps those of each vintage."""
    until = newest_vintage(rows, name, at)
    if (name, until) not in done:
        done[name, until] = of_values(stood(rows, name, until), name)
    return done[name, until]


def of_values(values: pd.Series, name: str) -> dict[str, float]:
    then = values.shift
    relative = BY_NAME[name].relative
    change = {n: (values / then(n) - 1 if relative else values - then(n)).iloc[-1] for n in (1, 5, 20)}
    month = values.iloc[-20:]
    zscore = (values.iloc[-1] - month.mean()) / month.std(ddof=1) if len(month) == 20 else float("nan")
    return {"": values.iloc[-1], **{f"_change_{n}": v for n, v in change.items()}, "_zscore_20": zscore}


def differing(got: pd.DataFrame, rows: pd.DataFrame) -> tuple[int, int, int]:
    """Of 200 random series and days: (cells with another value, cells compared, cells that the recording gives and are null)."""
    rng = random.Random(18)
    wrong = cells = absent = 0
    done: dict[tuple[str, str], dict[str, float]] = {}
    for _ in range(200):
        name, day = rng.choice(NAMES), START + timedelta(days=rng.randrange((END - START).days))
        ts = datetime(day.year, day.month, day.day, rng.choice((0, 14)), tzinfo=UTC)
        row, wanted = got.loc[ts], reading(rows, name, ts + timedelta(minutes=5), done)
        for suffix, value in wanted.items():
            if value != value:
                continue
            mine = row[f"macro_{BY_NAME[name].feature}{suffix}"]
            cells += 1
            absent += bool(mine != mine)
            wrong += mine == mine and mine != pytest.approx(value, rel=1e-9, abs=1e-9)
    return wrong, cells, absent


def test_on_200_random_days_the_value_is_the_vintage_of_the_day(
    rows: pd.DataFrame, as_published: tuple[pl.DataFrame, pd.DataFrame]
) -> None:
    wrong, cells, absent = differing(as_published[1], rows)
    assert wrong == 0
    assert cells > 800 and absent <= 0.05 * cells, f"{absent} of {cells} cells that the recording gives are null"


def test_the_same_test_fails_where_the_newest_revision_is_served_instead(rows: pd.DataFrame) -> None:
    first = rows.groupby(["series", "observed"])["vintage"].transform("min")
    newest = rows.groupby(["series", "observed"])["value"].transform("last")
    revised = rows.assign(vintage=first, value=newest).drop_duplicates(["series", "observed"])
    wrong, _, _ = differing(features(revised)[1], rows)
    assert wrong > 100, "revised values are other values: the comparison would see them"


@pytest.mark.parametrize("name", ["PAYEMS", "CPIAUCSL", "GDPC1"])
def test_every_day_between_releases_has_the_values_of_its_vintage(
    name: str, rows: pd.DataFrame, as_published: tuple[pl.DataFrame, pd.DataFrame]
) -> None:
    got, done = as_published[1], dict[tuple[str, str], dict[str, float]]()
    for number in range((END - START).days + 1):
        day = START + timedelta(days=number)
        ts = datetime(day.year, day.month, day.day, 14, tzinfo=UTC)
        wanted = reading(rows, name, ts + timedelta(minutes=5), done)
        for suffix in ("", "_change_1"):
            assert got.loc[ts, f"macro_{BY_NAME[name].feature}{suffix}"] == pytest.approx(wanted[suffix], rel=1e-9), (
                name,
                day,
            )


def test_payrolls_of_april_2020_have_each_value_that_they_were_given(
    rows: pd.DataFrame, as_published: tuple[pl.DataFrame, pd.DataFrame]
) -> None:
    stored = as_published[0].filter(pl.col("series") == "PAYEMS", pl.col("observation_date") == date(2020, 4, 1))
    mine = rows[(rows["series"] == "PAYEMS") & (rows["observed"] == "2020-04-01") & (rows["vintage"] <= str(END))]
    assert [(str(day), value) for day, value in stored.sort("vintage_date").select("vintage_date", "value").rows()] == [
        (row.vintage, row.value) for row in mine.itertuples()
    ]
    assert stored["value"][0] == 131_072.0 and stored.height > 3
