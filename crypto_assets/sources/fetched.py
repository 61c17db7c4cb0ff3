"""The result of a source, and the small rules that all sources share."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

import pandas as pd

from crypto_assets.catalog import Coin
from crypto_assets.dates import DAY, days, midnight
from crypto_assets.errors import NotListedError, ShortAnswerError, SourceError
from crypto_assets.sources.client.http import Answer
from crypto_assets.sources.client.quota import BudgetError

T = TypeVar("T")
REPLAYED = "sandbox-replay"  # marks answers from recorded data
FAILURES_BORNE = 0.1  # share of the coins that may fail while the rows of the others are still stored
# Set while failed coins are tried again alone. They are few, so one more failure must not discard the others' rows.
ALONE: ContextVar[bool] = ContextVar("alone", default=False)
REFUSALS = (401, 402, 403, 451)  # the key, the plan or the place is refused, so every coin would fail


class NeverListedError(NotListedError):
    """The catalogue or the plan says that the source does not have the coin. No request was made."""


def not_listed(why: str, sandbox: str | None, status: int | None = None) -> NotListedError:
    """Build the error for a name that a provider does not know.

    Replayed recordings lack most coins, which says nothing about the catalogue. There the coin counts as never listed.
    A real provider that does not know a name of the catalogue is a failure.

    Args:
        why: the message.
        sandbox: the sandbox's mark of the answer; None for a real provider.
        status: the HTTP status, if any.

    Returns:
        The error, to be raised.
    """
    kind = NeverListedError if sandbox == REPLAYED else NotListedError
    return kind(why, status=status)


class UnsureError(SourceError):
    """An empty answer that may mean a pause or the end of trading. The coin counts as failed and is asked for again."""


@dataclass(frozen=True, order=True)
class SetAside:
    """Observations that a provider gave and that cannot be stored, counted by subject, UTC day, column and reason.

    Attributes:
        subject: the coin's symbol, or the chain, venue, pool or feed that they are about.
        day: the UTC day that they are about.
        reason: a short fixed phrase, the same for all of a kind, e.g. ``"open time is not an hour mark"``.
        column: the column whose cell is null because of it; empty where the whole row is left out.
        count: the number of observations.
        example: the first of them as given, at most 80 characters.
    """

    subject: str
    day: date
    reason: str
    column: str = ""
    count: int = 1
    example: str = ""


class SetAsideLog:
    """Collects what is set aside while an answer is read, and counts equal subjects, days, columns and reasons."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, date, str, str], tuple[int, str]] = {}

    def add(self, subject: str, day: date, reason: str, example: object = "", column: str = "", count: int = 1) -> None:
        """Count observations.

        Args:
            subject: the coin, chain, venue, pool or feed.
            day: the UTC day.
            reason: a short fixed phrase.
            example: the value as given; the first example of a kind is kept.
            column: the column whose cell is null; empty for a whole row.
            count: the number of observations.
        """
        key = (subject, day, reason, column)
        known, first = self._found.get(key, (0, str(example)[:80]))
        self._found[key] = (known + count, first)

    def records(self) -> tuple[SetAside, ...]:
        """Return what was collected, sorted, so that the same answers give the same records."""
        return tuple(
            SetAside(subject, day, reason, column, count, example)
            for (subject, day, reason, column), (count, example) in sorted(self._found.items())
        )


