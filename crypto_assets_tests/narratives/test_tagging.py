"""Articles: an identity that survives tracking links, and only the coins that a text names."""

from __future__ import annotations

from datetime import date, datetime, timezone

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_assets.catalog import all_coins
from crypto_assets.narratives.mentions import find_posted_symbols
from crypto_assets.narratives.tagging import article_id, find_symbols, tag_articles
from crypto_assets.tables.schemas import NEWS_ARTICLES

NAMED = [
    ("Bitcoin tops 60,000", "BTC"),
    ("BITCOIN and ethereum fall", "BTC ETH"),
    ("Ether's supply shrinks", "ETH"),
    ("BTC/USD slips below support", "BTC"),
    ("Traders buy $btc? No: $BTC", "BTC"),
    ("Bitcoin Cash (BCH) forks again", "BCH"),
    ("Ethereum Classic jumps, Ethereum does not", "ETH ETC"),
    ("XRP wins in court; Ripple celebrates", "XRP"),
    ("Dogecoin (DOGE) to the moon", "DOGE"),
    ("Solana outage ends after 5 hours", "SOL"),
    ("Chainlink integrates with a bank", "LINK"),
    ("Polkadot auctions begin", "DOT"),
    ("$OP airdrop claims open", "OP"),
    ("Optimism network upgrades to Bedrock", "OP"),
    ("$ONE bridge drained", "ONE"),
    ("Harmony protocol offers a bounty", "ONE"),
    ("$NEAR rises", "NEAR"),
    ("NEAR Protocol raises funds", "NEAR"),
    ("$LINK leads", "LINK"),
    ("$DOT and $ATOM lead", "DOT ATOM"),
    ("Cosmos network (ATOM) votes", "ATOM"),
    ("Cardano’s founder speaks", "ADA"),
    ("Litecoin&#39;s halving nears", "LTC"),
    ("Uniswap token UNI lists", "UNI"),
    ("比特币 Bitcoin 价格", "BTC"),
    ("Price analysis: BTC, DOT, LINK and ATOM", "BTC DOT LINK ATOM"),
    ("NEAR and RUNE rally as markets calm", "NEAR RUNE"),
    ("ATOM price doubles in a week", "ATOM"),
    ("Game asks what the NEAR co-founder said", "NEAR"),
    ("A DEX on Cosmos is growing", "ATOM"),
    ("Developer finds a bug in Optimism, says report", "OP"),
    ("Cosmos-based exchange opens", "ATOM"),
    ("Bitcoins hash rate falls", "BTC"),
    ("Bitcoin SV suffers an attack, Bitcoin does not", "BTC BSV"),
    ("Ether.fi and ether both rise", "ETH ETHFI"),
    ("Ronin bridge drained; AXS and SLP fall", "AXS RON SLP"),
    ("Secret Network pays its builders", "SCRT"),
    ("Venus protocol liquidates a whale", "XVS"),
    ("A market opens on Centrifuge for invoices", "CFG"),
    ("Klaytn is Kaia now", "KAIA"),
    ("0G Labs raises funds", "0G"),
    ("Terra Luna Classic burns supply", "LUNC"),
    ("Ripple price jumps as XRP holders cheer", "XRP"),
    ("Ripple Price Prediction: what comes next", "XRP"),
    ("Stellar Price Surges 10% in a Day", "XLM"),
    ("Payments firm builds on Stellar, says report", "XLM"),
    ("Verge Price Doubles Overnight", "XVG"),
    ("Avalanche Opens a Fund for Games", "AVAX"),
    ("MakerDAO votes on a new vault", "MKR"),
    ("Compound Finance pauses a market", "COMP"),
    ("Oasis Network adds privacy", "ROSE"),
    ("Immutable X signs a studio", "IMX"),
    ("SushiSwap names a head chef", "SUSHI"),
    ("Trader makes a BTC-to-ETH swap", "BTC ETH"),
    ("BTC-ETH correlation falls", "BTC ETH"),
    ("LINK breaks resistance as DOT eyes a new high", "LINK DOT"),
    ("Bitcoin, Solana, Stellar and Avalanche lead", "BTC SOL XLM AVAX"),
    ("Miner moves 14,500 bitcoins", "BTC"),
    ("Dogecoin (DOGE) falls as DOGE team leaves office", "DOGE"),
]
NOT_NAMED = [
    "An op-ed on the economy",
    "OP-ED: why regulation matters",
    "One bank, one rule",
    "ONE MORE THING ABOUT MONEY",
    "Deadline is near for tax filings",
    "NEAR RECORD HIGH, STOCKS PAUSE",
    "Click the link in our bio",
    "LINK TO THE FULL REPORT",
    "Connect the dots: dot plot of the Fed",
    "The Fed's DOT PLOT surprises",
    "Every atom of the universe",
    "The cosmos is large",
    "Optimism returns to markets",
    "A wave of optimism sweeps exchanges",
    "Traders in harmony with the Fed",
    "The maker of the device",
    "Compound interest explained",
    "A dash for cash",
    "Cash flow improves",
    "Natural gas prices rise",
    "bitcoinist.com is a news site",
    "Wrapped Bitcoin supply grows",
    "Bitcoin Depot installs machines",
    "etherscan is down",
    "Solar farms expand",
    "Adaptation of the law",
    "UNIT sales rise",
    "US DOT drops its plan for drivers",
    "SEC and DOT look at drivers, says a report",
    "Stocks Rise on Optimism Over the Economy",
    "Traders see optimism returning",
    "Optimism is back, say traders",
    "The firm hired Dash Smith as its chief",
    "Wallet Maker Raises Funds for a Blockchain",
    "Only ONE bank is left",
    "Celebrity buys a Bored Ape for a record",
    "A secret network of wallets",
    "Traders find an optimism token of gratitude",
    "Court grants the request: network logs are public",
    "Fees fall across protocols",
    "The movement: network effects of memes",
    "Just blockchain, no tokens",
    "Core developers merge a patch",
    "Sun sets on the sky above midnight",
    "Trust Wallet adds a button",
    "KuCoin, Bitget and Gate list a token",
    "Non-fungible tokens (NFT) and zero-knowledge (ZK) proofs",
    "An all-time high (ATH) for intellectual property (IP)",
    "Meme coins pump and dump",
    "Users move funds at record speed",
    "Become a champion with Little Baby Doge",
    "People want to drift, stay safe and be super",
    "The status token of the rich",
    "Global dollar liquidity shrinks",
    "Canton of Zug accepts taxes",
    "Ruling sends ripples through markets",
    "Ripple Effects of the New Tax",
    "Ripple hires a chief counsel",
    "Ripple Labs Donates to a Campaign",
    "Exchange on the verge of collapse",
    "The firm, told the Verge, is on hold",
    "Stock makes a stellar opening",
    "Fund Posts Stellar Gains for a Stellar Year",
    "An Avalanche of Liquidations Follows",
    "Fans cheer as the Colorado Avalanche win",
    "An avalanche of sales",
    "BTC Digital Ltd orders machines",
    "ETH Zurich studies ledgers",
    "Elon Musk's Department of Government Efficiency (DOGE) cuts jobs",
    "DOGE staff lose access to the payroll",
    "A stablecoin is tethered to the dollar",
    "Polygons and polygon meshes in games",
]


