"""Binance's 5-minute statistics of perpetual contracts: open interest and the ratios of longs to shorts.

Their history is in daily files (https://github.com/binance/binance-public-data, ``metrics``), each with a ``.CHECKSUM``
(SHA-256) beside it. A file appears on the next day, may be replaced later, and some repeat or miss rows. What has no file
yet comes from the API, which shows the last month
(https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Open-Interest-Statistics).
The row of an hour is the statistic that is labelled with it.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

from crypto_assets.catalog import Coin
from crypto_assets.dates import DAY, days, midnight
from crypto_assets.errors import SourceError
from crypto_assets.settings import Settings
from crypto_assets.sources.client.http import Answer, Client, ResponseError
from crypto_assets.sources.contracts import MILLISECOND, NOT_SERVED, Series, coins_of, contract_of, on_the_hour
from crypto_assets.sources.fetched import REPLAYED, NeverListedError, gather, rows_of, source_name
from crypto_assets.sources.reading import SECOND_COPY, SHAPE, Reading
from crypto_assets.tables.derivatives import STATISTICS_START_LABELS

NAME, ARCHIVE_NAME = "binance_usdm", "binance_usdm_archive"
SHOWN_DAYS = 29  # the API documents one month
LIMIT, STEP = 500, timedelta(minutes=5)
NO_FILE = 404
MISMATCH = "archive file does not match its checksum"
NO_CHECKSUM = "archive file has no checksum beside it"
NOT_SHOWN = "no file yet, and the API does not serve this place"
UNREADABLE = "archive file cannot be read"
LOST_FILE = (MISMATCH, NO_CHECKSUM, UNREADABLE)  # reasons for which a whole file is set aside
COLUMNS = {
    "open_interest": "sum_open_interest",
    "open_interest_usd": "sum_open_interest_value",
    "long_short_ratio": "count_long_short_ratio",
    "taker_buy_sell_ratio": "sum_taker_long_short_vol_ratio",
}
# Route -> our column -> its field. The first route decides which hours have a row.
ROUTES = {
    "/futures/data/openInterestHist": {"open_interest": "sumOpenInterest", "open_interest_usd": "sumOpenInterestValue"},
    "/futures/data/globalLongShortAccountRatio": {"long_short_ratio": "longShortRatio"},
    "/futures/data/takerlongshortRatio": {"taker_buy_sell_ratio": "buySellRatio"},
}
MUST = (
    "the provider would have to give times in milliseconds and values as numbers: check BINANCE_FUTURES_BASE_URL and the "
    "contract in the catalogue, or try again later"
)
Found = dict[datetime, dict[str, Any]]  # hour -> our columns and ``source``


def archive_path(contract: str, day: date) -> str:
    """Build the path of a daily file.

    Args:
        contract: the contract's name.
        day: the day of the file.

    Returns:
        The path below the base address.
    """
    return f"/data/futures/um/daily/metrics/{contract}/{contract}-metrics-{day}.zip"


async def fetch_open_interest(
    client: Client, settings: Settings, coin: Coin, start: date, end: date, reading: Reading
) -> Series:
    """Fetch the hourly statistics of one coin in the days ``start``..``end``.

    Args:
        client: makes two requests a day and one day more (file and checksum), and for the days that have no file yet
            three per 500 statistics.
        settings: the base addresses.
        coin: the coin.
        start: the first UTC day.
        end: the last UTC day, included.
        reading: counts what is not a row, and has the clock.

    Returns:
        (ts, source, open_interest, open_interest_usd, long_short_ratio, taker_buy_sell_ratio) of each hour, open
        interest in coins.

    Raises:
        NeverListedError: the catalogue has no contract for the coin.
        SourceError: an answer cannot be had, or most of it cannot be trusted. A file that does not match its checksum is
            set aside alone.
    """
    contract = contract_of(coin, "binance")
    series = Series(why=f"binance gives no open interest of {contract} from {start} to {end}")
    found, without = await _archive(client, settings, contract, start, end, reading, series.day_digests)
    recent = [day for day in without if midnight(day) >= reading.now - DAY * SHOWN_DAYS]
    if recent:
        try:
            shown = await _shown(client, settings, contract, recent[0], recent[-1], reading, series.digests)
        except SourceError as error:  # the API refuses places that the files do not
            if not found or error.status not in NOT_SERVED:
                raise
            for day in recent:
                reading.aside(NOT_SHOWN, error, midnight(day), doubt=False)
            shown = {}
        found = {**{ts: row for ts, row in shown.items() if ts.date() in recent}, **found}
    coins = coins_of(contract)
    for ts in sorted(found):
        row = found[ts]
        amount = row.get("open_interest")
        values = [None if amount is None else amount * coins, *(row.get(name) for name in list(COLUMNS)[1:])]
        if reading.inside(ts) and any(value is not None for value in values):
            series.rows.append((ts, row["source"], *values))
    return series


async def _archive(
    client: Client, settings: Settings, contract: str, start: date, end: date, reading: Reading,
    day_digests: dict[date, list[str]],
) -> tuple[Found, list[date]]:  # fmt: skip
    """The rows of the daily files, and the days that have no file that can be read. Notes each file with its days."""
    # Until the labels changed, a file began at 00:05 and ended with 00:00 of the next day.
    first = start - DAY if start <= STATISTICS_START_LABELS else start
    wanted = days(first, min(end, reading.now.date() - DAY))
    replayed: list[bool] = []

    async def one(day: date) -> Found | None:
        try:
            async with client.together():
                return await _file(client, settings, contract, day, reading, day_digests)
        except ResponseError as error:
            if error.status != NO_FILE:
                raise
            replayed.append(error.sandbox == REPLAYED)
            return None

    files = dict(zip(wanted, await gather(one(day) for day in wanted), strict=True))
    if replayed and all(replayed) and not any(files.values()):
        raise NeverListedError(f"no file of {contract} is recorded")
    found: Found = {}
    for day, rows in files.items():  # in order: of two rows of one hour the one in the file of its own day stays
        found |= {ts: row for ts, row in (rows or {}).items() if ts not in found or ts.date() == day}
    covered = {ts.date() for day, rows in files.items() for ts in rows or () if ts.date() == day}
    return found, [day for day in days(start, end) if day not in covered]


async def _file(
    client: Client, settings: Settings, contract: str, day: date, reading: Reading, day_digests: dict[date, list[str]]
) -> Found:
    """The rows of one daily file; none where it does not match its checksum, also when asked for once more.

    Raises SourceError where a page came instead of a file, which says nothing of the day.
    """
    subject = f"{reading.subject} {day}"
    url = f"{settings.binance_archive_base_url}{archive_path(contract, day)}"
    for _attempt in (1, 2):
        body = await client.get_bytes("binance_archive", url, subject=subject, endpoint="/daily/metrics")
        if body.body.lstrip()[:1] == b"<":
            raise SourceError(
                f"binance daily metrics of {subject} answered HTML instead of a file; nothing of the coin was written; check "
                "BINANCE_ARCHIVE_BASE_URL, or try again later"
            )
        try:
            said = await client.get_bytes(
                "binance_archive", f"{url}.CHECKSUM", subject=subject, endpoint="/daily/metrics.CHECKSUM"
            )
        except ResponseError as error:
            if error.status != NO_FILE:
                raise
            reading.aside(NO_CHECKSUM, url.rpartition("/")[2], midnight(day), doubt=False)
            return {}
        if said.body.decode("ascii", "replace").split()[:1] == [body.digest]:
            found = read_archive(body, contract, day, reading)
            for covered in {day, *(ts.date() for ts in found)}:  # its last label may be 00:00 of the next day
                day_digests.setdefault(covered, []).append(body.digest)
            return found
    reading.aside(MISMATCH, url.rpartition("/")[2], midnight(day), doubt=False)
    return {}


def read_archive(answer: Answer, contract: str, day: date, reading: Reading) -> Found:
    """Read one daily file.

    Args:
        answer: the bytes of the zip.
        contract: the contract that every row must name.
        day: the day of the file, for what is set aside.
        reading: counts what is not a row.

    Returns:
        The rows of the hours; none where the file cannot be read.

    Raises:
        SourceError: most rows cannot be trusted.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(answer.body)) as packed:
            names = [name for name in packed.namelist() if name.endswith(".csv")]
            text = packed.read(names[0]).decode("utf-8")
    except (zipfile.BadZipFile, IndexError, UnicodeDecodeError, NotImplementedError, RuntimeError) as error:
        reading.aside(UNREADABLE, f"{contract} {day}: {type(error).__name__}", midnight(day), doubt=False)
        return {}
    header, *lines = csv.reader(io.StringIO(text)) if text else [[]]
    listed = [dict(zip(header, line, strict=False)) for line in lines if line]
    stamped = ((row, _label(row.get("create_time"), row, reading)) for row in listed if _names(row, contract, reading))
    found = _hours(stamped, COLUMNS, reading, source_name(ARCHIVE_NAME, answer))
    reading.judge(f"binance metrics of {reading.subject} {day}", len(listed), MUST)
    return found


