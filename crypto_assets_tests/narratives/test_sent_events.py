"""A model is asked about the events of most outlets, and of so many a day at most."""

from __future__ import annotations

from datetime import date

from crypto_assets.narratives.sent_events import EVENTS_A_DAY, sent_to_model
from crypto_assets_tests.narratives.test_events import START

DAY = START.date()


def test_a_model_is_asked_about_events_of_most_outlets() -> None:
    other = date(2025, 7, 12)
    many = [(DAY, f"{n:03d}", 2 + n % 3) for n in range(EVENTS_A_DAY + 30)]
    sent = sent_to_model([*many, (DAY, "single", 1), (other, "a", 2)])
    assert (other, "a") in sent and (DAY, "single") not in sent
    assert len(sent) == EVENTS_A_DAY + 1
    kept = [outlets for day, event, outlets in many if (day, event) in sent]
    left = [outlets for day, event, outlets in many if (day, event) not in sent]
    assert min(kept) >= max(left)