@pytest.mark.parametrize(("text", "symbols"), NAMED)
def test_coins_that_are_named(text: str, symbols: str) -> None:
    assert set(find_symbols(text, all_coins())) == set(symbols.split())


@pytest.mark.parametrize("text", NOT_NAMED)
def test_words_that_are_no_coins(text: str) -> None:
    assert find_symbols(text, all_coins()) == []


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("btc to the moon, eth next", "BTC ETH"),
        ("loading up on #ada and $xrp", "XRP ADA"),
        ("see btc.com or @eth or eth/btc-fan", ""),
        ("the sun is near, one link to the dot", ""),
        ("Bitcoin and BTC", "BTC"),
    ],
)
def test_posts_also_name_coins_in_lower_case(text: str, symbols: str) -> None:
    assert set(find_posted_symbols(text, all_coins())) == set(symbols.split())


@given(st.text(max_size=60))
def test_any_text_gives_coins_of_the_catalogue_once(text: str) -> None:
    found = find_symbols(text, all_coins())
    assert len(set(found)) == len(found)
    assert set(found) <= {coin.symbol for coin in all_coins()}


@pytest.mark.parametrize(
    "other",
    [
        "http://example.com/a/b",
        "https://www.example.com/a/b/",
        "https://EXAMPLE.com/a/b?utm_source=x&utm_medium=rss",
        "https://example.com/a/b#top",
        "https://example.com/a/b?fbclid=1",
    ],
)
def test_one_article_under_many_addresses(other: str) -> None:
    one = article_id("https://example.com/a/b", "Bitcoin tops 60,000")
    assert article_id(other, "Bitcoin  tops 60,000!") == one


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://x.com/live#jan-5", "https://x.com/live#jan-6"),
        ("https://x.com/#/2024/a", "https://x.com/#/2024/b"),
        ("https://x.com/#!/a", "https://x.com/#!/b"),
        ("https://x.com/live#post=7", "https://x.com/live#post=8"),
        ("https://x.com/?20240105", "https://x.com/?20240106"),
        ("https://x.com/?id=1", "https://x.com/?id=2"),
        ("https://x.com/?id=", "https://x.com/?no="),
        ("https://x.com/read?source=1001", "https://x.com/read?source=1002"),
        ("https://x.com/read?ref=a-bank-fails", "https://x.com/read?ref=a-bank-opens"),
        ("https://x.com/read?src=a1", "https://x.com/read?src=a2"),
    ],
)
def test_a_query_or_fragment_that_tells_articles_apart_is_part_of_them(one: str, other: str) -> None:
    title = "Crypto market wrap"
    assert article_id(one, title) != article_id(other, title)
    joint = "&" if "?" in one else "?"
    assert article_id(f"{one.split('#')[0]}{joint}utm_source=rss", title) == article_id(one.split("#")[0], title)