@dataclass(frozen=True)
class Fetched:
    """The rows of a fetch, and everything that the provider did not have or that cannot be stored.

    Attributes:
        frame: the rows.
        digests: SHA-256 of each answer that the rows come from, where it may be about any day of the fetch.
        day_digests: day -> SHA-256 of the answers that are about this day alone. A source that makes a request for each
            coin and day has them here, because each day of a run repeats ``digests``.
        missing: coin, chain or route -> why the provider has nothing of it.
        calls: the number of requests.
        failed: coin -> why its rows could not be had this time.
        gone: coin -> hours that were asked for and will never come.
        set_aside: what was given and cannot be trusted; the rest of the answer is stored (set aside by name, never
            dropped).
        surplus: reason -> count of what was given and is correct, but is not a row of the table: an unfinished bar, a
            second point of an hour, an instant outside the window.
    """

    frame: pd.DataFrame
    digests: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    calls: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    gone: Mapping[str, Sequence[datetime]] = field(default_factory=dict)
    set_aside: tuple[SetAside, ...] = ()
    surplus: Mapping[str, int] = field(default_factory=dict)
    day_digests: Mapping[date, Sequence[str]] = field(default_factory=dict)

    def digests_of(self, day: date) -> list[str]:
        """Return the SHA-256 of each answer that rows of a day may come from, sorted."""
        return sorted({*self.digests, *self.day_digests.get(day, ())})


def source_name(provider: str, answer: Answer) -> str:
    """Build the value of the ``source`` column.

    Args:
        provider: the provider's name.
        answer: the answer.

    Returns:
        The provider's name, after the sandbox's mark where the answer came from a sandbox.
    """
    return f"{answer.sandbox}/{provider}" if answer.sandbox else provider


def number(value: object, what: str) -> float | None:
    """Read a number from JSON.

    Args:
        value: a number or a string.
        what: the provider, route and field, for error messages.

    Returns:
        A finite float; None for an absent value, an empty string and "NaN".

    Raises:
        SourceError: the value is not a finite number.
    """
    if value is None or value == "" or value == "NaN":
        return None
    strange = isinstance(value, str) and (
        "_" in value or not value.isascii()
    )  # Python reads 1_000 and digits of every script
    if strange or isinstance(value, bool) or not isinstance(value, int | float | str):
        raise SourceError(
            f"{what} is {str(value)[:40]!r}, not a number; nothing was written; report it to the provider"
        )
    try:
        parsed = float(value)
    except (ValueError, OverflowError) as error:
        raise SourceError(
            f"{what} is {str(value)[:40]!r}, not a number; nothing was written; report it to the provider"
        ) from error
    if not math.isfinite(parsed):
        raise SourceError(f"{what} is not finite; nothing was written; report it to the provider")
    return parsed


def positive(value: object, what: str) -> float:
    """Read a number above zero from JSON.

    Args:
        value: a number or a string.
        what: the provider, route and field, for error messages.

    Returns:
        The number.

    Raises:
        SourceError: the value is absent, not a number, or not above zero.
    """
    parsed = number(value, what)
    if parsed is None or parsed <= 0:
        raise SourceError(f"{what} is {str(value)[:40]!r}, not above zero; nothing was written; try again later")
    return parsed


@contextmanager
def about(request: str) -> Iterator[None]:
    """Put the request in front of the message of each :class:`SourceError` that is raised inside.

    Args:
        request: the provider, route, coins and window.

    Yields:
        Nothing.
    """
    try:
        yield
    except SourceError as error:
        if not str(error).startswith(request):
            error.args = (f"{request}: {error}",)
        raise


def rows_of(body: object, what: str) -> list[Any]:
    """Return the list that a route documents.

    Args:
        body: the parsed JSON.
        what: the provider and route, for error messages.

    Returns:
        The list.

    Raises:
        SourceError: the body is not a list.
    """
    if not isinstance(body, list):
        raise SourceError(
            f"{what} answered {type(body).__name__} instead of a list; nothing was written; try again later"
        )
    return body


