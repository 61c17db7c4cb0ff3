"""Read times as feeds write them: either the whole text is understood, or none of it is used.

A parser that skips what it does not know turns "10:00 PM" into "10:00". The article would then be available before it
was published. Here one pattern must match the whole text. Where the text allows several instants (no zone, an unknown
zone, no seconds, no time of day), ``latest`` is the last of them.

These are not understood on purpose: dates in digits whose order of day and month is open ("05/01/2024"), months in
other languages than English, a weekday that does not match the date, words ("yesterday").
"""

from __future__ import annotations

import html
import re
from datetime import date, datetime, timedelta, timezone
from typing import NamedTuple
from zoneinfo import ZoneInfo

# A time without a zone is latest in the zone furthest west: "10:00" there is 22:00 UTC.
FURTHEST_WEST, FURTHEST_EAST = timedelta(hours=-12), timedelta(hours=14)
MAX_CHARS = 100
_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


class Stated(NamedTuple):
    """The instants that a text can mean, in UTC.

    Attributes:
        at: the instant; where the text leaves it open, the first possible one with the zone read as UTC.
        latest: the last instant that the text can mean; equal to ``at`` where the text is exact.
    """

    at: datetime
    latest: datetime


# Hours east of UTC. Names of RFC 822 have the meaning given there. For other names that several zones share, all zones
# are listed, so that the latest instant is known. Single military letters are missing: RFC 822 had their signs wrong,
# and RFC 2822 calls them unknown.
_NAMED: dict[str, tuple[float, ...]] = {
    "Z": (0,), "UTC": (0,), "GMT": (0,), "UT": (0,), "UCT": (0,), "WET": (0,), "WEST": (1,), "CET": (1,), "CEST": (2,),
    "MET": (1,), "MEST": (2,), "EET": (2,), "EEST": (3,), "BST": (1, 6), "IST": (1, 2, 5.5), "MSK": (3, 4), "MSD": (4,),
    "TRT": (3,), "EST": (-5,), "EDT": (-4,), "CST": (-6,), "CDT": (-5,), "MST": (-7,), "MDT": (-6,), "PST": (-8,),
    "PDT": (-7,), "ET": (-5, -4), "CT": (-6, -5), "MT": (-7, -6), "PT": (-8, -7), "AST": (-4, 3), "ADT": (-3, 4),
    "NST": (-3.5,), "NDT": (-2.5,), "AKST": (-9,), "AKDT": (-8,), "HST": (-10,), "HDT": (-9,), "HAST": (-10,),
    "HADT": (-9,), "BRT": (-3,), "BRST": (-2,), "ART": (-3,), "CLT": (-4,), "CLST": (-3,), "COT": (-5,), "PET": (-5,),
    "VET": (-4.5, -4), "UYT": (-3,), "AMT": (-4, 4), "GST": (-2, 4), "SAST": (2,), "CAT": (2,), "EAT": (3,), "WAT": (1,),
    "IRST": (3.5,), "PKT": (5,), "NPT": (5.75,), "ICT": (7,), "WIB": (7,), "SGT": (8,), "MYT": (8,), "HKT": (8,),
    "PHT": (8,), "AWST": (8,), "JST": (9,), "KST": (8.5, 9), "ACST": (9.5,), "ACDT": (10.5,), "AEST": (10,), "AEDT": (11,),
    "NZST": (12,), "NZDT": (13,),
}  # fmt: skip
# The long names, as (standard, daylight). Australia's of the same name lie further east, so that these are later.
_LONG = {
    "eastern": (-5, -4), "central": (-6, -5), "mountain": (-7, -6), "pacific": (-8, -7), "western european": (0, 1),
    "central european": (1, 2), "eastern european": (2, 3), "greenwich mean": (0, 0), "coordinated universal": (0, 0),
}  # fmt: skip
_MONTHS = {
    name: number
    for number, names in enumerate(
        ("jan january", "feb february", "mar march", "apr april", "may", "jun june", "jul july", "aug august",
         "sep sept september", "oct october", "nov november", "dec december"), 1,
    )
    for name in names.split()
}  # fmt: skip
_WEEKDAYS = {
    name: number
    for number, names in enumerate(
        ("mon monday", "tue tues tuesday", "wed weds wednesday", "thu thur thurs thursday", "fri friday",
         "sat saturday", "sun sunday")
    )
    for name in names.split()
}  # fmt: skip

