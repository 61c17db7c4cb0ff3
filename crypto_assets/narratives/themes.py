"""Themes by description: what each one is about, and the words that show that a text is about it.

A word of ``clear`` is seldom used for anything else and weighs 2; a word of ``hint`` weighs 1. Each counts once per
text. A blank in an entry matches any white space, and ``*`` any ending. Of two themes with equal weight the one further
up wins, because it is the more special one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

CLEAR, HINT = 2, 1


@dataclass(frozen=True)
class Theme:
    """One theme: a sentence about it, and its vocabulary, with entries separated by commas."""

    name: str
    description: str
    clear: str
    hint: str


THEMES = (
    Theme(
        "security",
        "Hacks, thefts, scams, fraud and the weaknesses that make them possible.",
        "hack*, exploit*, stolen, steal*, theft*, thie*, heist*, breach*, scam*, phishing, vulnerabilit*, ransom*, malware,"
        "rug pull*, ponzi, fraud*, launder*, drained, pump and dump*, counterfeit, jailbreak, double spend*",
        "attack*, arrest*, bug, bounty, fake, falsely, suspicious, crime*, criminal*, security, compromised",
    ),
    Theme(
        "geopolitical",
        "States and their conflicts: war, sanctions, elections, what a country does with or against crypto.",
        "ukrain*, russia*, iran*, north korea*, el salvador*, kazakhstan, venezuela*, war, invasion, sanctions, sanctioned,"
        "geopolit*, election*, missile*, military, putin, zelensk*, bukele, refugee*",
        "china, chinese, president*, presidential, government*, country, countries, nation*, political, embargo",
    ),
    Theme(
        "regulation",
        "Laws, regulators, courts, licences, taxes and bans.",
        "regulat*, sec, cftc, finra, fatf, fincen, lawmaker*, legislat*, senat*, congress*, parliament*, mp, ban, bans,"
        "banned, banning, court*, lawsuit*, sue, sues, sued, legal*, law, laws, licens*, licenc*, complian*, kyc, aml, tax,"
        "taxes, taxation, commissioner*, subpoena*, crackdown, prosecut*, watchdog*, minister*, ministry, unlawful, illegal*",
        "bill, bills, policy, policies, rule, rules, charge*, probe*, investigat*, inquiry, consultation, approv*, treasury,"
        "authorit*, settle*, penalt*, fine, fined, governor, attorney*, advocacy, advisor, privacy, restrict*, cbdc*",
    ),
    Theme(
        "defi",
        "Finance by contract: lending, liquidity, yield, stablecoins on chain, decentralised exchanges and organisations.",
        "defi, decentrali*ed finance, dao, daos, dex, dexs, dexes, amm, tvl, yield*, staking, liquidity, farming, lending,"
        "vault*, automated market maker, liquid staking, flash loan*, perpetual*, aave, uniswap, curve finance, makerdao",
        "stablecoin*, governance, collateral*, borrow*, loan*, leverage, peg, depeg*, apy, decentrali*ed exchange*, aggregator",
    ),
    Theme(
        "macro_economic",
        "The wider economy: inflation, interest rates, currencies, stocks and gold, and crypto measured against them.",
        "inflation*, federal reserve, fed, interest rate*, rate hike*, gdp, recession, cpi, jobs report, treasury yield*,"
        "monetary, fiscal, macro*, hyperinflation, imf, world bank, ecb, economy, economic*, unemployment",
        "central bank*, dollar, gold, hedge against, stocks, equities, currency, currencies, debt, oil, yuan, euro, lira",
    ),
    Theme(
        "technology",
        "How chains work and change: upgrades, scaling, mining, nodes, tools for developers.",
        "mainnet*, testnet*, upgrade*, hard fork*, fork, shard*, layer 2, layer 1, layer-2, rollup*, zk, zero-knowledge,"
        "scaling, scalab*, developer tool*, sdk, open source, interoperab*, node, nodes, lightning, proof of stake,"
        "proof-of-stake, proof of work, proof-of-work, smart contract*, oracle*, hash rate, hashrate, taproot, consensus,"
        "outage*, virtual machine, evm, merge, bridge, cryptograph*",
        "blockchain*, protocol*, network, miner*, mining, developer*, technolog*, energy, electricity, facility, browser,"
        "infrastructure, privacy, interoperability, machine*, gas fee*, transaction speed*",
    ),
    Theme(
        "institutional",
        "Professional money: funds, banks, listed firms, venture rounds, custody, acquisitions.",
        "institution*, etf, etfs, etp, etps, hedge fund*, asset manage*, grayscale, gbtc, blackrock, microstrategy, custody,"
        "custodian*, goldman, jpmorgan, morgan stanley, fidelity, state street, citi, bny mellon, ipo, series a, series b,"
        "series c, series d, series e, seed funding, seed round, funding round, fundrais*, raises, venture*, vc, venture capital,"
        "valuation, acquires, acquisition, acquire, investor*, invests, stake in, hires, hire, ventures, capital",
        "fund, funds, funding, bank, banks, banking, million, billion, invest*, trust, firm, firms, led by, backs, backed,"
        "buys, bought, holdings, ceo, executive*, s-1, listed, listing",
    ),
    Theme(
        "market_structure",
        "Prices and trading: rallies and falls, levels, volumes, liquidations, derivatives, flows, listings.",
        "price*, rall*, bull*, bear*, trader*, volatil*, resistance, all-time high*, all time high*, liquidat*, futures,"
        "options, open interest, market cap*, outflow*, inflow*, whale*, sell-off*, selloff*, analysis, technicals, breakout,"
        "rangebound, consolidat*, correction, dip, ath, sentiment, hodl*, undervalued, overbought, oversold",
        "trade, trades, trading, market*, volume*, exchange*, gain*, surge*, soar*, plunge*, tumble*, drop*, fall, falls,"
        "fell, rise, rises, climb*, jump*, dive*, slump*, high, highs, low, lows, premium, support, top, profit*, record,"
        "going up, recover*, ",
    ),
    Theme(
        "adoption",
        "Use by people and firms: payments, products, brands, games and collectibles, education.",
        "adopt*, accept*, payment*, merchant*, retailer*, customer*, legal tender, salary, tickets, partner*, atm, atms,"
        "mainstream, collection*, collectible*, metaverse, nft*, gaming, game, games, gamers, play to earn, play-to-earn,"
        "mobile app, consumer*, brand*, fashion, music, sport*, film, movie*, charity, donation*",
        "pay, app, user*, launch*, integrat*, wallet*, web3, web 3*, product*, allow*, enable*, available, online, social,"
        "platform, marketplace*, trademark*, tokeni*e*, university, education, campaign, rewards",
    ),
)


@cache
def _vocabulary() -> tuple[tuple[str, re.Pattern[str], re.Pattern[str]], ...]:
    return tuple((theme.name, _pattern(theme.clear), _pattern(theme.hint)) for theme in THEMES)


def _pattern(entries: str) -> re.Pattern[str]:
    words = sorted(filter(None, (" ".join(entry.split()) for entry in entries.split(","))), key=lambda w: (-len(w), w))
    escaped = (re.escape(word).replace(r"\*", r"\w*").replace(r"\ ", r"\s+") for word in words)
    return re.compile(rf"(?<![\w$])(?:{'|'.join(escaped)})(?!\w)", re.IGNORECASE)


def themes_of(text: str) -> list[tuple[str, int, list[str]]]:
    """Find every theme of a text.

    Args:
        text: the text.

    Returns:
        (theme, weight, the words of the text that decided), the largest weight first.
    """
    found = []
    for place, (name, clear, hint) in enumerate(_vocabulary()):
        strong = dict.fromkeys(match.group() for match in clear.finditer(text))
        weak = [word for word in dict.fromkeys(match.group() for match in hint.finditer(text)) if word not in strong]
        weight = CLEAR * len({w.lower() for w in strong}) + HINT * len({w.lower() for w in weak})
        if weight:
            found.append((-weight, place, name, [*strong, *weak]))
    return [(name, -weight, words) for weight, _, name, words in sorted(found, key=lambda row: row[:2])]
