"""The tone classifier: its sign and size, what does not move its confidence, and a training from a file."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_assets.narratives.lexicon import judge
from crypto_assets.narratives.tone import NEUTRAL, tone, tone_model
from crypto_assets.narratives.train_tone import STRENGTHS, labelled, main, simplest

PROBABILITY = st.floats(0.001, 1)


@given(bad=PROBABILITY, neutral=PROBABILITY, good=PROBABILITY)
def test_the_size_of_the_tone_says_the_class(bad: float, neutral: float, good: float) -> None:
    total = bad + neutral + good
    value = tone([bad / total, neutral / total, good / total])
    assert -1 <= value <= 1
    assert (abs(value) < NEUTRAL) == (neutral >= max(good, bad) or good == bad)
    assert value == 0 or (value > 0) == (good > bad)


def test_confidence_does_not_grow_with_the_strength_of_the_tone() -> None:
    quiet = judge("Fund reports on bitcoin holdings")
    loud = judge("Fund reports on bitcoin holdings!!! AMAZING")
    assert loud[2] <= quiet[2]


def test_a_summary_counts_less_than_the_title() -> None:
    title, summary = "Exchange hacked and millions stolen", "The firm announces a great partnership and record growth."
    alone, both, other = judge(title)[1], judge(title, summary)[1], judge(summary)[1]
    assert alone < both < other
    assert both < 0


def test_the_card_names_the_data_and_the_figures() -> None:
    card = tone_model().card
    assert len(str(card["data_sha256"])) == 64
    figures = card["cross_validated"]
    assert isinstance(figures, dict)
    assert figures["accuracy"] > 0.63 > figures["lexicon_accuracy"]
    tried = card["accuracy_by_strength"]
    assert isinstance(tried, dict) and set(tried) == set(map(str, STRENGTHS))
    assert card["strength"] == simplest({float(name): accuracy for name, accuracy in tried.items()}, figures["texts"])


def test_the_most_regularised_of_equally_good_strengths_is_chosen() -> None:
    accuracies = {0.05: 0.60, 0.1: 0.65, 0.5: 0.66, 1.0: 0.65}
    assert simplest(accuracies, 1000) == 0.1, "one standard error of 0.66 on 1,000 texts is 0.015"
    assert simplest(accuracies, 10_000_000) == 0.5


def test_a_model_is_trained_from_a_file_and_twice_the_same(tmp_path: Path) -> None:
    rows = [(f"{what} number {n} {end}", sign) for n in range(8) for what, end, sign in
            (("Bank adopts", "gladly", 1), ("Court bans", "sadly", -1), ("Paper prints", "today", 0))]  # fmt: skip
    path = tmp_path / "labels.csv"
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([("title", "sentiment"), *rows])
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        main([str(path), str(tmp_path / name)])
        written.append((tmp_path / name / "tone_model.csv").read_bytes())
    assert written[0] == written[1]
    assert b"word,adopts," in written[0]
    path.write_text("headline,mood\nx,1\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="lacks the columns sentiment, title"):
        labelled(path)
