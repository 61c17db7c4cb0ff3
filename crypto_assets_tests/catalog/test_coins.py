"""Coins are rows: no identifier twice by mistake, none that the providers' own lists contradict."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from crypto_assets.catalog import all_coins, by_symbol, select, symbols
from crypto_assets.errors import UsageError


def test_three_hundred_coins_and_more() -> None:
    assert len(all_coins()) >= 300
    assert symbols(select("top:3")) == ["BTC", "ETH", "XRP"]


@pytest.mark.parametrize("name", ["symbol", "name", "coingecko", "coinmetrics", "kraken", "binance", "defillama"])
def test_no_identifier_is_used_twice(name: str) -> None:
    found = Counter(getattr(coin, name) for coin in all_coins() if getattr(coin, name))
    assert [value for value, count in found.items() if count > 1] == []


def test_no_two_coins_share_a_name_in_the_news() -> None:
    found = Counter(name.lower() for coin in all_coins() for name in {coin.name, *coin.aliases})
    assert [name for name, count in found.items() if count > 1] == []


def test_no_coin_is_called_by_anothers_name_or_symbol() -> None:
    """An article about one coin must not count for another."""
    for coin in all_coins():
        called = {name.lower() for name in (coin.name, *coin.aliases)}
        others = {
            text.lower()
            for other in all_coins()
            if other is not coin
            for text in (other.symbol, other.name, *other.aliases)
        }
        assert not called & others, coin.symbol


def test_no_cell_has_blanks_at_its_ends_and_none_is_half_filled() -> None:
    for coin in all_coins():
        names = [coin.symbol, coin.name, coin.coingecko, coin.coinmetrics, coin.kraken, coin.binance, coin.defillama]
        assert all(name is None or name == name.strip() != "" for name in (*names, *coin.aliases)), coin.symbol
        assert coin.symbol.isalnum()
        assert all(alias == alias.lower() for alias in coin.aliases), coin.symbol


def test_identifiers_have_their_providers_form() -> None:
    for coin in all_coins():
        assert coin.symbol == coin.symbol.upper()
        assert coin.coingecko is None or coin.coingecko == coin.coingecko.lower()
        assert coin.binance is None or coin.binance.endswith("USDT")
        assert coin.kraken is None or coin.kraken.endswith("USD")
        assert coin.coinmetrics is None or coin.coinmetrics == coin.coinmetrics.lower()
        assert coin.consensus in {"pow", "pos", "token", "stable", "other"}


def test_each_source_knows_the_coins_it_lists() -> None:
    """Every coin has a price; a venue that does not list one is no gap, so the others are a number and not a share."""
    for name, least in (("coingecko", len(all_coins())), ("binance", 200), ("kraken", 180), ("coinmetrics", 70)):
        assert sum(getattr(coin, name) is not None for coin in all_coins()) >= least, name


def test_what_only_mirrors_another_coin_is_no_coin() -> None:
    """Wrapped, bridged and staked forms follow a coin that is in the catalogue: they would count it twice."""
    for coin in all_coins():
        assert not {"wrapped", "bridged", "staked", "restaked", "pegged"} & set(coin.name.lower().split()), coin.symbol


def test_coingecko_identifiers_are_in_its_recorded_list(shared: Path) -> None:
    recorded = pl.read_parquet(shared / "data" / "markets_snapshot" / "coingecko_top2500_2026-01-28.parquet")
    column = next(name for name in ("asset_id", "coingecko_id", "id", "coin_id") if name in recorded.columns)
    listed = set(recorded[column].str.to_lowercase())
    unknown = [
        coin.symbol for coin in all_coins() if coin.coingecko not in listed and coin.symbol.lower() not in listed
    ]
    assert len(unknown) <= 0.2 * len(all_coins()), f"the list holds the largest only, but lacks {unknown}"


def test_words_that_are_also_symbols_say_so() -> None:
    for symbol in ("OP", "ONE", "NEAR", "LINK", "DOT", "GAS", "FLOW", "SUN", "PEOPLE", "ME", "MOVE", "CORE", "SUPER"):
        assert by_symbol()[symbol].symbol_is_word, symbol
    for symbol in ("ATOM", "OP", "DASH", "FLOW", "BEAM", "SKY", "ORCA", "AMP", "BLUR"):
        assert by_symbol()[symbol].name_is_word, symbol


def test_lists_keep_their_order_once() -> None:
    assert symbols(select(" eth, BTC,eth ")) == ["ETH", "BTC"]
    assert select("all") == all_coins()


@pytest.mark.parametrize("spec", ["BTC,NOSUCH", "", ",", "top:0", "top:x", "top:100000", "top:"])
def test_a_selection_that_makes_no_sense(spec: str) -> None:
    with pytest.raises(UsageError, match="CRYPTO_ASSETS_COINS"):
        select(spec)


def test_a_selection_is_by_the_exact_symbol() -> None:
    assert symbols(select("btc")) == ["BTC"]
    assert symbols(select("UNI")) == ["UNI"]
    for part in ("BT", "BITCOIN", "UNISWAP", "BTC ETH"):
        with pytest.raises(UsageError, match=part):
            select(part)


def test_top_and_all_in_any_case() -> None:
    assert select("TOP:5") == select(" top: 5 ") == all_coins()[:5]
    assert select(f"top:{len(all_coins())}") == select("ALL") == all_coins()
    with pytest.raises(UsageError, match=f"from 1 to {len(all_coins())}"):
        select(f"top:{len(all_coins()) + 1}")


def test_the_sentence_names_the_unknown_coins_only() -> None:
    with pytest.raises(UsageError, match="names NOSUCH, OTHER, not in the catalogue; use symbols such as") as caught:
        select("btc,nosuch,other")
    assert "\n" not in str(caught.value)


def test_every_coin_is_found_by_its_symbol() -> None:
    assert [by_symbol()[coin.symbol] for coin in all_coins()] == list(all_coins())


def test_pairs_that_died_or_belong_to_another_coin_are_not_in_the_catalogue() -> None:
    """Kraken's REPUSD is Augur v1; pairs that no venue has any more would fail by name each day."""
    pairs = {pair for coin in all_coins() for pair in (coin.kraken, coin.binance) if pair}
    assert not pairs & {"REPUSD", "TUSDUSD", "TUSDUSDT", "USDPUSD", "USDPUSDT", "PAXUSDT"}
    assert by_symbol()["REP"].kraken == "REPV2USD"
    assert by_symbol()["GNO"].defillama == "Gnosis", "DefiLlama's name of the chain; xDai was its former one"


