"""The deterministic analyser: tone by the classifier of ``tone.py``, themes by description.

VADER's sentiment lexicon with crypto words added gives features of the classifier and the words that explain a tone.
VADER (Hutto and Gilbert 2014) is a fixed list of words with rules for negation and emphasis. It measures tone, not
truth. ``judge`` reads news; ``word_tone`` is the tone of the lexicon alone, for posts and to compare with.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import pandas as pd

from crypto_assets.narratives.boilerplate import cleaned
from crypto_assets.narratives.language import is_english
from crypto_assets.narratives.themes import themes_of
from crypto_assets.narratives.tone import CLASSES, SUMMARY_CHARS, TITLE_WEIGHT, normalised, tone_model
from crypto_assets.narratives.tone import tone as tone_of

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

ANALYZER = "lexicon-4"
DRIVERS = 5

# Valence on VADER's scale (-4 to 4), by class: the meaning in market reports, where VADER has no tone or another one.
_CLASSES = {
    # Prices and flows.
    2.4: "bullish rally rallies rallied surge surges surged surging soar soars soared soaring skyrockets skyrocketed",
    1.6: "jump jumps jumped gains rebound rebounds rebounded breakout climbs climbed rises rising rose recover recovers "
    "recovery outperforms tops topped surpasses surpassed exceeds exceeded doubles doubled triples tripled inflows highs "
    "record milestone ath bulls moon upside",
    -1.6: "drop drops dropped dropping falls fell falling slides slid sinks sank dips dipped declines declined decline "
    "dives dived drags outflows lows downside correction selloff bears slowdown underperforms",
    -2.4: "bearish plunge plunges plunged plunging plummets plummeted tumble tumbles tumbled slump slumps slumped crash "
    "crashes crashed crashing collapse collapses collapsed liquidated liquidations meltdown",
    # What firms do: they raise money, release products, hire people.
    1.4: "raise raises raised funding fundraise secures secured invests invested investment backs backed acquires acquired "
    "acquisition buys bought partners partnership partnering collaborates collaboration integrates integrated integration "
    "adopts adopted adoption accepts accepting expands expanded expansion grows growing growth profits",
    0.9: "launch launches launched launching unveils unveiled introduces introduced debuts rollout upgrade upgrades adds "
    "added enables enabled allows opens opened releases released announces joins hires boosts offering supports listing "
    "lists plans unlocks",
    # What the state does.
    1.7: "approve approves approved approval licensed license licence legalizes legalized legalises greenlight greenlights permits",
    -1.5: "sues sued lawsuit charges charged probe probes investigation investigates subpoena subpoenas fined fine penalty "
    "crackdown ban bans banned banning restricts restrictions rejects rejected rejection denies denied delays delayed "
    "halts halted suspends suspended delists delisted warns warned warning seizes seized sanctions blocks blocked freezes "
    "shutdown clampdown prohibits prohibited blacklists "
    "bars barred objects seizure enforcement critiques",
    # Technical terms that VADER reads as feelings.
    0.0: "asset assets security securities securitize treasury authority authorities justice trust trusts smart solution "
    "solutions play plays playing like focused stable share shares interest interests legal energy safe brave feature "
    "features free stake staking worth value reserve reserves hard hand top gas token no special chief fan fans help",
    # What goes wrong.
    -2.6: "hack hacks hacked hacker hackers exploit exploited exploits stolen steals theft scam scams scammers rug ponzi "
    "fraud fraudulent laundering phishing ransomware malware bankrupt bankruptcy insolvent insolvency heist breach drained",
    -1.3: "outage vulnerability bug criticizes criticism concerns volatility bubble risky scrutiny uncertainty layoffs "
    "depeg loses losing doubts struggles limbo",
}
CRYPTO_WORDS = {word: valence for valence, words in _CLASSES.items() for word in words.split()}


@cache
def _analyser() -> SentimentIntensityAnalyzer:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    analyser.lexicon.update(CRYPTO_WORDS)
    return analyser


def analyse(articles: pd.DataFrame) -> pd.DataFrame:
    """Analyse articles with the lexicon.

    Args:
        articles: rows of ``news_articles``.

    Returns:
        One row of ``article_narratives`` per article.
    """
    columns = [
        "article_id", "analyzer", "date", "available_at", "source", "theme", "sentiment", "confidence", "drivers",
        "affected_symbols", "status",
    ]  # fmt: skip
    if articles.empty:
        return pd.DataFrame(columns=columns).astype({"available_at": "datetime64[us, UTC]"})
    read = cleaned(articles)
    texts = zip(read["title"].astype(str), read["summary"].fillna("").astype(str), articles["symbols"], strict=True)
    answers = [judge(title, summary, names_coin=len(coins) > 0) for title, summary, coins in texts]
    judged = pd.DataFrame(answers, columns=["theme", "sentiment", "confidence", "drivers"])
    # The words are English; in another language the tone is unknown, which is not 0.
    tags = articles["language"] if "language" in articles else [None] * len(articles)
    spoken = [
        is_english(f"{title}. {summary}" if isinstance(summary, str) else title, tag)
        for title, summary, tag in zip(read["title"].astype(str), read["summary"], tags, strict=True)
    ]
    judged["sentiment"] = judged["sentiment"].where(pd.Series(spoken, dtype=bool))
    frame = articles[["article_id", "date", "available_at"]].reset_index(drop=True)
    sandbox = articles["source"].astype(str).str.startswith("sandbox").reset_index(drop=True)
    frame["source"] = sandbox.map({True: "sandbox/derived", False: "derived"})
    frame["analyzer"], frame["status"] = ANALYZER, "ok"
    frame["affected_symbols"] = list(articles["symbols"])
    return pd.concat([frame, judged], axis=1)[columns]


def word_scores(text: str) -> dict[str, float]:
    """Score a text by the lexicon alone.

    Args:
        text: the text.

    Returns:
        VADER's scores: compound (-1 to 1), pos, neu and neg (shares of the text).
    """
    return dict(_analyser().polarity_scores(text))


def word_tone(text: str) -> float:
    """Return the tone -1 to 1 of a text by the lexicon alone."""
    return word_scores(text)["compound"]


def judge(title: str, summary: str = "", *, names_coin: bool = False) -> tuple[str, float, float, list[str]]:
    """Judge one article; the same text always gives the same answer.

    Args:
        title: its title, or any text.
        summary: its summary, if it has one.
        names_coin: whether it names a coin of the catalogue.

    Returns:
        (theme, sentiment -1 to 1, confidence 0 to 1, the words of the text that decided). Confidence grows with the
        share of the title's words that the classifier knows and with the distance to the second theme. It does not grow
        with the strength of the tone.
    """
    tone, known = _tone(title, summary)
    text = f"{title}. {summary}" if summary else title
    spoken_of = themes_of(title, summary, names_coin=names_coin)
    theme, weight, words = spoken_of[0] if spoken_of else ("other", 0, [])
    margin = (weight - spoken_of[1][1]) / weight if len(spoken_of) > 1 else float(weight > 0)
    confidence = round(min(1.0, 0.2 + 0.4 * known + 0.4 * margin), 4)
    toned = [word for word in re.findall(r"[A-Za-z]+", text) if word.lower() in _analyser().lexicon]
    return theme, tone, confidence, list(dict.fromkeys([*words, *toned]))[:DRIVERS]


def _tone(title: str, summary: str) -> tuple[float, float]:
    """Return the tone of an article, and the share of its title's words that the classifier knows."""
    model, found = tone_model(), []
    for text in filter(None, (normalised(title), normalised(summary[:SUMMARY_CHARS]))):
        found.append(model.probabilities(text, word_scores(text)))
    if not found:
        return 0.0, 0.0
    weights = (TITLE_WEIGHT, 1 - TITLE_WEIGHT) if len(found) > 1 else (1.0,)
    mixed = [
        sum(weight * probabilities[n] for weight, (probabilities, _) in zip(weights, found, strict=True))
        for n in range(len(CLASSES))
    ]
    return tone_of(mixed), found[0][1]
