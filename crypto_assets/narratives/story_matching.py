"""How alike two stories are: rare words that they share, weighed against all that they say.

The weight of a stem is its inverse document frequency: half from ``common_stems.csv`` (how often crypto headlines
of 2021 to 2023 use it), half from the articles of the days before, so that a word that everybody uses this week says little. Words
that no list knows count as rare, which makes names heavy without a list of names.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from crypto_assets.catalog import by_symbol
from crypto_assets.narratives.story_words import PLACES, StoryWords, story_words

UNKNOWN = 0.0003  # share of headlines with a stem that the list lacks: the rarest of the list has 0.0008
PRIOR_SHARE = 0.5  # of the list in a stem's frequency; the rest is that of the days before
PRIOR_ARTICLES = 300  # articles of the days before count for less where there are few of them
SUMMARY_WEIGHT = 0.5  # of a stem that only the summary has
SAME_NUMBER, OTHER_NUMBER = 0.05, -0.06
OTHER_NAMES = -0.05  # both titles have words that no list knows, mostly names, and share none of them
OTHER_PLACE = -0.25
OPPOSITE = -0.1  # one headline says up, the other says down
SAME_FEED = -0.12  # an outlet rarely reports a happening twice, but it follows it up
A_DAY = -0.04  # for each day between them
RARE = 5.5  # weight of a stem of about one headline in 250
LISTED = 3  # coins, of which a text that names them says no more than one of one coin
LEAST_SHARED = 13.0  # weights of the three rarest stems that two articles share
_UP, _DOWN = "rise", "fall"


@cache
def usual_shares() -> Mapping[str, float]:
    """Return stem -> the share of headlines that have it, for the 1,600 most usual stems."""
    with files(__package__).joinpath("common_stems.csv").open(encoding="utf-8") as lines:
        return {row["stem"]: int(row["per_million"]) / 1e6 for row in csv.DictReader(lines)}


class Frequencies:
    """How usual each stem is, from the list and from the articles of the days before."""

    def __init__(self, uses: Mapping[str, int], articles: int) -> None:
        self._uses, self._articles = uses, articles

    def weight(self, stem: str) -> float:
        """Return the inverse document frequency of a stem; at least 0."""
        lately = self._uses.get(stem, 0) / (self._articles + PRIOR_ARTICLES)
        return -math.log(min(1.0, PRIOR_SHARE * usual_shares().get(stem, UNKNOWN) + (1 - PRIOR_SHARE) * lately))


@dataclass(frozen=True)
class Story:
    """An article as it is compared.

    Attributes:
        feed: Its outlet.
        hours: When it was known, in hours since 1970.
        coins: Coins of the catalogue that it names.
        numbers: Amounts of the title.
        names: Stems of the title that ``common_stems.csv`` lacks.
        title: Stem of the title -> weight.
        whole: The same with the stems of the summary, which weigh less.
        title_norm: Euclidean norm of ``title``.
        whole_norm: Euclidean norm of ``whole``.
    """

    feed: str
    hours: float
    coins: frozenset[str]
    numbers: frozenset[str]
    names: frozenset[str]
    title: Mapping[str, float]
    whole: Mapping[str, float]
    title_norm: float
    whole_norm: float

    @property
    def rare(self) -> list[str]:
        """The stems by which stories are looked up, the heaviest first."""
        return sorted((stem for stem, weight in self.whole.items() if weight >= RARE * SUMMARY_WEIGHT),
                      key=lambda stem: (-self.whole[stem], stem))  # fmt: skip


def as_story(feed: str, hours: float, coins: Iterable[str], words: StoryWords, frequencies: Frequencies) -> Story:
    """Weigh the words of an article.

    Args:
        feed: its outlet.
        hours: when it was known, in hours since 1970.
        coins: coins of the catalogue that it names.
        words: its stems and amounts.
        frequencies: of the days before it.

    Returns:
        The story. Stems are in order, so that sums are the same to the last bit in every process.
    """
    named = frozenset(coins)
    listed = frozenset[str]().union(*map(coin_stems, named)) if len(named) >= LISTED else frozenset[str]()

    def weight(stem: str) -> float:
        return frequencies.weight(stem) / (len(named) if stem in listed else 1)

    title = {stem: weight(stem) for stem in sorted(words.title)}
    whole = title | {stem: SUMMARY_WEIGHT * weight(stem) for stem in sorted(words.summary)}
    names = frozenset(title) - usual_shares().keys()
    return Story(feed, hours, named, words.numbers, names, title, whole, _norm(title), _norm(whole))


@cache
def coin_stems(symbol: str) -> frozenset[str]:
    """Return the stems by which texts name a coin of the catalogue."""
    coin = by_symbol()[symbol]
    return frozenset(stem for name in (symbol, coin.name, *coin.aliases) for stem in story_words(name, None).title)


def likeness(one: Story, other: Story) -> float:
    """Compare two stories.

    Args:
        one: a story.
        other: another.

    Returns:
        About 0 (nothing in common) to 1 (the same words); the mean of titles and of whole texts, less what speaks against
        one happening: other amounts, opposite directions, the same outlet. 0 where both name coins and share none: "fund
        files for a Solana ETF" and the same for XRP are two happenings, however alike the words are.
    """
    if one.coins and other.coins and not one.coins & other.coins:
        return 0.0
    common = sorted(
        (min(one.whole[stem], other.whole[stem]) for stem in one.whole if stem in other.whole), reverse=True
    )
    if not common or common[0] < RARE * SUMMARY_WEIGHT or _shared(one, other) < LEAST_SHARED:
        return 0.0
    score = (_cosine(one.title, other.title, one.title_norm * other.title_norm)
             + _cosine(one.whole, other.whole, one.whole_norm * other.whole_norm)) / 2  # fmt: skip
    if one.numbers and other.numbers:
        score += SAME_NUMBER if one.numbers & other.numbers else OTHER_NUMBER
    if any(up in first.title and down in second.title and down not in first.title and up not in second.title
           for first, second in ((one, other), (other, one)) for up, down in ((_UP, _DOWN),)):  # fmt: skip
        score += OPPOSITE
    if one.names and other.names and not one.names & other.whole.keys() and not other.names & one.whole.keys():
        score += OTHER_NAMES
    places = [PLACES & story.title.keys() for story in (one, other)]
    if all(places) and not places[0] & places[1]:
        score += OTHER_PLACE
    score += A_DAY * abs(one.hours - other.hours) / 24
    return score + SAME_FEED if one.feed == other.feed else score


def _shared(one: Story, other: Story) -> float:
    """Return the weights, as in a title, of the three rarest stems that both have."""
    return sum(sorted((max(one.whole[s], other.whole[s]) for s in one.whole if s in other.whole), reverse=True)[:3])


def _cosine(one: Mapping[str, float], other: Mapping[str, float], norms: float) -> float:
    return sum(weight * other[stem] for stem, weight in one.items() if stem in other) / norms if norms else 0.0


def _norm(weights: Mapping[str, float]) -> float:
    return math.sqrt(sum(weight * weight for weight in weights.values()))
