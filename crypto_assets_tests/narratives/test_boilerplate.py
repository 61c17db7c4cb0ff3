"""Boilerplate: advertisements go and news stays, from the articles known by then, however the days are cut."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_assets.catalog import all_coins
from crypto_assets.narratives.boilerplate import KEPT_PARTS, LEAST, WINDOW_DAYS, cleaned, strip
from crypto_assets.narratives.lexicon import analyse
from crypto_assets.narratives.tagging import tag_articles

DAY = timedelta(days=1)
START = datetime(2024, 1, 10, tzinfo=timezone.utc)
SPOKEN = "Love great wins? MegaTrade gives happy traders an amazing bonus of 100 % and the best rewards. "
UNSTOPPED = "The best and safest exchange of the year is waiting for you with fantastic free rewards and huge profits "
SUBJECTS = ["A court", "The bank", "One miner", "A lender", "The ministry", "An auditor", "Its founder", "A bridge"]
VERBS = ["rejects", "delays", "confirms", "loses", "publishes", "disputes", "sells", "reviews", "closes"]
OBJECTS = ["a licence", "the appeal", "its reserves", "a hearing", "the audit", "an upgrade", "the merger"]
SENTENCES = [f"{s} {v} {o} over case {n}." for n, (s, v, o) in enumerate(
    (s, v, o) for s in SUBJECTS for v in VERBS for o in OBJECTS)]  # fmt: skip


def rows(summaries: Sequence[str], *, feed: str = "a", every: timedelta = timedelta(hours=1)) -> pd.DataFrame:
    moments = pd.Series([START + every * n for n in range(len(summaries))], dtype="datetime64[us, UTC]")
    return pd.DataFrame(
        {"article_id": [f"{feed}{n:05}" for n in range(len(summaries))], "feed": feed, "date": moments.dt.date,
         "available_at": moments, "title": SENTENCES[: len(summaries)], "summary": summaries, "source": "rss",
         "symbols": [[]] * len(summaries)}
    )  # fmt: skip


def cleaned_by(frame: pd.DataFrame) -> pd.DataFrame:
    return cleaned(frame.join(strip(frame)))


NEWS = random.Random(7).sample(SENTENCES, 120)


@pytest.mark.parametrize("advertisement", [SPOKEN, UNSTOPPED])
def test_an_advertisement_is_learned_and_leaves_the_news_whole(advertisement: str) -> None:
    with_it = strip(rows([advertisement + text for text in NEWS]))
    assert list(with_it["clean_summary"][LEAST - 1 :]) == NEWS[LEAST - 1 :]
    assert with_it["clean_summary"][0] == advertisement + NEWS[0], "nothing recurred yet"
    assert all(parts for parts in with_it["boilerplate"][LEAST - 1 :])


@pytest.mark.parametrize("advertisement", [SPOKEN, UNSTOPPED])
def test_the_tone_of_an_outlet_is_that_without_its_advertisement(advertisement: str) -> None:
    plain, loud = rows(NEWS), rows([advertisement + text for text in NEWS])
    before, after, unstripped = (
        analyse(frame)["sentiment"].mean() for frame in (plain, loud.join(strip(loud)), loud)
    )  # fmt: skip
    assert abs(after - before) <= 0.05
    assert abs(unstripped - before) > 0.1, "the advertisement is loud"


@pytest.mark.parametrize(
    ("summary", "left"),
    [
        ("The fund bought coins. The post Fund buys coins. Again appeared first on The Outlet.", "The fund bought coins."),
        ("Subscribe to our newsletter for great deals. The fund bought coins.", "The fund bought coins."),
        ("By Jane Q. Doe. The fund bought coins. Read more →", "The fund bought coins."),
        ("BTC $64,100 +1.2% ETH $3,100 -0.4% SOL: $140 (+2%) The fund bought coins.", "The fund bought coins."),
        ("The fund bought coins. [...]", "The fund bought coins."),
        ("Use this link to register and claim the exclusive welcome bonus.", ""),
        ("Users follow the price. The regulator will read more reports.", None),
        ("Join forces: two banks share a ledger.", None),
    ],
)  # fmt: skip
def test_the_first_article_of_a_feed_has_its_calls_to_the_reader_stripped(summary: str, left: str | None) -> None:
    found = strip(rows([summary]))
    assert found["clean_summary"][0] == (summary if left is None else left)
    assert bool(found["boilerplate"][0]) == (left is not None)


def test_a_changed_template_is_learned_again_and_an_old_one_is_forgotten() -> None:
    texts = [SPOKEN + text for text in NEWS[:40]] + [UNSTOPPED + text for text in NEWS[40:80]]
    found = strip(rows(texts))
    assert list(found["clean_summary"][40 + LEAST :]) == NEWS[40 + LEAST : 80]
    late = rows([SPOKEN + text for text in NEWS[:3]], every=DAY * (WINDOW_DAYS + 1))
    assert list(strip(late)["clean_summary"]) == list(late["summary"]), "nothing recurred within the window"


def test_a_feed_that_is_all_advertisement_keeps_its_titles_and_nothing_else() -> None:
    found = strip(rows([SPOKEN * 2] * 30))
    assert set(found["clean_summary"][LEAST - 1 :]) == {""}
    assert list(found["clean_title"]) == SENTENCES[:30]
    assert max(map(len, found["boilerplate"])) <= KEPT_PARTS


def test_an_article_that_is_repeated_500_times_is_no_boilerplate() -> None:
    frame = rows(["The bank delays the audit of its reserves until May."] * 500).assign(title="Bank delays audit")
    assert set(strip(frame)["clean_summary"]) == {"The bank delays the audit of its reserves until May."}


def test_the_name_of_the_outlet_leaves_the_title() -> None:
    frame = rows(NEWS[:30])
    found = strip(frame.assign(title=frame["title"] + " | The Daily Outlet"))
    assert list(found["clean_title"][LEAST - 1 :]) == list(frame["title"][LEAST - 1 :])


def test_a_feed_does_not_teach_another() -> None:
    both = pd.concat([rows([SPOKEN + text for text in NEWS[:50]]), rows([SPOKEN + NEWS[50]], feed="b")])
    both = both.reset_index(drop=True)
    assert strip(both)["clean_summary"][50] == SPOKEN + NEWS[50]


def test_odd_text_is_bounded_and_never_fails() -> None:
    frame = rows(["", "0" * 5000, "\u202e…" * 900, "a b " * 1000, " | ".join(["-"] * 500)])
    frame.loc[5] = {**frame.loc[0].to_dict(), "article_id": "none", "summary": None, "title": "x – " * 1250}
    found = strip(frame)
    assert found["clean_summary"][5] is None
    assert all(len(parts) <= KEPT_PARTS for parts in found["boilerplate"])
    assert strip(frame.iloc[:0]).empty


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.sampled_from(["", SPOKEN, UNSTOPPED]), st.integers(0, 119)), max_size=40),
       st.integers(0, 300), st.randoms(use_true_random=False))  # fmt: skip
def test_only_what_was_known_counts(items: list[tuple[int, str, int]], until: int, shuffler: random.Random) -> None:
    frame = rows([advertisement + NEWS[text] for _, advertisement, text in items])
    frame["available_at"] = pd.Series([START + timedelta(hours=at) for at, _, _ in items], dtype="datetime64[us, UTC]")
    frame["date"] = frame["available_at"].dt.date
    whole = strip(frame)
    order = list(frame.index)
    shuffler.shuffle(order)
    pd.testing.assert_frame_equal(strip(frame.loc[order]).loc[frame.index], whole)
    known = frame[frame["available_at"] <= START + timedelta(hours=until)]
    pd.testing.assert_frame_equal(strip(known), whole.loc[known.index])


def test_the_chunks_of_a_backfill_do_not_show() -> None:
    frame = rows([SPOKEN + text for text in NEWS[:100]], every=timedelta(hours=5)).drop(
        columns=["article_id", "symbols"]
    )
    frame["published_at"] = frame["out_by"] = frame["available_at"]
    frame["url"], frame["language"] = [f"https://a.com/{n}" for n in range(len(frame))], None
    first, last = frame["date"].min(), frame["date"].max()
    whole = tag_articles(frame, all_coins(), first, last)
    days = [first + DAY * n for n in range((last - first).days + 1)]
    parts = pd.concat([tag_articles(frame, all_coins(), day, day) for day in days])
    columns = ["article_id", "clean_title", "clean_summary", "boilerplate"]
    pd.testing.assert_frame_equal(
        parts[columns].sort_values("article_id", ignore_index=True),
        whole[columns].sort_values("article_id", ignore_index=True),
    )
    assert (whole["clean_summary"].str.contains("MegaTrade")).sum() == LEAST - 1
