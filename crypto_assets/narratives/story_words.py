"""The words of a story: a text as a set of stems in which paraphrases meet.

"SEC sues Coinbase" and "Coinbase sued by US regulator" name one happening in different words. A light stemmer joins
the forms of a word, :data:`CONCEPTS` joins the words that newsrooms use for one act, and an amount has one spelling
("$1.5 billion", "1.5B" and "1,500 million" are equal). Which stories are the same does not belong here
(``story_matching.py``).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from crypto_assets.narratives.stories import FILLERS

TITLE_WORDS, SUMMARY_WORDS = 40, 60  # of a text at most: a title of 5,000 characters costs no more than another
CONCEPTS: dict[str, str] = {
    stem: concept
    for concept, stems in {
        "sue": "lawsuit suit sue sued sueing litigation complaint charg accus alleg allegation prosecut indict indictment",
        "hack": "hack hacker exploit exploiter breach steal stole stolen drain heist theft attack attacker loot loss lose lost",
        "approve": "approv approval greenlight clear nod ok okay authoriz authoris permit",
        "reject": "reject rejection deny denied denial refus dismiss refut",
        "delay": "delay postpon push defer extend await",
        "buy": "buy bought purchas acquir acquisition add scoop snap grab",
        "sell": "sell sold offload dump sale",
        "launch": "launch unveil introduc introduction releas debut rollout roll reveal announc announcement start begin open creat",
        "list": "list listing",
        "raise": "rais secur fundrais fund funding",
        "fall": "fall fell drop plung tumbl slump slid slide sink sank crash dip declin decreas slip dive plummet",
        "rise": "ris rise rose gain surg soar jump climb rall rally spik increas grow grew skyrocket",
        "ban": "ban prohibit outlaw illegal forbid",
        "layoff": "layoff lay slash cut fir job staff workforc employee",
        "move": "mov transfer send sent shift",
        "prison": "prison jail sentenc sentence",
        "record": "record ath alltim",
        "halt": "halt paus suspend suspension freez froz stop block",
        "partner": "partner partnership team collaborat collaboration alliance tap ally",
        "accept": "accept enabl allow support welcom integrat integration adopt",
        "ceo": "ceo chief boss head exec executiv founder cofounder chairman",
        "warn": "warn warning caution alert",
        "say": "say said tell claim believ think argu",
        "law": "law bill legislation act regulat regulation rul rule regulator lawmaker",
        "court": "court judg tribunal jury",
        "guilty": "guilty convict conviction plead plea",
        "arrest": "arrest detain custody",
        "bankrupt": "bankrupt bankruptcy insolvent insolvency chapter",
        "btc": "btc bitcoin",
        "eth": "eth ethereum ether",
        "xrp": "xrp ripple",
        "sol": "sol solana",
        "doge": "doge dogecoin",
        "ada": "ada cardano",
        "bnb": "bnb binancecoin",
        "crypto": "crypto cryptocurrency cryptocurrenc cryptos",
        "usa": "usa us america american",
        "uk": "uk britain british",
        "eu": "eu europe european",
        "india": "india indian",
        "china": "china chinese",
        "russia": "russia russian",
        "japan": "japan japanese",
        "korea": "korea korean",
        "thailand": "thailand thai",
        "franc": "franc french paris",
        "germany": "germany german",
        "canada": "canada canadian",
        "australia": "australia australian aussi",
        "brazil": "brazil brazilian",
        "singapor": "singapor singaporean",
        "nigeria": "nigeria nigerian",
        "ukrain": "ukrain ukrainian",
        "israel": "israel israeli",
        "turkey": "turkey turkish turkiy",
        "argentina": "argentina argentine argentinian",
        "switzerland": "switzerland swiss",
        "salvador": "salvador salvadoran bukel",
        "philippin": "philippin filipino",
        "vietnam": "vietnam vietnamese",
        "indonesia": "indonesia indonesian",
        "pakistan": "pakistan pakistani",
        "iran": "iran iranian",
        "ital": "ital italy italian",
        "spain": "spain spanish",
        "uae": "uae dubai emirat",
        "fed": "fed fomc",
    }.items()
    for stem in stems.split()
}
PLACES = frozenset(
    {
        *("usa", "uk", "eu", "india", "china", "russia", "japan", "korea", "thailand", "franc", "germany", "canada"),
        *("australia", "brazil", "singapor", "nigeria", "ukrain", "israel", "turkey", "argentina", "switzerland"),
        *("salvador", "philippin", "vietnam", "indonesia", "pakistan", "iran", "ital", "spain", "uae"),
    }
)
_JOINED = (
    (re.compile(r"\b(?:u\.s\.a?\.?|united states)(?!\w)", re.IGNORECASE), " US "),
    (re.compile(r"\bhong kong\b", re.IGNORECASE), "Hongkong"),
    (re.compile(r"\bsouth korean?\b", re.IGNORECASE), "Korea"),
    (re.compile(r"\bunited kingdom\b|\bu\.k\.", re.IGNORECASE), " UK "),
    (re.compile(r"\blay(?:s|ing)? off\b|\blaid off\b|\bjob cuts?\b", re.IGNORECASE), " layoffs "),
    (re.compile(r"\b(?:securities and exchange commission)\b", re.IGNORECASE), " SEC "),
    (re.compile(r"\bfederal reserve\b", re.IGNORECASE), " Fed "),
    (re.compile(r"\ball[- ]time (?:high|record)s?\b", re.IGNORECASE), " record "),
    (re.compile(r"\bper ?cent\b", re.IGNORECASE), "%"),
    (re.compile(r"(?<=\d)\s*([.,])\s*(?=\d)"), r"\1"),  # "13 . 5 %", as some feeds set it
)
_SCALE = {"k": 1e3, "thousand": 1e3, "m": 1e6, "mn": 1e6, "mln": 1e6, "million": 1e6, "b": 1e9, "bn": 1e9, "bln": 1e9,
          "billion": 1e9, "t": 1e12, "tn": 1e12, "trn": 1e12, "trillion": 1e12}  # fmt: skip
_AMOUNT = re.compile(
    r"(?<![\w.])[$€£¥₩]?\s?(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)\s?"
    rf"((?:{'|'.join(sorted(_SCALE, key=len, reverse=True))})(?!\w))?\+?",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_WORD = re.compile(r"[^\W\d_](?:[\w]|['’.&](?=[^\W_]))*|[^\W_]*\d[\w]*")


@dataclass(frozen=True)
class StoryWords:
    """A text as a story: its stems and its amounts.

    Attributes:
        title: Stems of the title.
        summary: Stems of the summary that the title lacks.
        numbers: Amounts of the title, in one spelling.
    """

    title: frozenset[str]
    summary: frozenset[str]
    numbers: frozenset[str]


def story_words(title: str, summary: str | None) -> StoryWords:
    """Read a title and a summary as a story.

    Args:
        title: plain text.
        summary: plain text, or None.

    Returns:
        The stems and amounts.
    """
    said, numbers = _stems(title, TITLE_WORDS)
    more, _ = _stems(summary or "", SUMMARY_WORDS)
    return StoryWords(frozenset(said), frozenset(more) - frozenset(said), frozenset(numbers))


def _stems(text: str, limit: int) -> tuple[list[str], list[str]]:
    text = unicodedata.normalize("NFKC", text[: 40 * limit])
    for pattern, plain in _JOINED:
        text = pattern.sub(plain, text)
    numbers = []

    def amount(match: re.Match[str]) -> str:
        if _YEAR.fullmatch(match.group().strip()):  # two reports of 2021 are not one report
            return " "
        value = float(match.group(1).replace(",", "")) * _SCALE.get((match.group(2) or "").lower(), 1.0)
        numbers.append(f"{value:.4g}")
        return " "

    words = _WORD.findall(_AMOUNT.sub(amount, text))
    stems = [stem for word in words if (stem := stem_of(word.lower()))]
    return [*dict.fromkeys([*numbers, *stems])][:limit], [*dict.fromkeys(numbers)]


@lru_cache(maxsize=1 << 16)
def stem_of(word: str) -> str:
    """Return the stem of a word in lower case, or the concept that it stands for; "" for a filler.

    Args:
        word: letters and digits.

    Returns:
        The stem.
    """
    word = re.sub(r"['’]s$|['’]", "", word).replace(".", "")
    if len(word) < 2 or word in FILLERS:
        return ""
    stem = _stripped(word)
    return CONCEPTS.get(word) or CONCEPTS.get(stem) or stem


def _stripped(word: str) -> str:
    if len(word) <= 3 or not word.isascii():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith("es") and len(word) > 4 and word[-3] in "sxzh":
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed", "er"):
        if ending != "er" and word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 4 else word
