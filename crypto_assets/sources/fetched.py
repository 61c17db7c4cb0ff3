"""What a source hands over, and the small rules that all of them share."""

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
from crypto_assets.errors import NotListedError, ShortAnswerError, SourceError
from crypto_assets.partitions import DAY, days, midnight
from crypto_assets.sources.book import BudgetError
from crypto_assets.sources.client import Answer

T = TypeVar("T")
REPLAYED = "sandbox-replay"  # the mark of answers from recorded data
FAILURES_BORNE = 0.1  # share of the coins for which a provider may fail without taking the others' rows with them
# Set while coins that failed are tried again alone: among so few, one that fails again must not take the others along.
ALONE: ContextVar[bool] = ContextVar("alone", default=False)
REFUSALS = (401, 402, 403, 451)  # of the key, the plan or the place: no coin will fare better


class NeverListedError(NotListedError):
    """The catalogue, or the plan, says that the source does not have the coin: no request was made."""


def not_listed(why: str, sandbox: str | None, status: int | None = None) -> NotListedError:
    """The error for a name that a provider says it does not know; ``sandbox`` is the mark of the answer.

    A recording that is replayed lacks most coins, which says nothing about the catalogue: there the coin is missing, as
    one that the source never listed. At a provider, a name of the catalogue that it does not know is a failure.
    """
    kind = NeverListedError if sandbox == REPLAYED else NotListedError
    return kind(why, status=status)


class UnsureError(SourceError):
    """An empty answer of which nobody can say yet whether it is a rest or an end: the coin failed, and is asked again."""


@dataclass(frozen=True, order=True)
class SetAside:
    """Observations that a provider gave and that cannot be stored: of one subject, UTC day, column and reason.

    Attributes:
        subject: the coin's symbol, or the chain, venue, pool or feed that they are about.
        day: the UTC day that they are about.
        reason: a short fixed phrase, the same for all of a kind, e.g. ``"open time is not an hour mark"``.
        column: the column whose cell is null because of it; empty where the whole row is left out.
        count: how many observations.
        example: the first of them as given, at most 80 characters.
    """

    subject: str
    day: date
    reason: str
    column: str = ""
    count: int = 1
    example: str = ""


class SetAsideLog:
    """Collects what is set aside while an answer is read; equal subjects, days, columns and reasons are counted."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, date, str, str], tuple[int, str]] = {}

    def add(self, subject: str, day: date, reason: str, example: object = "", column: str = "", count: int = 1) -> None:
        """Count ``count`` observations; the example of the first of a kind is kept."""
        key = (subject, day, reason, column)
        known, first = self._found.get(key, (0, str(example)[:80]))
        self._found[key] = (known + count, first)

    def records(self) -> tuple[SetAside, ...]:
        """What was collected, sorted, so that the same answers give the same records."""
        return tuple(
            SetAside(subject, day, reason, column, count, example)
            for (subject, day, reason, column), (count, example) in sorted(self._found.items())
        )


@dataclass(frozen=True)
class Fetched:
    """Rows, the hashes of the responses they came from, and what the provider did not have, by coin or route.

    ``set_aside``: what was given and cannot be believed; the rest of the answer is stored (rule 11 of the design).
    ``surplus``: what was given and is not wrong, but no row of the table, counted by reason: an unfinished bar, a
    second point of an hour, an instant outside the window that was asked for.
    """

    frame: pd.DataFrame
    digests: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    calls: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)  # coins whose rows could not be had this time, and why
    gone: Mapping[str, Sequence[datetime]] = field(default_factory=dict)  # hours asked for that will not come, by coin
    set_aside: tuple[SetAside, ...] = ()
    surplus: Mapping[str, int] = field(default_factory=dict)


def source_name(provider: str, answer: Answer) -> str:
    """The provider's name, behind the sandbox's mark where the answer came from one."""
    return f"{answer.sandbox}/{provider}" if answer.sandbox else provider


def number(value: object, what: str) -> float | None:
    """A finite float from JSON, exactly; None for absent, empty and "NaN". Raises :class:`SourceError` otherwise."""
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
    """A number above zero. Raises :class:`SourceError`."""
    parsed = number(value, what)
    if parsed is None or parsed <= 0:
        raise SourceError(f"{what} is {str(value)[:40]!r}, not above zero; nothing was written; try again later")
    return parsed


@contextmanager
def about(request: str) -> Iterator[None]:
    """Failures inside begin with the request they came from: provider, route, coins and window."""
    try:
        yield
    except SourceError as error:
        if not str(error).startswith(request):
            error.args = (f"{request}: {error}",)
        raise


def rows_of(body: object, what: str) -> list[Any]:
    """The list that a route documents. Raises :class:`SourceError` for any other type."""
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
    """Every day that is over since ``lag`` must have a row, else the answer is short and nothing may be written.

    ``what`` names provider, route and coins; ``missing`` the coins that had none, of which the first reason is said.
    A day of which the provider gave rows that were ``set_aside`` was answered: it does not take the other days along.
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
    """The first coin and how many more there are, for a sentence."""
    return f"{coins[0].symbol}{f' and {len(coins) - 1} more' if len(coins) > 1 else ''}" if coins else "no coin"


async def each(
    calls: Mapping[str, Callable[[], Awaitable[T]]], missing: dict[str, str]
) -> tuple[dict[str, T], dict[str, str]]:
    """(results, failures) by coin: one coin's failure is its own while few of all coins fail (see ``refuse_many``).

    Args:
        calls: by coin, what asks for its rows.
        missing: filled with the coins that the source never listed (:class:`NeverListedError`), and why. A coin whose
            identifier the provider does not know (any more) is a failure by name: the catalogue says that it has it.

    Raises:
        SourceError: the first failure that concerns everyone; the other calls end.
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
    """Raise the newest failure where it concerns everyone.

    That is: key, plan, place or budget is refused; the provider failed (no answer, an HTTP error) for more than
    ``FAILURES_BORNE`` of the coins; or more than half of the coins have an answer that cannot be read. One coin of
    several never takes the others along, nor does any number of coins that the provider does not know or has no answer about yet.
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
    """Results in order; the first failure cancels the rest."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def utc(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The frame with these columns as UTC timestamps in microseconds (right also when it is empty)."""
    for name in columns:
        frame[name] = pd.to_datetime(frame[name], utc=True).astype("datetime64[us, UTC]")
    return frame
