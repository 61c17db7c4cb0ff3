"""What opens and closes an incident, for every order of sightings."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from crypto_assets.monitoring.alerts.incidents import Incident, Sighting, changes

NOW = datetime(2024, 5, 4, 12, tzinfo=timezone.utc)
LOOKS = st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=4), max_size=12)


@given(LOOKS)
def test_beginnings_and_ends_alternate(looks: list[list[tuple[str, bool]]]) -> None:
    """Of each subject: opened, closed, opened, …; open at the end exactly if trouble was seen last."""
    known: dict[str, Incident] = {}
    story: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    last: dict[str, bool] = {}
    for n, look in enumerate(looks):
        sightings = [Sighting(subject, "broken" if bad else None) for subject, bad in look]
        found = changes("staleness", known, sightings, NOW + timedelta(minutes=n))
        for incident in found.opened:
            known[incident.subject] = incident
            story[incident.subject].append("opened")
        for incident in found.closed:
            assert incident.closed_at is not None
            del known[incident.subject]
            story[incident.subject].append("closed")
        last.update(look)
    for events in story.values():
        assert events == [("opened", "closed")[n % 2] for n in range(len(events))]
    assert set(known) == {subject for subject, bad in last.items() if bad}


def test_what_is_not_mentioned_stays_as_it_is() -> None:
    opened = changes("staleness", {}, [Sighting("prices", "late", NOW)], NOW).opened[0]
    found = changes("staleness", {"prices": opened}, [Sighting("ohlc", None)], NOW)
    assert not found.opened and not found.closed and not found.seen


def test_the_beginning_stays_the_first_one() -> None:
    opened = changes("staleness", {}, [Sighting("prices", "3 h late", NOW)], NOW).opened[0]
    later = Sighting("prices", "4 h late", NOW + timedelta(hours=1))
    (seen,) = changes("staleness", {"prices": opened}, [later], NOW + timedelta(hours=1)).seen
    assert (seen.what, seen.since) == ("4 h late", NOW)