def test_a_pair_is_made_of_the_coins_own_ticker_unless_its_venue_calls_it_otherwise() -> None:
    """A pair under another ticker is another coin, until somebody wrote down why it is not."""
    other = {
        "BTC": ("kraken", "XBTUSD"), "DOGE": ("kraken", "XDGUSD"), "REP": ("kraken", "REPV2USD"),
        "LUNC": ("kraken", "LUNAUSD"), "BTT": ("binance", "BTTCUSDT"), "BEAM": ("binance", "BEAMXUSDT"),
        "RON": ("binance", "RONINUSDT"), "FTM": ("binance", "SUSDT"), "LUNA": ("kraken", "LUNA2USD"),
    }  # fmt: skip
    found = {
        coin.symbol: (venue, pair)
        for coin in all_coins()
        for venue, quote in (("kraken", "USD"), ("binance", "USDT"))
        if (pair := getattr(coin, venue)) and pair != coin.symbol + quote
    }
    assert found == other


def test_no_name_is_the_former_one_of_a_recorded_change(shared: Path) -> None:
    """Recorded pairs that ended because the coin was renamed, re-denominated or delisted.

    LUNAUSDT came back as another coin, which has it.
    """
    bars = pl.read_parquet(shared / "series" / "traps_klines" / "binance_spot_1h_traps_2021_2022.parquet")
    recorded = set(bars["symbol"].unique())
    ended = recorded & {
        "BTTUSDT",
        "NPXSUSDT",
        "BZRXUSDT",
        "NANOUSDT",
        "PAXUSDT",
        "EPSUSDT",
        "POLYUSDT",
        "USTUSDT",
    }
    assert len(ended) >= 8
    assert not {coin.binance for coin in all_coins()} & ended


def test_kraken_pairs_are_those_of_the_recorded_list(shared: Path) -> None:
    """The recording is an extract: what it says of a coin of ours, the catalogue says as well."""
    said = json.loads((shared / "wire" / "kraken" / "asset_pairs.json").read_text())["result"].values()
    ours = {coin.kraken for coin in all_coins()}
    in_usd = [pair for pair in said if pair["wsname"].endswith("/USD")]
    assert in_usd and all(pair["altname"] in ours for pair in in_usd)


def test_coingecko_identifiers_have_the_recorded_symbol(shared: Path) -> None:
    rows = pl.read_parquet(shared / "data" / "markets_snapshot" / "coingecko_top2500_2026-01-28.parquet")
    said = dict(rows.select("coingecko_id", pl.col("symbol").str.to_uppercase()).rows())
    wrong = {c.symbol: said[c.coingecko] for c in all_coins() if c.coingecko in said and said[c.coingecko] != c.symbol}
    assert wrong == {"FTM": "S"}, "the coin keeps its symbol; listings.csv says since when it is called S"
    # Not among the 2,500 largest of that day: retired, or small by now. Each is known.
    unseen = {coin.symbol for coin in all_coins() if coin.coingecko not in said}
    assert unseen == {"MKR", "MATIC", "EOS", "BTCST", "COCOS", "LOOM", "MAID", "FTT", "NU", "OOKI", "EPX"}


def test_coinmetrics_names_are_those_of_the_recorded_days(shared: Path) -> None:
    found: set[str] = set()
    for name in ("coinmetrics_daily_to_2020-03", "coinmetrics_daily_2020-04_2021-04"):
        found |= set(pl.read_parquet(shared / "data" / f"{name}.parquet", columns=["asset"])["asset"].unique())
    ours = {coin.coinmetrics for coin in all_coins()}
    lacking = {coin.symbol for coin in all_coins() if coin.coinmetrics is None and coin.symbol.lower() in found}
    assert lacking == set(), "recorded under the coin's own symbol"
    assert len(found & ours) > 40