def _names(row: Mapping[str, Any], contract: str, reading: Reading) -> bool:
    if row.get("symbol") == contract:
        return True
    reading.aside("row of another contract", row.get("symbol"))
    return False


def _label(raw: object, row: object, reading: Reading) -> datetime | None:
    """The label of a row: ``2023-01-21 00:05:00``, of midnight also the day alone, or milliseconds."""
    text = str(raw)
    if text.isdigit():
        return reading.instant(int(text), MILLISECOND, row)
    try:
        return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    except ValueError:
        reading.aside("its time cannot be read", row)
        return None


def _hours(
    stamped: Iterable[tuple[Mapping[str, Any], datetime | None]], columns: Mapping[str, str], reading: Reading, source: str
) -> Found:  # fmt: skip
    """The rows that are labelled with an hour. Other rows are correct statistics between two hours."""
    found: Found = {}
    for row, label in stamped:
        if label is None:
            continue
        if 2 <= label.minute <= 57:
            reading.spare("statistic between two hours")
            continue
        ts = on_the_hour(label, reading, row)
        if ts is None:
            continue
        made = {ours: reading.cell(_blank(row.get(theirs)), ours, ts) for ours, theirs in columns.items()}
        known = found.setdefault(ts, {**made, "source": source})
        if any(known[name] != made[name] for name in made):
            reading.aside(SECOND_COPY, row, ts, doubt=False)
    return found


