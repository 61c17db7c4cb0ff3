"""The deterministic analyser: VADER's sentiment lexicon with the crypto words it lacks, themes by their vocabulary.

VADER (Hutto and Gilbert 2014) is a fixed word list with rules for negation and emphasis; it judges tone, not truth.
"""

from __future__ import annotations

import re
from functools import cache

import pandas as pd
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from crypto_assets.schemas import THEMES

ANALYZER = "lexicon-1"
DRIVERS = 5

# Valence on VADER's scale (-4 to 4) for words whose market meaning it does not know.
CRYPTO_WORDS = {
    "bullish": 2.5, "bearish": -2.5, "rally": 2.2, "rallies": 2.2, "rallied": 2.2, "surge": 2.2, "surges": 2.2,
    "surged": 2.2, "soar": 2.5, "soars": 2.5, "soared": 2.5, "jumps": 1.6, "gains": 1.6, "rebound": 1.5,
    "rebounds": 1.5, "breakout": 1.5, "inflows": 1.2, "outflows": -1.2, "adoption": 1.2, "approves": 1.6,
    "approved": 1.6, "approval": 1.6, "upgrade": 0.9, "partnership": 1.1, "launches": 0.6, "plunge": -2.6,
    "plunges": -2.6, "plunged": -2.6, "plummets": -2.8, "tumbles": -2.2, "slump": -2.0, "slumps": -2.0, "dips": -1.2,
    "crash": -2.8, "crashes": -2.8, "selloff": -2.0, "hack": -2.6, "hacked": -2.8, "hackers": -2.2, "exploit": -2.2,
    "exploited": -2.4, "stolen": -2.4, "scam": -2.8, "rug": -1.5, "ponzi": -2.8, "ban": -2.0, "bans": -2.0,
    "banned": -2.0, "crackdown": -1.8, "lawsuit": -1.6, "sues": -1.6, "charges": -1.2, "probe": -1.0, "delisted": -1.6,
    "liquidated": -1.6, "liquidations": -1.6, "bankrupt": -2.8, "bankruptcy": -2.8, "insolvent": -2.6, "outage": -1.6,
    "drops": -1.4, "falls": -1.4, "fell": -1.4, "slides": -1.4, "sinks": -1.8,
}  # fmt: skip

THEME_WORDS = {
    "regulation": """regulat\\w* sec cftc lawmaker\\w* ban\\w* bill compliance legal law\\w* court sues? charge[sd]?
        licen[sc]e\\w* tax\\w* probe inquiry crackdown minister senate congress aml kyc""",
    "adoption": """adopt\\w* accept\\w* payment\\w* merchant\\w* users? partner\\w* launch\\w* integrat\\w* atm\\w*
        wallets? customers? legal\\s+tender""",
    "technology": """upgrade\\w* fork network protocol mainnet testnet developer\\w* layer scaling zk rollup\\w* blockchain
        merge sharding lightning taproot nodes?""",
    "macro_economic": """inflation fed federal\\s+reserve interest\\s+rates? gdp dollar economy economic recession cpi
        central\\s+bank stocks? treasury gold""",
    "institutional": """institution\\w* etf\\w* fund\\w* invest\\w* bank\\w* grayscale blackrock microstrategy tesla hedge
        custody goldman jpmorgan holdings""",
    "defi": """defi decentrali[sz]ed\\s+finance lending yield staking liquidity dex amm tvl stablecoin\\w* vaults?
        governance dao""",
    "security": """hack\\w* exploit\\w* stolen breach\\w* scam\\w* phishing vulnerab\\w* ransom\\w* rug theft attack\\w*
        fraud\\w*""",
    "market_structure": """price\\w* rall\\w* surge\\w* plunge\\w* trad\\w* exchange\\w* volume liquidat\\w* futures options
        bull\\w* bear\\w* support resistance leverage market\\w* listing lists all.time\\s+high""",
    "geopolitical": """war sanction\\w* china chinese russia\\w* ukrain\\w* iran\\w* korea\\w* election\\w* geopolit\\w*
        president el\\s+salvador""",
}


@cache
def _analyser() -> SentimentIntensityAnalyzer:
    analyser = SentimentIntensityAnalyzer()
    analyser.lexicon.update(CRYPTO_WORDS)
    return analyser


@cache
def _themes() -> dict[str, re.Pattern[str]]:
    return {
        theme: re.compile(r"\b(?:" + "|".join(words.split()) + r")\b", re.IGNORECASE)
        for theme, words in THEME_WORDS.items()
    }


def analyse(articles: pd.DataFrame) -> pd.DataFrame:
    """One row of ``article_narratives`` an article (contract of the same name); ``articles`` are rows of ``news_articles``."""
    columns = [
        "article_id", "analyzer", "date", "available_at", "source", "theme", "sentiment", "confidence", "drivers",
        "affected_symbols", "status",
    ]  # fmt: skip
    if articles.empty:
        return pd.DataFrame(columns=columns).astype({"available_at": "datetime64[us, UTC]"})
    texts = articles["title"].astype(str).str.cat(articles["summary"].fillna("").astype(str), sep=". ")
    judged = pd.DataFrame([judge(text) for text in texts], columns=["theme", "sentiment", "confidence", "drivers"])
    frame = articles[["article_id", "date", "available_at"]].reset_index(drop=True)
    sandbox = articles["source"].astype(str).str.startswith("sandbox").reset_index(drop=True)
    frame["source"] = sandbox.map({True: "sandbox/derived", False: "derived"})
    frame["analyzer"], frame["status"] = ANALYZER, "ok"
    frame["affected_symbols"] = list(articles["symbols"])
    return pd.concat([frame, judged], axis=1)[columns]


def judge(text: str) -> tuple[str, float, float, list[str]]:
    """(theme, sentiment -1 to 1, confidence 0 to 1, words of the text it rests on). The same text, the same answer."""
    scores = _analyser().polarity_scores(text)
    matches = {theme: [m.group() for m in pattern.finditer(text)] for theme, pattern in _themes().items()}
    ranked = sorted(THEME_WORDS, key=lambda theme: (-len(matches[theme]), THEMES.index(theme)))
    best, second = ranked[:2]
    theme = best if matches[best] else "other"
    margin = (len(matches[best]) - len(matches[second])) / max(len(matches[best]), 1)
    confidence = round(min(1.0, 0.2 + 0.4 * abs(scores["compound"]) + 0.4 * margin * bool(matches[best])), 4)
    toned = [w for w in re.findall(r"[A-Za-z]+", text) if w.lower() in _analyser().lexicon]
    drivers = list(dict.fromkeys([*matches[best], *toned]))[:DRIVERS]
    return theme, float(scores["compound"]), confidence, drivers