_WEEKDAY = rf"(?:(?P<weekday>{'|'.join(_WEEKDAYS)})(?:\. ?, ?| ?, ?|\. ?| ))?"
_MONTH = rf"(?P<month>{'|'.join(sorted(_MONTHS, key=len, reverse=True))})\.?"
_DAY_OF_MONTH = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?"
_HALF = r"[ap]\.?m\.?(?![A-Za-z])"
_CLOCK = (
    rf"(?P<hour>[0-9]{{1,2}})(?=:| ?{_HALF})"  # an hour alone says whether it is one of the morning
    r"(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,12}))?)?)?"
    rf"(?: ?(?P<half>{_HALF}))?"
)
_ISO_CLOCK = (
    r"(?P<hour>[0-9]{2})(?:(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,12}))?)?)"
    r"|(?P<minute_>[0-9]{2})(?:(?P<second_>[0-9]{2})(?:[.,](?P<fraction_>[0-9]{1,12}))?)?)?"
)
_ZONE = r"(?P<zone>(?: ?[A-Za-z+\-(\[].*)?)"
_AFTER_DATE = r"(?:,? at | - | \| |, ?| )"
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE | re.ASCII)
    for pattern in (
        # ISO 8601: calendar, week and ordinal dates, extended and basic, hours alone; RFC 3339; Go; Java
        rf"(?P<year>[0-9]{{4}})-(?P<digits>[0-9]{{2}}-[0-9]{{2}}|W[0-9]{{2}}-[1-7]|[0-9]{{3}})(?:[T ]{_ISO_CLOCK}{_ZONE})?",
        rf"(?P<year>[0-9]{{4}})(?P<digits>[0-9]{{4}}|W[0-9]{{2}}[1-7]|[0-9]{{3}})(?:T{_ISO_CLOCK}{_ZONE})?",
        r"(?P<year>[0-9]{4})(?P<digits>[0-9]{4})(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})(?P<second>[0-9]{2})?",
        # ISO 8601's order without its zeros: 2024-1-5
        rf"(?P<year>[0-9]{{4}})-(?P<number>[0-9]{{1,2}})-(?P<day>[0-9]{{1,2}})(?:(?:T|{_AFTER_DATE}){_CLOCK}{_ZONE})?",
        # RFC 822, 850, 2822, 5322 and their kin: 5 Jan 2024, 05-Jan-24, 5th January, 2024; Apache's 05/Jan/2024:22:00:00
        rf"{_WEEKDAY}{_DAY_OF_MONTH}(?:\.| of)?[ /-]{_MONTH}(?:[ /-]|, ?)(?P<year>[0-9]{{4}}|[0-9]{{2}})"
        rf"(?:(?:{_AFTER_DATE}|:){_CLOCK}{_ZONE})?",
        # Jan 5, 2024; JavaScript's Fri Jan 05 2024
        rf"{_WEEKDAY}{_MONTH}[ /]?{_DAY_OF_MONTH}(?:, ?|[ /])(?P<year>[0-9]{{4}})(?:{_AFTER_DATE}{_CLOCK}{_ZONE})?",
        # C's asctime and date(1), whose year is the last word
        rf"{_WEEKDAY}{_MONTH} {_DAY_OF_MONTH} {_CLOCK}(?P<zone>(?: [A-Za-z+\-][A-Za-z0-9+\-:/_]*)?) (?P<year>[0-9]{{4}})",
        # 2024 Jan 05, 2024-Jan-05
        rf"(?P<year>[0-9]{{4}})[ -]{_MONTH}[ -]{_DAY_OF_MONTH}(?:{_AFTER_DATE}{_CLOCK}{_ZONE})?",
    )
)
# Seconds, milli-, micro- and nanoseconds since 1970, from 2001 on: ten digits, and three more for each smaller unit.
_EPOCH = re.compile(r"([0-9]{10})([0-9]{3}){0,3}(?:\.([0-9]{1,9}))?", re.ASCII)
_ZONE_WORD = re.compile(
    r" ?(?:(?P<go>m=[+-][0-9]+\.[0-9]+)$"
    r"|(?:utc|gmt|ut)? ?(?P<offset>[+-](?:[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?|[0-9]{1,4}))(?![0-9:.])"
    r"|\[?(?P<place>[A-Za-z]{2,}(?:/[A-Za-z0-9_+\-]+){1,2})\]?"
    rf"|(?P<long>(?:{'|'.join(_LONG)})(?: (?:standard|daylight|summer))? time)(?![A-Za-z])"
    r"|\[(?P<boxed>[A-Za-z]{1,6})\]"
    r"|(?P<name>[A-Za-z]{1,6})(?![A-Za-z.])"
    r"|(?P<comment>\([^()]{0,60}\)))",
    re.IGNORECASE | re.ASCII,
)
# Dashes as a hyphen; marks that nobody sees (Windows' own dates hold some) as nothing.
_PLAIN = {
    **dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2212), "-"),
    **dict.fromkeys((0x200B, 0x200E, 0x200F, 0xFEFF)),
}
_HALF_DAY = re.compile(r"\b[ap]\.?m\b", re.IGNORECASE)
# An unknown zone looks like this. Other words may mean "am" or "pm" in another language.
_ABBREVIATION = re.compile(r"[A-Z]|[A-Z]{3,5}", re.ASCII)