@pytest.mark.parametrize("noise", ["?ref=rss", "?source=twitter", "?src=home_page", "?utm_source=1", "#comments", "#top",
                                   "#:~:text=a,b", "#utm_source=rss&utm_medium=7", "#xtor=RSS-1", "#", "?"])  # fmt: skip
def test_where_a_reader_came_from_is_no_part_of_an_article(noise: str) -> None:
    assert article_id(f"https://x.com/a{noise}", "t") == article_id("https://x.com/a", "t")


def test_without_an_address_the_feeds_own_name_tells_articles_apart() -> None:
    assert article_id(None, "Wrap", "urn:1") != article_id(None, "Wrap", "urn:2")
    assert article_id("https://x.com/a", "Wrap", "urn:1") == article_id("https://x.com/a", "Wrap", "urn:2")


def test_an_address_that_is_none_is_kept_as_it_is() -> None:
    assert article_id("http://[broken", "Bitcoin") != article_id("http://[other", "Bitcoin")


def test_other_articles_are_others() -> None:
    one = article_id("https://example.com/a", "Bitcoin")
    assert one != article_id("https://example.com/a?id=2", "Bitcoin")
    assert one != article_id("https://example.com/A", "Bitcoin"), "paths are case-sensitive"
    assert one != article_id("https://example.com/a", "Ethereum")
    assert article_id(None, "Bitcoin") == article_id("", "Bitcoin")


