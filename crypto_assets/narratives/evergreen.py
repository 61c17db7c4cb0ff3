"""Titles of articles that report no happening (guides, price predictions, columns, market reports), and words of this market.

What an article is, ``relevance.py`` decides. A title alone decides whether an article is evergreen, because the summary of
a report of a hack may well end with "here is what to know".
"""

from __future__ import annotations

import re

_EVERGREEN = re.compile(
    r"""
    ^\W*(?:how\ to|how\ do|how\ does|how\ can|what\ (?:is|are)(?!\ (?:behind|happening))|what['’]s\ the\ difference|why\ you
        |should\ (?:you|i)|is\ it\ (?:too\ late|time|safe|worth)|(?:the\ )?(?:ultimate|complete|beginner)
        |(?:the\ )?(?:top|best)\ (?:\d+|three|five|ten|crypto|coins?|altcoins?|exchanges?|wallets?|presales?|meme)
        |\d+\ (?:best|top|reasons|ways|things|tips|cryptos?|altcoins?|tokens|coins|signs|metrics)\b)
    |price\ (?:prediction|analys[ie]s|forecast|outlook|watch)|prices?\ today|technical\ analysis|market\ (?:wrap|watch|recap|update)s?\b
    |\bexplained\b|\bexplainer\b|beginner['’]?s|\bguide\b|(?:all|everything)\ you\ need\ to\ know|need[s]?\ to\ know|things\ to\ know
    |(?:coins?|cryptos?|cryptocurrenc(?:y|ies)|tokens?|altcoins?)\ to\ (?:buy|watch|consider)|to\ buy\ (?:now|today|in\ 20\d\d)|next\ 100x|\b(?:10|20|50|100|1000)x\b
    |\+\ more(?:\ news)?\W*$|,?\ and\ more(?::.*|\W*)$|news\ (?:summary|roundup|digest|bites|breaks)|^(?:news\ )?(?:explorer|recap)\b
    |hodler(?:['’]?s)?\ digest|^(?:finance\ redefined|nifty\ news|law\ decoded|crypto\ biz|vortecs|the\ protocol|asia\ express|weekly|daily)\b
    |(?:weekly|daily|monthly|morning|evening|week\ in)\ (?:news|crypto|recap|review|digest|roundup|report|update|brief|wrap|market)
    |this\ week\ in|here['’]?s\ what\ happened|what\ happened\ in\ crypto|newsletter|podcast|(?:wallet|exchange|book|platform)\ review\b
    |\bpresale\b|\bpre-sale\b|press\ release|\bsponsored\b|giveaway|casinos?\b|horoscope
    |class\ action\ (?:update|alert|notice|deadline|reminder)|\b(?:investor|shareholder|deadline|stock)s?\ (?:alert|notice)\b
        |(?:reminds|encourages)\ (?:investors|shareholders)\b|on\ behalf\ of\ (?:\w+\ )?(?:investors|shareholders)\b
    |^(?:tags?|archives?|category|topic)\s*:|^first\ mover\b|^market\ report\b|markets?\ week\ ahead|(?:daily|weekly)\ tech(?:nical)?\ analysis
        |\btrade\ ideas?\s*:|price\ levels?\ to\ watch|\blive\ (?:news\ )?updates?\b|^(?:the\ )?(?:five|ten|\d+)\ (?:top|best|most)\ |\bprice\ (?:index|and\ (?:live\ )?chart)\b|\blive\ chart\b
    |^(?:bitcoin|btc|ethereum|eth|crypto)\ (?:and|&)\ (?:bitcoin|ethereum|eth|btc|crypto)\ (?:\w+ing|still|on|in|fluctuate|correct|consolidate|keep
        |move|remain|reverse|try|trend|inch|trim|gain|test|extend|hold|slide|drop|rise|fall|face|struggle|start|stay|recover|show)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Reports that a program writes of each coin and week: "Verge (XVG) Trading Down 5.2 % This Week", "Celo Price Tops $1.20 on Exchanges".
_PERIOD = r"(?:this\ week|over\ (?:the\ )?(?:last|past)\ (?:week|\d+\ days))"
_AUTOMATIC = re.compile(
    rf"""
    ^(?=.*(?:\(\ ?\w{{2,12}}\ ?\)|\bon\ (?:\w+\ )?exchanges\b|\b{_PERIOD}))
    .*\b(?:(?:price|market\ cap(?:itali[sz]ation)?|volume)\ (?:tops|hits|reaches|achieves|up|down)
        |(?:hits|reaches)\ (?:market\ cap(?:itali[sz]ation)?|[\w\ -]{{2,20}}\ volume)\ of|trading(?:\ (?:up|down))?)
    \ [$€£]?\ ?\d[\d.,\ ]*%?\ ?(?:(?:m|b|tr)illion\b|higher\b|lower\b)?
    \ ?(?:on\ (?:\w+\ )?exchanges\b|{_PERIOD})?\ ?(?:\(\ ?\w+\ ?\))?\W*$
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TOPIC = re.compile(
    r"crypto|blockchain|bitcoin|\bbtc\b|ethereum|\beth\b|\bether\b|\bnfts?\b|\bdefi\b|stable ?coin|\bcoins?\b|\btokens?\b|token[iy]|web ?3"
    r"|metaverse|digital (?:asset|currenc|dollar|euro|yuan|rupee|rouble|ruble|pound)|\bcbdcs?\b|\bdaos?\b|\bdapps?\b|mining|\bminers?\b|wallets?\b"
    r"|\bexchange\b|\bledger\b|altcoin|memecoin|on-?chain|smart contract|staking|layer[- ]?[12]\b|\bhodl|satoshi|solana|cardano|dogecoin|ripple"
    r"|(?<!\w)(?:\w+coins?|sol|kraken|cbdcs?|polygon|avalanche|chainlink|polkadot|uniswap|aave|grayscale|gbtc|mainnet|testnet"
    r"|altseason|decentrali[sz]ed|buterin|vitalik|alameda|ftx|celsius|crypto\.com|mt\.?\s?gox|a16z|andreessen|sharding"
    r"|composab\w+|saft|blockfi|voyager\s+digital|three\s+arrows|3ac|bitmex|bitfinex|okx|bybit|kucoin|huobi|bitmain|consensys"
    r"|opensea|axie|metamask|paxos|chainalysis|saylor|bakkt|greenidge|marathon\s+digital|core\s+scientific|hut\s+8|tornado\s+cash"
    r"|polymarket|metaplanet|(?:genius|clarity)\s+act)(?!\w)"
    r"|\bxrp\b|binance|coinbase|kraken|tether|\busd[tc]\b|microstrategy|\betfs?\b|биткоин|крипто|ビットコイン|暗号|比特币|加密|비트코인|암호|cripto|بيتكوين|krypto",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"football|premier league|champions league|soccer|basketball|baseball|cricket|\bnba\b|\bnfl\b|tennis|olympic|box office|celebrity|hollywood"
    r"|recipe|horoscope|weather forecast|hurricane|earthquake|wildfire|derby|penalty shoot|royal family|reality (?:tv|show)|gardening|vaccine",
    re.IGNORECASE,
)
HEAD = 400  # characters of a title or summary that are read


def is_evergreen(title: str) -> bool:
    """Whether a title is that of a guide, a price prediction, a column, a market report or an advertisement."""
    return _EVERGREEN.search(title[:HEAD]) is not None or _AUTOMATIC.match(title[:HEAD]) is not None


def names_market(title: str, summary: str | None = None) -> bool:
    """Whether a text has a word of this market."""
    return any(_TOPIC.search(text[:HEAD]) for text in (title, summary or ""))


def is_elsewhere(title: str, summary: str | None = None) -> bool:
    """Whether a text has a word of sports, weather, celebrities or the like, and none of this market."""
    return not names_market(title, summary) and any(_ELSEWHERE.search(text[:HEAD]) for text in (title, summary or ""))