def read_date(text: str) -> Stated | None:
    """Read the instant that a text states.

    A fraction finer than a microsecond is rounded up. A leap second is the second after it. A two-digit year is one of
    1950 to 2049.

    Args:
        text: as the feed gives it; character references, white space and line ends around and in it do not matter.

    Returns:
        The first and the last instant that the text can mean; None where any part of it is not understood.

    Source: RFC 822, 850, 2822 (4.3: obsolete zones), 3339 and 9557, ISO 8601, and what real feeds write instead.
    """
    text = " ".join(html.unescape(html.unescape(text)).translate(_PLAIN).split())
    if not text or len(text) > MAX_CHARS:
        return None
    try:
        epoch = _EPOCH.fullmatch(text)
        if epoch is not None:
            return _since_epoch(text)
        for pattern in _PATTERNS:
            found = pattern.fullmatch(text)
            stated = (
                _stated({k.rstrip("_"): v for k, v in found.groupdict().items() if v is not None}) if found else None
            )
            if stated is not None:
                return stated
    except (ValueError, OverflowError):  # e.g. 31 February, hour 25, or a year beyond the calendar
        return None
    return None


def _since_epoch(text: str) -> Stated:
    digits, _, fraction = text.partition(".")
    unit = 10 ** (len(digits) - 10)  # units per second
    scale = 10 ** len(fraction)
    micros = -(-int(digits + fraction) * 1_000_000 // (unit * scale))  # rounded up
    at = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=micros)
    return Stated(at, at)