def raw(*rows: tuple[str, str, str, datetime]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["feed", "title", "url", "published_at"])
    frame["published_at"] = frame["published_at"].astype("datetime64[us, UTC]")
    return frame.assign(summary="", source="rss", language=None, out_by=frame["published_at"], dated=True, guid="")


def at(hour: int, day: int = 2) -> datetime:
    return datetime(2024, 1, day, hour, tzinfo=timezone.utc)


THE_DAY = date(2024, 1, 2)


def tagged(frame: pd.DataFrame, **more) -> pd.DataFrame:
    found = tag_articles(frame, all_coins(), more.pop("start", THE_DAY), more.pop("end", THE_DAY), **more)
    NEWS_ARTICLES.validate(found)
    return found


def test_rows_of_the_asked_days_once_each() -> None:
    frame = raw(
        ("b", "Bitcoin up", "https://x.com/1?utm_source=b", at(4)),
        ("a", "Bitcoin up", "https://x.com/1", at(4)),
        ("c", "Bitcoin up", "https://x.com/1", at(5)),
        ("a", "Ethereum up", "https://x.com/2", at(23)),
        ("a", "Tomorrow", "https://x.com/3", at(0, day=3)),
        ("a", "Yesterday", "https://x.com/4", at(23, day=1)),
    )
    found = tagged(frame).set_index("title")
    assert sorted(found.index) == ["Bitcoin up", "Ethereum up"]
    assert found.loc["Bitcoin up", "feed"] == "a"
    assert list(found.loc["Ethereum up", "symbols"]) == ["ETH"]
    assert tagged(frame, start=date(2025, 1, 2), end=date(2025, 1, 2)).empty
    assert tagged(frame.iloc[:0]).empty


def test_an_identity_belongs_to_one_day() -> None:
    """Two feeds date one article on both sides of midnight: the earlier date is its day, in whatever chunks."""
    frame = raw(("a", "Late news", "https://x.com/1", at(0, day=3)), ("b", "Late news", "https://x.com/1", at(23)))
    assert list(tagged(frame)["feed"]) == ["b"]
    assert tagged(frame, start=date(2024, 1, 3), end=date(2024, 1, 3)).empty


def test_the_first_fetch_of_a_day_takes_the_feeds_word() -> None:
    (row,) = tagged(raw(("a", "t", "https://x.com/1", at(4))), seen_at=at(9, day=20)).to_dict("records")
    assert row["available_at"] == at(4) and pd.isna(row["first_seen_at"])


def test_what_turns_up_in_a_later_fetch_is_known_from_then() -> None:
    frame = raw(("a", "Old date", "https://x.com/1", at(4)), ("b", "Other feed", "https://x.com/2", at(4)))
    found = tagged(frame, read_before={THE_DAY: {"a"}}, seen_at=at(9)).set_index("feed")
    assert found.loc["a", "first_seen_at"] == found.loc["a", "available_at"] == at(9)
    assert found.loc["a", "published_at"] == at(4)
    assert found.loc["b", "available_at"] == at(4), "that feed was not read before"
    ahead = tagged(raw(("a", "Ahead", "https://x.com/1", at(12))), read_before={THE_DAY: {"a"}}, seen_at=at(9))
    assert list(ahead["available_at"]) == [at(12)], "never before it is out"


def test_a_day_without_a_time_is_known_when_it_is_over_or_when_it_was_seen() -> None:
    frame = raw(("a", "t", "https://x.com/1", at(0))).assign(out_by=pd.Timestamp(at(0, day=3)).as_unit("us"))
    assert list(tagged(frame)["available_at"]) == [at(0, day=3)]
    assert list(tagged(frame, read_before={THE_DAY: {"a"}}, seen_at=at(9))["available_at"]) == [at(9)]


def test_what_leaves_its_instant_open_is_known_at_the_fetch_at_the_latest() -> None:
    frame = raw(("a", "t", "https://x.com/1", at(4))).assign(out_by=pd.Timestamp(at(16)).as_unit("us"))
    assert list(tagged(frame, seen_at=at(9))["available_at"]) == [at(9)], "we saw it: it was out"
    assert list(tagged(frame, seen_at=at(9, day=9))["available_at"]) == [at(16)]


