"""Times as feeds write them: understood whole or not at all, and never an instant before the true one."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crypto_assets.sources.feed_dates import read_date


def at(day: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0) -> datetime:
    return datetime(2024, 1, day, hour, minute, second, micro, tzinfo=timezone.utc)


EXACT = [
    ("2024-01-05 22:00:00 UTC", at(5, 22)),
    ("2024-01-05 22:00:00 EST", at(6, 3)),
    ("2024-01-05 22:00:00+00", at(5, 22)),
    ("2024-01-05T22:00:00z", at(5, 22)),
    ("2024-01-05t22:00:00 -0500", at(6, 3)),
    ("2024-01-05T22:00:00−05:00", at(6, 3)),
    ("2024-01-05T22:00:00+05:30", at(5, 16, 30)),
    ("2024-01-05T22:00:00,25Z", at(5, 22, 0, 0, 250_000)),
    ("2024-01-05 22:00:00.364419679 +0200 CEST", at(5, 20, 0, 0, 364_420)),  # Go; never rounded down
    ("2024-01-05 22:00:00.5 +0300 +03 m=+0.012", at(5, 19, 0, 0, 500_000)),
    ("2024-01-05T22:00:00+01:00[Europe/Paris]", at(5, 21)),  # Java; RFC 9557
    ("2024-W01-5T22:00:00Z", at(5, 22)),
    ("2024W015T220000Z", at(5, 22)),
    ("2024-005T22:00:00Z", at(5, 22)),
    ("20240105T220000Z", at(5, 22)),
    ("2024-01-05T24:00:00Z", at(6)),
    ("2024-01-05T23:59:60Z", at(6)),
    ("Fri, 05 Jan 2024 23:59:60.9 GMT", at(6, 0, 0, 1)),
    ("Fri, 05 Jan 2024 10:00:00 PM EST", at(6, 3)),
    ("Fri, 05 Jan 2024 12:30:00 a.m. UTC", at(5, 0, 30)),
    ("Fri, 05 Jan 24 22:00:00 GMT", at(5, 22)),
    ("Friday, 05-Jan-24 22:00:00 GMT", at(5, 22)),
    ("Fri, 05 Jan 2024 10:00:00 +800", at(5, 2)),
    ("Fri, 05 Jan 2024 10:00:00 -5", at(5, 15)),
    ("Fri, 05 Jan 2024 10:00:00 UTC-5", at(5, 15)),
    ("Fri, 05 Jan 2024 10:00:00 GMT+0200", at(5, 8)),
    ("Fri, 05 Jan 2024 10:00:00 AKST", at(5, 19)),
    ("Fri, 05 Jan 2024 10:00:00 AMT", at(5, 14)),  # not "AM": the Amazon's, further west than Armenia's
    ("Fri, 05 Jan 2024 10:00:00 America/New_York", at(5, 15)),
    ("Fri, 05 Jan 2024 10:00:00 -0800 (PST)", at(5, 18)),
    ("Fri Jan 05 2024 22:00:00 GMT+0100 (Central European Standard Time)", at(5, 21)),  # JavaScript
    ("Fri Jan  5 22:00:00 UTC 2024", at(5, 22)),  # date(1)
    ("January 5th, 2024 at 10:00:00pm EST", at(6, 3)),
    ("2024&#45;01-05&nbsp;22:00:00\n Z ", at(5, 22)),
    ("2024-01-05T22:00:00Z[UTC]", at(5, 22)),  # Java's ZonedDateTime
    ("2024-1-5 22:00:00 UTC", at(5, 22)),
    ("2024-01-05T10:00:00 PM UTC", at(5, 22)),
    ("05/Jan/2024:22:00:00 -0500", at(6, 3)),  # Apache
    ("5. Jan 2024 22:00:00 +0100", at(5, 21)),
    ("Jan/05/2024 22:00:00 UTC", at(5, 22)),
    ("Jan 5, 2024 | 22:00:00 UTC", at(5, 22)),
    ("5 Jan 2024 \u2013 17:00:00 \u20130500", at(5, 22)),
    ("\u200eFri, 05 Jan 2024\u202f22:00:00 GMT\ufeff", at(5, 22)),  # Windows' own dates
    ("Friday, January 5, 2024 5:00:00 PM Eastern Standard Time", at(5, 22)),
    ("Fri, 05 Jan 2024 17:00:00 Eastern Daylight Time", at(5, 21)),
    ("Fri, 05 Jan 2024 17:00:00 Central European Summer Time", at(5, 15)),
    ("Fri, 05 Jan 2024 17:00:00 Pacific Time", at(6, 1)),  # summer or winter: the later one
    ("1704448800", at(5, 10)),
    ("1704448800000", at(5, 10)),
    ("1704448800.5", at(5, 10, 0, 0, 500_000)),
]


@pytest.mark.parametrize(("text", "instant"), EXACT)
def test_an_instant_that_is_understood_is_exact(text: str, instant: datetime) -> None:
    assert read_date(text) == (instant, instant)


@pytest.mark.parametrize(
    ("text", "begins", "latest"),
    [
        ("2024-01-05 22:00:00", at(5, 22), at(6, 10)),  # no zone: latest in the one furthest west
        ("2024-01-05 22:00:00 XYZ", at(5, 22), at(6, 10)),  # a zone that nobody knows
        ("Fri, 05 Jan 2024 22:00:00 M", at(5, 22), at(6, 10)),  # a military zone: unknown since RFC 2822
        ("Fri, 05 Jan 2024 22:00:00 Mars/Olympus", at(5, 22), at(6, 10)),
        ("Fri, 05 Jan 2024 22:00:00 (PST)", at(5, 22), at(6, 10)),  # a comment is no zone
        ("Fri Jan  5 22:00:00 2024", at(5, 22), at(6, 10)),
        ("20240105220000", at(5, 22), at(6, 10)),
        ("Jan 5, 2024, 10:00:00 PM", at(5, 22), at(6, 10)),
        ("Fri, 05 Jan 2024 10:00 PM", at(5, 22), at(6, 10, 1)),  # no seconds: the minute's end
        ("Fri, 05 Jan 2024 22:00 GMT", at(5, 22), at(5, 22, 1)),
        ("2024-01-05T22Z", at(5, 22), at(5, 23)),
        ("2024-01-05", at(5), at(6, 12)),
        ("Jan. 5, 2024, 10 p.m. UTC", at(5, 22), at(5, 23)),  # the whole hour
        ("5 Jan 2024 10pm", at(5, 22), at(6, 11)),
        ("05 Jan 2024", at(5), at(6, 12)),
        ("January 5, 2024", at(5), at(6, 12)),
        ("2024-01-05 22:00:00 +0200 EST", at(6, 3), at(6, 3)),  # a contradiction: the later of the two
        ("2024-11-03T01:30:00 America/New_York", *2 * (datetime(2024, 11, 3, 6, 30, tzinfo=timezone.utc),)),  # twice
    ],
)
def test_what_a_text_leaves_open_is_known_at_the_last_instant_it_can_mean(
    text: str, begins: datetime, latest: datetime
) -> None:
    assert read_date(text) == (begins, latest)


@pytest.mark.parametrize(
    "text",
    [
        "", "0", "2024", "2024-01", "0000-00-00", "yesterday", "vor 3 Stunden", "5 janvier 2024 22:00", "5 января 2024",
        "05/01/2024 22:00", "2024/01/05 22:00:00", "05-01-2024 22:00:00", "05.01.2024 22:00", "24-01-05",
        "Sat, 05 Jan 2024 22:00:00 GMT", "Fri, 32 Jan 2024 22:00:00 GMT", "2023-02-29", "2024-W54-1", "2024-367",
        "2024-01-05T25:00:00Z", "2024-01-05T24:00:01Z", "2024-01-05T22:60:00Z", "2024-01-05T22:00:61Z",
        "2024-01-05 13:00:00 PM", "2024-01-05 0:30 AM", "2024-01-05T22:00:00+15:00", "2024-01-05T22:00:00-1300",
        "2024-01-05T22:00:00+0160", "2024-01-05T22:00:00.Z", "2024-01-05T22:00:00Z and more",
        "2024-01-05 10:00:00 abends", "2024-01-05 10:00 (PM)", "10:00 tomorrow", "99999-01-01T00:00:00Z",
        "170444880", "17044488000", "-1704448800", "1704448800 s", "٢٠٢٤-٠١-٠٥T22:00:00Z", "2024-01-05T22:00:00Z" * 9,
        "Published: 2024-01-05T22:00:00Z", "2024-01-05T22:00:00Z[u-ca=hebrew]", "2024-01-05 22h00",
        "5 Jan 2024 10", "5 Jan 2024 10 Uhr", "5 Jan 2024 22 PM", "2024-01-05 10pmx", "1.704492e9", "2024-1-32", "2024-13-1",
        "Jan 5, 2024 noon UTC", "Fri, 05 Jan 2024 22:00:00 Eastern Timeless", "Fri, 05 Jan 2024 10:00:00[PM]",
    ],
)  # fmt: skip
def test_what_is_understood_in_part_is_not_understood(text: str) -> None:
    assert read_date(text) is None


INSTANTS = st.datetimes(datetime(2009, 1, 2), datetime(2049, 12, 30)).map(lambda d: d.replace(tzinfo=timezone.utc))
OFFSETS = st.integers(-48, 56).map(lambda quarters: timedelta(minutes=15 * quarters))


def _offset(offset: timedelta, style: str) -> str:
    minutes = int(abs(offset).total_seconds()) // 60
    sign = "-" if offset < timedelta() else "+"
    if style == "short" and minutes % 60 == 0:
        return f"{sign}{minutes // 60}"
    if style == "three" and minutes < 600 and minutes:
        return f"{sign}{minutes // 60}{minutes % 60:02}"
    return f"{sign}{minutes // 60:02}{':' if style == 'colon' else ''}{minutes % 60:02}"


ZONES: list[Callable[[timedelta], str]] = [
    lambda o: _offset(o, "colon"),
    lambda o: f" {_offset(o, 'basic')}",
    lambda o: f" {_offset(o, 'short')}",
    lambda o: f" {_offset(o, 'three')}",
    lambda o: f" GMT{_offset(o, 'basic')}",
    lambda o: f" UTC{_offset(o, 'short')}",
    lambda o: f" {_offset(o, 'basic')} (Somewhere Standard Time)",
    lambda o: f" {_offset(o, 'basic')} {_offset(o, 'basic')}",
    lambda o: "",
    lambda o: " QQT",
    lambda o: f" {_offset(o, 'basic')} QQT",
]
DATES = ["%Y-%m-%dT", "%Y-%m-%d ", "%G-W%V-%uT", "%Y-%jT", "%a, %d %b %Y ", "%d %B %Y ", "%A, %d-%b-%y ", "%b %d, %Y ",
         "%B %d, %Y, ", "%B %d, %Y at ", "%a %b %d %Y ", "%Y %b %d ", "%d %b %y ", "%d/%b/%Y:", "%Y-%-m-%-d "]  # fmt: skip
CLOCKS = ["%H:%M:%S", "%H:%M:%S.%f", "%H:%M:%S,%f", "%H:%M", "%I:%M:%S %p", "%I:%M%p", "%I %p"]


@settings(max_examples=1500, deadline=None)
@given(
    instant=INSTANTS,
    offset=OFFSETS,
    zone=st.sampled_from(ZONES),
    day=st.sampled_from(DATES),
    clock=st.sampled_from(CLOCKS),
    case=st.sampled_from([str, str.upper, str.lower]),
    dressed=st.sampled_from(["{}", "  {}\n", "{}&nbsp;"]),
)
def test_no_format_gives_an_instant_before_the_true_one(
    instant: datetime, offset: timedelta, zone: Callable[[timedelta], str], day: str, clock: str, case: Callable[[str], str],
    dressed: str,
) -> None:  # fmt: skip
    """Exact where the text says it all; not understood (known from when it was seen) is as good as late."""
    if "%f" not in clock:
        instant = instant.replace(microsecond=0)
    local = instant.astimezone(timezone(offset))
    text = dressed.format(case(local.strftime(day + clock) + zone(offset)))
    found = read_date(text)
    iso_with_12_hours = "%p" in clock and day.endswith("T")
    if found is None:
        assert iso_with_12_hours or "qqt" in text, text
        return
    assert found.latest >= instant, text
    if "QQT" not in text.upper() and zone(offset) and "%S" in clock:
        assert found == (instant, instant), text


@given(instant=INSTANTS)
@example(instant=datetime(2024, 1, 5, 10, tzinfo=timezone.utc))
def test_the_standards_own_texts_come_back_exactly(instant: datetime) -> None:
    whole = instant.replace(microsecond=0)
    assert read_date(format_datetime(whole)) == read_date(format_datetime(whole, usegmt=True)) == (whole, whole)
    assert read_date(instant.isoformat()) == (instant, instant)
    assert read_date(str(int(whole.timestamp()))) == (whole, whole)
    millis = instant.replace(microsecond=instant.microsecond // 1000 * 1000)
    assert read_date(str(round(millis.timestamp() * 1000))) == (millis, millis)


PIECES = st.sampled_from(
    ["2024-01-05", "05 Jan 2024", "Fri, ", "T", " ", "22:00:00", "10:00", "PM", "AM", "EST", "Z", "+0100", "-5", ".5", "(x)",
     "Europe/Paris", "1704448800", ":", ",", "at", "Noon", "[", "]", "m=+0.1"]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(pieces=st.lists(PIECES | st.text(max_size=3), max_size=8))
def test_nothing_in_a_text_is_passed_over(pieces: list[str]) -> None:
    """Whatever is read, a word less or a word more that is read too means something else or the same, never a cut."""
    text = "".join(pieces)
    found = read_date(text)
    if found is not None:
        assert found.at <= found.latest
        assert read_date(f"{text} nonsense") is None and read_date(f"nonsense {text}") is None
        assert not re.search(r"\bnoon\b", text, re.IGNORECASE)
