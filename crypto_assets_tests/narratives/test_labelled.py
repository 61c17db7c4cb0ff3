"""Coins, themes and tone against labels by hand, on the half of the recorded headlines that nothing was tuned on.

``data/headline_labels.csv`` names rows of the recordings by number and hash; the headlines are not copied. The floors
lie below what was measured (docs/news.md): they catch a matcher that broke, they do not judge one.
"""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import pandas as pd
import pytest

from crypto_assets.catalog import all_coins
from crypto_assets.narratives.lexicon import judge
from crypto_assets.narratives.tagging import find_symbols

LABELS = Path(__file__).parent.parent / "data" / "headline_labels.csv"
NEUTRAL = 0.05  # below this VADER's authors call a text neutral


def signed(text: str) -> int:
    tone = judge(text)[1]
    return 0 if abs(tone) < NEUTRAL else 1 if tone > 0 else -1


@pytest.fixture(scope="module")
def human(shared: Path) -> pd.DataFrame:
    path = shared / "data" / "news" / "cryptolin_labelled_dev.csv.gz"
    return pd.read_csv(path) if path.exists() else pytest.skip("the labelled recording is not there")


@pytest.fixture(scope="module")
def labelled(shared: Path, human: pd.DataFrame) -> pd.DataFrame:
    """The held-out half: title, symbols (set), themes (list, the best first), kind."""
    news = pd.read_csv(shared / "data" / "news" / "cryptonews_2021-10_2022-04.csv.gz", sep=";")
    titles = {
        "cryptonews": dict(enumerate(news["title"].fillna(""))),
        "cryptolin": dict(zip(human["id"], human["news"], strict=True)),
    }
    labels = pd.read_csv(LABELS, keep_default_na=False)
    labels["title"] = [titles[row.recording][row.row] for row in labels.itertuples()]
    hashes = [hashlib.sha256(title.encode()).hexdigest()[:16] for title in labels["title"]]
    assert hashes == list(labels["sha256"]), "the recording is not the one that was labelled"
    assert len(labels) >= 200
    return labels[[int(mark[-1], 16) % 2 == 1 for mark in labels["sha256"]]]


def test_coins(labelled: pd.DataFrame) -> None:
    pairs = [(set(row.symbols.split()), set(find_symbols(row.title, all_coins()))) for row in labelled.itertuples()]
    right = sum(len(want & found) for want, found in pairs)
    assert right / sum(len(found) for _, found in pairs) >= 0.97
    assert right / sum(len(want) for want, _ in pairs) >= 0.85


def test_themes(labelled: pd.DataFrame) -> None:
    rows = labelled[labelled["themes"] != ""]
    found = [(judge(title)[0], themes.split("|")) for title, themes in zip(rows["title"], rows["themes"], strict=True)]
    assert sum(theme == wanted[0] for theme, wanted in found) / len(found) >= 0.6
    assert sum(theme in wanted for theme, wanted in found) / len(found) >= 0.75


def test_tone(human: pd.DataFrame) -> None:
    held = human[[zlib.crc32(f"half-{number}".encode()) % 2 == 1 for number in human["id"]]]
    pairs = [(signed(row.news), row.final_manual_labelling) for row in held.itertuples()]
    assert sum(ours == theirs for ours, theirs in pairs) / len(pairs) >= 0.5
    both = [(ours, theirs) for ours, theirs in pairs if ours and theirs]
    assert sum(ours == theirs for ours, theirs in both) / len(both) >= 0.85
    assert len(both) >= 0.5 * sum(theirs != 0 for _, theirs in pairs)