def test_an_item_without_a_date_is_known_from_the_fetch_that_first_listed_it() -> None:
    frame = raw(("a", "t", "https://x.com/1", at(0))).assign(dated=False)
    first = tagged(frame, seen_at=at(9))
    assert list(first["published_at"]) == list(first["available_at"]) == list(first["first_seen_at"]) == [at(9)]
    again = tagged(frame, stored=first, known=list(first["article_id"]), seen_at=at(11))
    pd.testing.assert_frame_equal(again, first)
    later = date(2024, 1, 20)
    assert tagged(frame, known=list(first["article_id"]), start=later, end=later, seen_at=at(9, day=20)).empty, (
        "an item that a feed lists for weeks is no news each time its day is out of reach"
    )
    assert tagged(frame, start=later, end=later, seen_at=at(9)).empty, "not an article of any other day"


def test_an_item_with_a_date_goes_before_the_same_without() -> None:
    frame = raw(("a", "t", "https://x.com/1", at(0)), ("b", "t", "https://x.com/1", at(4)))
    found = tagged(frame.assign(dated=[False, True]), seen_at=at(9))
    assert list(found["available_at"]) == [at(4)]


def test_a_better_rule_of_identity_makes_no_second_article() -> None:
    url = "https://x.com/live#jan-5"
    first = tagged(raw(("a", "Bitcoin up", url, at(4)))).assign(article_id="0" * 32)  # as an older rule had it
    found = tagged(raw(("a", "Bitcoin up", url, at(4))), stored=first, seen_at=at(9))
    assert list(found["article_id"]) == ["0" * 32]


def test_a_stored_article_stays_as_it_was_first_seen() -> None:
    first = tagged(raw(("a", "Bitcoin up", "https://x.com/1", at(4))))
    again = raw(("a", "Bitcoin up", "https://x.com/1", at(6)), ("a", "New", "https://x.com/2", at(5)))
    again["summary"] = "Rewritten, with Solana"
    found = tagged(again, stored=first, read_before={THE_DAY: {"a"}}, seen_at=at(9)).set_index("title")
    assert found.loc["Bitcoin up", "available_at"] == at(4)
    assert found.loc["Bitcoin up", "symbols"] == ["BTC"]
    assert found.loc["New", "available_at"] == at(9)
    moved = raw(("a", "Bitcoin up", "https://x.com/1", at(1, day=3)))
    assert tagged(moved, stored=first, start=date(2024, 1, 3), end=date(2024, 1, 3)).empty, "its day does not change"


def test_the_second_time_nothing_changes() -> None:
    frame = raw(
        ("a", "Bitcoin tops a record as funds buy", "https://x.com/1", at(4)),
        ("b", "Bitcoin tops record as funds buy", "https://y.com/9", at(5)),
    )
    once = tagged(frame)
    twice = tagged(frame, stored=once, read_before={THE_DAY: {"a", "b"}}, seen_at=at(9, day=9))
    pd.testing.assert_frame_equal(once, twice)


def test_coins_of_the_title_are_told_from_those_of_the_summary() -> None:
    moment = datetime(2024, 1, 5, tzinfo=timezone.utc)
    frame = pd.DataFrame({"feed": "a", "title": ["Bitcoin falls"], "url": "https://x.com/1", "summary": ["Solana too."],
                          "source": "rss", "language": None, "published_at": [moment]})  # fmt: skip
    frame["published_at"] = frame["published_at"].astype("datetime64[us, UTC]")
    (row,) = tag_articles(
        frame.assign(out_by=frame["published_at"]), all_coins(), moment.date(), moment.date()
    ).itertuples()
    assert (row.symbols, row.title_symbols) == (["BTC", "SOL"], ["BTC"])
