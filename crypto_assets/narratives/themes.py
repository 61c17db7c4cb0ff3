"""Themes by description: what each one is about, and the words that show that a text is about it.

A word of ``clear`` is seldom used for anything else and weighs 2; a word of ``hint`` weighs 1. Each counts once per
text. A blank in an entry matches any white space, and ``*`` any ending. Of two themes with equal weight the one further
up wins, because it is the more special one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from crypto_assets.narratives.evergreen import is_elsewhere, names_market
from crypto_assets.narratives.name_tree import either

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
        "hack*, exploit*, stolen, stole, steal*, theft*, thie*, heist*, breach*, scam*, phishing, vulnerabilit*, ransom*,"
        "malware, rug pull*, rugpull*, ponzi, fraud*, launder*, drained, drainer*, pump and dump*, counterfeit, jailbreak,"
        "double spend*, private key*, sim swap*, lazarus, kidnap*, robber*, exit scam*, malicious, address poisoning,"
        "security flaw*, cyberattack*, backups",
        "attack*, arrest*, bug, bounty, fake, falsely, suspicious, crime*, criminal*, security, compromised, hijack*, seed "
        "phrase*, leak*",
    ),
    Theme(
        "geopolitical",
        "States and their conflicts: war, sanctions, elections, what a country does with or against crypto.",
        "ukrain*, russia*, iran*, north korea*, el salvador*, kazakhstan, venezuela*, war, invasion, sanctioned,"
        "geopolit*, election*, missile*, military, putin, zelensk*, bukele, refugee*, israel*, gaza, ceasefire, nato, bhutan,"
        "pakistan*",
        "china, chinese, president*, presidential, government*, sanctions, nation*, political, embargo, sovereign,"
        "white house, trump*",
    ),
    Theme(
        "regulation",
        "Laws, regulators, courts, licences, taxes and bans.",
        "regulat*, sec, cftc, finra, fatf, fincen, lawmaker*, legislat*, senat*, congress*, parliament*, mp, ban, bans,"
        "banned, banning, court*, lawsuit*, sue, sues, sued, legal*, law, laws, licens*, licenc*, complian*, kyc, aml, tax,"
        "taxes, taxation, commissioner*, subpoena*, crackdown, prosecut*, watchdog*, minister*, ministry, unlawful, illegal*,"
        "bill, bills, mica, genius act, clarity act, doj, department of justice, justice department, irs, esma, fca, mas,"
        "indict*, sentenc*, guilty, convict*, class action, bank charter, plead*, trial, jury, judge, extradit*, attorney general, ruling, democrat*,"
        "republican*, gov't",
        "policy, policies, rule, rules, charge*, probe*, investigat*, inquiry, consultation, approv*, treasury department,"
        "authorit*, settle*, penalt*, fine, fined, governor, attorney*, advocacy, advisor, privacy, restrict*, cbdc*, act,"
        "appeal*, hearing, sanctions banks, accus*, police",
    ),
    Theme(
        "defi",
        "Finance by contract: lending, liquidity, yield, stablecoins on chain, decentralised exchanges and organisations.",
        "defi, decentralised finance, decentralized finance, dao, daos, dex, dexs, dexes, amm, tvl, yield*, staking, restaking, liquidity, farming,"
        "lending, vault*, automated market maker, liquid staking, flash loan*, perpetual*, perps, aave, uniswap, curve finance,"
        "makerdao, pendle, morpho, ethena, hyperliquid, real-world asset*, rwa, rwas, composab*, decentralised exchange*, decentralized exchange*",
        "stablecoin*, governance, collateral*, borrow*, loan*, leverage, peg, depeg*, apy, aggregator, airdrop*, tokenised, tokenized,"
        "protocol",
    ),
    Theme(
        "macro_economic",
        "The wider economy: inflation, interest rates, currencies, stocks and gold, and crypto measured against them.",
        "inflation*, federal reserve, fed, interest rate*, rate hike*, rate cut*, gdp, recession, cpi, ppi, jobs report,"
        "treasury yield*, monetary, fiscal, hyperinflation, imf, world bank, ecb, economy, economic*, unemployment,"
        "tariff*, fomc, powell, payrolls, jobless, trade war, trade deal*, nasdaq 100, s&p 500, dxy, debt ceiling",
        "central bank*, dollar, gold, hedge against, stocks, equities, currency, currencies, debt, oil, yuan, euro, lira,"
        "macro*, bonds, wall street, dow",
    ),
    Theme(
        "technology",
        "How chains work and change: upgrades, scaling, mining, nodes, tools for developers.",
        "mainnet*, testnet*, upgrade*, hard fork*, soft fork*, fork, shard*, layer 2, layer 1, layer-2, layer-1, rollup*, zk,"
        "zero-knowledge, scaling, scalab*, developer tool*, sdk, open source, interoperab*, node, nodes, lightning,"
        "proof of stake, proof-of-stake, proof of work, proof-of-work, smart contract*, oracle*, hash rate, hashrate, taproot,"
        "consensus, outage*, virtual machine, evm, merge, bridge, cryptograph*, quantum, validator*, eip*, pectra, fusaka,"
        "bitcoin core, mining machine*, mining rig*, web3 browser, web 3 browser",
        "blockchain*, network, miner*, mining, developer*, technolog*, energy, electricity, facility, browser,"
        "infrastructure, interoperability, machine*, bridges, software, firmware, gas fee*, transaction speed*, artificial intelligence, ai",
    ),
    Theme(
        "institutional",
        "Professional money: funds, banks, listed firms, venture rounds, custody, acquisitions.",
        "institution*, etf, etfs, etp, etps, hedge fund*, asset manage*, grayscale, gbtc, blackrock, microstrategy, custody,"
        "custodian*, goldman, jpmorgan, morgan stanley, fidelity, state street, citi, bny mellon, ipo, series a, series b,"
        "series c, series d, series e, seed funding, seed round, funding round, fundrais*, raises, raised, venture*, vc,"
        "venture capital, valuation, acquires, acquisition, acquire, invests, stake in, hires, hire, ventures, saylor,"
        "metaplanet, sharplink, bitmine, treasury company, treasury companies, treasury strategy, bitcoin treasury, eth "
        "treasury, balance sheet, public company, nasdaq-listed, corporate treasur*, bitcoin reserve*, direct listing",
        "fund, funds, funding, raise, bank, banks, banking, invest*, investor*, trust, firm, firms, led by, backs, backed, capital,"
        "buys, bought, holdings, ceo, executive*, s-1, listed, treasury, acquir*, merger, shares, stock",
    ),
    Theme(
        "market_structure",
        "Prices and trading: rallies and falls, levels, volumes, liquidations, derivatives, flows, listings.",
        "price*, rall*, bull*, bear*, trader*, volatil*, resistance, all-time high*, all time high*, liquidat*, futures,"
        "options, open interest, market cap*, outflow*, inflow*, whale*, sell-off*, selloff*, analysis, technicals, breakout,"
        "rangebound, consolidat*, correction, dip, ath, sentiment, hodl*, undervalued, overbought, oversold, altseason,"
        "short squeeze, dominance, support level*, price prediction*, trading volume*, long-term holder*, token sale*,"
        "indicator*, funding rate*, crypto market*, profit-taking, trading pair*, delist*",
        "trade, trades, trading, market*, volume*, gain*, surge*, soar*, plunge*, tumble*, drop*, fall, falls,"
        "fell, fallen, rise, rises, climb*, jump*, dive*, slump*, high, highs, low, lows, premium, support, profit*, record,"
        "going up, recover*, higher, lower, losses, wiped out, steady, trading up, trading down, exchange volume*, issuance, target*, level*, chart*",
    ),
    Theme(
        "adoption",
        "Use by people and firms: payments, products, brands, games and collectibles, education.",
        "adopt*, accept*, payment*, merchant*, retailer*, customer*, legal tender, salary, tickets, partner*, atm, atms,"
        "mainstream, collection*, collectible*, metaverse, nft*, gaming, game, games, gamers, play to earn, play-to-earn,"
        "mobile app, apps, consumer*, brand*, fashion, music, sport*, film, movie*, charity, donation*, digital yuan,"
        "remittance*, debit card*, credit card*, visa, mastercard, paypal, stripe, neobank*, headquarters, hq",
        "pay, app, user*, launch*, integrat*, wallet*, web3, web 3*, product*, allow*, enable*, available, online, social,"
        "platform, marketplace*, trademark*, tokenis*, tokeniz*, university, education, campaign, rewards, store, pilot, rollout,"
        "expan*, offer*, unveil*, introduc*, opens, visitors, exposure, adds, citizens",
    ),
)
# What is no news of the market: advertisements, guides, columns of many short items, and subjects of other pages.
OFF_TOPIC = Theme(
    "other",
    "No news of the market: promotion, guides, roundups, and other subjects.",
    "casino*, betting, sportsbook*, gambl*, slots, poker, presale*, horoscope*, how to buy, how to earn, beginner*, what is,"
    "best crypto*, best altcoin*, top altcoin*, promo code, bonus code, giveaway*, podcast, webinar, video recording, quiz,"
    "weekly recap, news roundup, nifty news, more news, and more, week in review, press release, sponsored, 100x, 1000x,"
    "should you, join the best, crossword, recipe*, weather, football, soccer, nba, nfl, premier league, movie review,"
    "celebrity, iphone, android, playstation, smartphone*, laptop*",
    "guide, tips, review, opinion, op-ed, explained, cats, next big, millionaire*, early investors, attendees, mistakes,"
    "history, roundup, recap, interview, must-have",
)
LEAST_ELSEWHERE = {"adoption": 4, "technology": 4}
LEAST_OF_OTHERS = 2  # what the remaining themes need in a text without a word of the market: one clear word
TITLE = 2  # times that a word of the title counts; people name the theme of an article by its title


@cache
def _vocabulary() -> tuple[tuple[str, re.Pattern[str], re.Pattern[str]], ...]:
    return tuple((theme.name, _pattern(theme.clear), _pattern(theme.hint)) for theme in (*THEMES, OFF_TOPIC))


def _pattern(entries: str) -> re.Pattern[str]:
    words = sorted(filter(None, (" ".join(entry.split()) for entry in entries.split(","))), key=lambda w: (-len(w), w))
    whole = either([word for word in words if not word.endswith("*")])
    begun = either([word[:-1] for word in words if word.endswith("*")])
    return re.compile(rf"(?<![\w$])(?:{whole}(?!\w)|{begun}\w*)", re.IGNORECASE)


def themes_of(title: str, summary: str = "", *, names_coin: bool = False) -> list[tuple[str, int, list[str]]]:
    """Find every theme of an article.

    Args:
        title: its title, or any text; its words count ``TITLE`` times.
        summary: its summary.
        names_coin: whether it names a coin of the catalogue, and so is about the market.

    Returns:
        (theme, weight, the words of the text that decided), the largest weight first. A theme that is too weak for a
        text without a word of the market is left out.
    """
    about_market = names_coin or names_market(title, summary)
    if not about_market and is_elsewhere(title, summary):
        return []
    found = []
    for place, (name, clear, hint) in enumerate(_vocabulary()):
        heading, words = _weight(title, clear, hint)
        body, more = _weight(summary, clear, hint) if summary else (0, [])
        weight = TITLE * heading + body
        least = 1 if about_market or name == OFF_TOPIC.name else LEAST_ELSEWHERE.get(name, LEAST_OF_OTHERS)
        if weight >= TITLE * least or (weight and least == 1):
            found.append((-weight, place, name, list(dict.fromkeys([*words, *more]))))
    return [(name, -weight, words) for weight, _, name, words in sorted(found, key=lambda row: row[:2])]


def _weight(text: str, clear: re.Pattern[str], hint: re.Pattern[str]) -> tuple[int, list[str]]:
    """Return the weight of one theme in a text, and its words."""
    strong = dict.fromkeys(match.group() for match in clear.finditer(text))
    weak = [word for word in dict.fromkeys(match.group() for match in hint.finditer(text)) if word not in strong]
    weight = CLEAR * len({word.lower() for word in strong}) + HINT * len({word.lower() for word in weak})
    return weight, [*strong, *weak]