def _stated(said: dict[str, str]) -> Stated | None:
    day = _date(said)
    weekday = said.get("weekday")
    if weekday is not None and _WEEKDAYS[weekday.lower()] != day.weekday():
        return None  # one of the two is wrong, and it is unknown which
    begins = datetime(day.year, day.month, day.day)
    if "hour" not in said:
        return _placed(begins, _DAY, None)
    hour, minute, second = (int(said.get(name, "0")) for name in ("hour", "minute", "second"))
    half = said.get("half")
    if half is not None:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half[0].lower() == "p" else 0)
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute or second or half)):
        return None
    fraction = said.get("fraction", "0")
    micros = -(-int(fraction) * 1_000_000 // 10 ** len(fraction))
    begins += timedelta(hours=hour, minutes=minute, seconds=second, microseconds=micros)
    if second == 60:  # 23:59:60 and its fractions end with the next minute
        begins = begins.replace(second=0, microsecond=0) + (timedelta(seconds=1) if micros else timedelta())
    grain = timedelta() if "second" in said else _MINUTE if "minute" in said else _HOUR
    offsets = _offsets(said.get("zone", ""), begins)
    return None if offsets is None else _placed(begins, grain, offsets)


def _placed(begins: datetime, grain: timedelta, offsets: tuple[timedelta, ...] | None) -> Stated:
    """Apply the offsets that the zone can mean; ``offsets`` is empty where the zone is not known."""
    if not offsets:
        at = begins.replace(tzinfo=timezone.utc)
        return Stated(at, at - FURTHEST_WEST + grain)
    at = (begins - min(offsets)).replace(tzinfo=timezone.utc)
    return Stated(at, at + grain)


def _date(said: dict[str, str]) -> date:
    year = int(said["year"])
    if len(said["year"]) == 2:
        year += 2000 if year < 50 else 1900
    if "number" in said:
        return date(year, int(said["number"]), int(said["day"]))
    if "month" in said:
        return date(year, _MONTHS[said["month"].lower()], int(said["day"]))
    digits = said["digits"].replace("-", "").upper()
    if digits.startswith("W"):
        return date.fromisocalendar(year, int(digits[1:3]), int(digits[3]))
    if len(digits) == 3:
        found = date(year, 1, 1) + timedelta(days=int(digits) - 1)
        if found.year != year:
            raise ValueError("no such day of the year")
        return found
    return date(year, int(digits[:2]), int(digits[2:]))


def _offsets(zone: str, local: datetime) -> tuple[timedelta, ...] | None:
    """Find the offsets that the zone can mean; empty where it is not known, None where a part of it is not understood.

    If words contradict each other, all their offsets count, so that the latest instant is among them.
    """
    sets: list[set[timedelta]] = []
    unknown, position = False, 0
    while position < len(zone):
        found = _ZONE_WORD.match(zone, position)
        if found is None:
            return None
        position = found.end()
        if found["comment"]:  # a comment of RFC 822 repeats the zone; alone, its meaning is unknown
            if _HALF_DAY.search(found["comment"]):
                return None
            unknown = unknown or not sets
        elif found["offset"]:
            offset = _offset(found["offset"])
            if offset is None:
                return None
            sets.append({offset})
        elif found["place"]:
            there = _there(found["place"], local)
            unknown = unknown or not there
            sets.append(there)
        elif found["long"]:
            sets.append(_long(found["long"].lower()))
        elif found["name"] or found["boxed"]:
            name = found["name"] or found["boxed"]
            named = {timedelta(hours=hours) for hours in _NAMED.get(name.upper(), ())}
            if not named and (unknown or not _ABBREVIATION.fullmatch(name)):
                return None
            unknown = unknown or not named
            sets.append(named)
    if unknown or not sets:
        return ()
    common = set.intersection(*sets)
    return tuple(sorted(common or set.union(*sets)))


def _offset(text: str) -> timedelta | None:
    """Read +HH, +HHMM, +HH:MM, +H, +HMM ("+800" is eight hours) or +HH:MM:SS; None where no zone on earth has it."""
    sign, digits = text[0], text[1:]
    if ":" in digits:
        parts = [int(part) for part in digits.split(":")]
    else:
        parts = [int(digits)] if len(digits) <= 2 else [int(digits[:-2]), int(digits[-2:])]
    hours, minutes, seconds = (*parts, 0, 0)[:3]
    found = timedelta(hours=hours, minutes=minutes, seconds=seconds) * (-1 if sign == "-" else 1)
    if minutes > 59 or seconds > 59 or not FURTHEST_WEST <= found <= FURTHEST_EAST:
        return None
    return found


def _long(name: str) -> set[timedelta]:
    zone = re.sub(r"(?: (standard|daylight|summer))? time$", "", name)
    standard, daylight = _LONG[zone]
    said = {*name.removeprefix(zone).split()}
    hours = {standard} if "standard" in said else {daylight} if said & {"daylight", "summer"} else {standard, daylight}
    return {timedelta(hours=one) for one in hours}


def _there(place: str, local: datetime) -> set[timedelta]:
    """Find the offsets of a place of the zone database at a local time: two in the hour that a clock shows twice."""
    try:
        zone = ZoneInfo(place)
    except (ValueError, OSError, KeyError):  # the place is unknown, or this machine has no zone database
        return set()
    offsets = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return {offset for offset in offsets if offset is not None}