def _blank(raw: object) -> object:
    """Two quotes within quotes are how some files write that there is no value."""
    return None if raw in ("", '""') else raw


async def _shown(
    client: Client, settings: Settings, contract: str, first: date, last: date, reading: Reading, digests: list[str]
) -> Found:
    """The rows of the API, which shows the last month. A ratio that cannot be had is null, and set aside by name."""
    found: Found = {}
    for path, columns in ROUTES.items():
        try:
            rows = await _route(client, settings, contract, (path, columns), first, last, reading, digests)
        except SourceError as error:
            if not found:
                raise
            for column in columns:
                reading.aside("its route could not be had", error, midnight(last), column)
            continue
        for ts, row in rows.items():
            if ts in found or path == next(iter(ROUTES)):
                found[ts] = {**found.get(ts, {}), **row}
    return found


async def _route(
    client: Client, settings: Settings, contract: str, route: tuple[str, Mapping[str, str]], first: date, last: date,
    reading: Reading, digests: list[str],
) -> Found:  # fmt: skip
    path, columns = route
    found: Found = {}
    cursor, stop = midnight(first), min(midnight(last + DAY) - MILLISECOND, reading.now)
    subject = f"{reading.subject} {reading.start} to {reading.end}"
    while cursor <= stop:
        until = min(stop, cursor + STEP * (LIMIT - 1))
        window = {"startTime": int(cursor.timestamp() * 1000), "endTime": int(until.timestamp() * 1000)}
        params = {"symbol": contract, "period": "5m", **window, "limit": LIMIT}
        url = f"{settings.binance_futures_base_url}{path}"
        answer = await client.get_json("binance_statistics", url, params=params, subject=subject, endpoint=path)
        digests.append(answer.digest)
        what = f"binance {path.rpartition('/')[2]} of {subject}"
        rows = rows_of(answer.body, what)
        bad = [row for row in rows if not isinstance(row, dict)]
        for row in bad:
            reading.aside(SHAPE, row)
        stamped = ((r, reading.instant(r.get("timestamp"), MILLISECOND, r)) for r in rows if isinstance(r, dict))
        found |= _hours(stamped, columns, reading, source_name(NAME, answer))
        reading.judge(what, len(rows), MUST)
        cursor = until + STEP
    return found