def require_days(
    covered: Iterable[date],
    start: date,
    end: date,
    now: datetime,
    what: str,
    lag: timedelta = timedelta(),
    missing: Mapping[str, str] | None = None,
    set_aside: Iterable[SetAside] = (),
) -> None:
    """Require a row for every day that is over, because a short answer must not be written.

    Args:
        covered: the days that have a row.
        start: the first UTC day asked for.
        end: the last UTC day asked for, included.
        now: a day is over when its end plus ``lag`` is not later than this.
        what: the provider, route and coins, for error messages.
        lag: how long after the end of the day the provider publishes it.
        missing: coin -> why it had no row; the first reason goes into the message.
        set_aside: what was set aside. A day whose rows were all set aside was answered, and does not fail the others.

    Raises:
        ShortAnswerError: a day that is over has no row.
    """
    present = {*covered, *(record.day for record in set_aside if not record.column)}
    absent = [day for day in days(start, end) if midnight(day + DAY) + lag <= now and day not in present]
    if absent:
        more = f" and {len(absent) - 3} more day(s)" if len(absent) > 3 else ""
        why = next((f" ({coin}: {reason})" for coin, reason in (missing or {}).items()), "")
        raise ShortAnswerError(
            f"{what} gave no row for {', '.join(map(str, absent[:3]))}{more} in {start} to {end}{why}; nothing was "
            "written; try again later, or choose a range that the provider has",
            [day.isoformat() for day in absent],
        )


def named(coins: Sequence[Coin]) -> str:
    """Name the first coin and the number of others, for a sentence.

    Args:
        coins: the coins.

    Returns:
        The text, e.g. ``BTC and 3 more``.
    """
    return f"{coins[0].symbol}{f' and {len(coins) - 1} more' if len(coins) > 1 else ''}" if coins else "no coin"


async def each(
    calls: Mapping[str, Callable[[], Awaitable[T]]], missing: dict[str, str]
) -> tuple[dict[str, T], dict[str, str]]:
    """Ask for each coin, and let a coin fail alone while few coins fail (see ``refuse_many``).

    Args:
        calls: coin -> the call that asks for its rows.
        missing: filled with the coins that the source never listed (:class:`NeverListedError`), and why. A coin of the
            catalogue that the provider does not know (any more) is a failure instead.

    Returns:
        Results by coin, and failures by coin.

    Raises:
        SourceError: the first failure that concerns every coin; the other calls end.
    """
    results: dict[str, T] = {}
    failed: dict[str, SourceError] = {}

    async def one(name: str, call: Callable[[], Awaitable[T]]) -> None:
        try:
            results[name] = await call()
        except NeverListedError as error:
            missing[name] = str(error)
        except SourceError as error:
            failed[name] = error
            refuse_many(failed, len(calls), error)

    await gather(one(name, call) for name, call in calls.items())
    return (
        {name: results[name] for name in calls if name in results},
        {name: str(failed[name]) for name in sorted(failed)},
    )


def refuse_many(failed: Mapping[str, SourceError], asked: int, newest: SourceError) -> None:
    """Raise the newest failure where it concerns every coin.

    This is so where the key, plan, place or budget is refused; where the provider failed (no answer, an HTTP error) for
    more than ``FAILURES_BORNE`` of the coins; or where more than half of the coins have an answer that cannot be read.
    One coin of several never fails the others. Coins that the provider does not know, or has no answer about yet, never
    do.

    Args:
        failed: coin -> its failure.
        asked: the number of coins asked for.
        newest: the newest failure.

    Raises:
        SourceError: ``newest``, where it concerns every coin.
    """
    if newest.status in REFUSALS or isinstance(newest, BudgetError):
        raise newest
    if ALONE.get() or isinstance(newest, NotListedError | UnsureError):
        return
    counted = [error for error in failed.values() if not isinstance(error, NotListedError | UnsureError)]
    of_provider = sum(error.transient or error.status is not None for error in counted)
    borne = 0 if asked == 1 else 1
    if of_provider > max(borne, asked * FAILURES_BORNE) or len(counted) > max(borne, asked / 2):
        raise newest


async def gather(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run calls concurrently; the first failure cancels the rest.

    Args:
        calls: the coroutines.

    Returns:
        The results, in the order of the calls.
    """
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def utc(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Convert columns to UTC timestamps in microseconds, also in an empty frame.

    Args:
        frame: the frame.
        *columns: the columns.

    Returns:
        The frame.
    """
    for name in columns:
        frame[name] = pd.to_datetime(frame[name], utc=True).astype("datetime64[us, UTC]")
    return frame
