"""What of an answer is shown: only what the article bears out."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_assets.catalog import all_coins
from crypto_assets.narratives.llm import numbers
from crypto_assets.narratives.llm.answer import Answer
from crypto_assets.narratives.llm.grounding import Grounded, ground
from crypto_assets.narratives.llm.text import Article

ARTICLE = Article.of(
    "Bitcoin rallies 12% as fund adds $1.2 billion",
    "Traders point to steady buying of BTC since March 3rd. “Two desks” sold Ethereum, the exchange said.",
)


def held(**said: object) -> Grounded:
    answer = Answer.model_validate({"theme": "institutional", "sentiment": 0.5, "confidence": 0.8, **said})
    return ground(answer, ARTICLE, all_coins())


@pytest.mark.parametrize(
    "summary",
    [
        "Bitcoin rose 12 percent. A fund added $1.2bn.",
        "A fund added 1,200,000,000 dollars of BTC on March 3.",
        "Two desks sold Ethereum. One fund bought.",
        "2 desks sold ETH. Buying was steady.",
    ],
)
def test_a_summary_of_what_is_there_stands(summary: str) -> None:
    found = held(summary=summary)
    assert found.summary == summary
    assert found.ungrounded == []


@pytest.mark.parametrize(
    ("summary", "claim"),
    [
        ("Bitcoin rose 13%. A fund bought.", "number 13"),
        ("A fund added $1.2 million. Traders bought.", "number 1.2 million"),
        ("Four desks sold. Bitcoin rose.", "number Four"),
        ("Bitcoin rose as Solana fell. Traders bought.", "coin SOL"),
        ("Bitcoin rose and so did $SCAMX. Traders bought.", "coin $SCAMX"),
        ("Bitcoin rose. OP holders cheer.", "coin OP"),
        ("Bitcoin rose, details at https://evil.example/x. Buy.", "address https://evil.example/x."),
        ("Bitcoin rose ５０ percent. Traders bought.", "number 50"),
        ("word " * 200, "too long"),
    ],
)
def test_a_summary_with_more_than_is_there_is_not_shown(summary: str, claim: str) -> None:
    found = held(summary=summary)
    assert found.summary is None
    assert any(claim in dropped for dropped in found.ungrounded), found.ungrounded


def test_a_driver_stands_on_its_quote() -> None:
    quotes = ["steady buying of btc", '"two desks" sold ethereum', "steady selling", "rall", "of", ""]
    found = held(drivers=[{"driver": f"reason {chr(97 + n)}", "quote": quote} for n, quote in enumerate(quotes)])
    assert found.drivers == ["reason a", "reason b"]
    assert found.quotes == quotes[:2]
    assert len(found.ungrounded) == 3, "of six the first five are read"


def test_a_drivers_own_claims_are_held_too() -> None:
    found = held(drivers=[{"driver": "Dogecoin follows with 40%", "quote": "steady buying"}])
    assert found.drivers == []
    assert "coin DOGE" in found.ungrounded[0]
    assert "number 40" in found.ungrounded[0]


def test_coins_come_from_the_catalogue_and_the_text() -> None:
    found = held(affected_symbols=["$btc", "Ethereum", "DOGE", "NOSUCH", ""])
    assert found.affected == ["BTC", "ETH"]
    assert found.ungrounded == ["coin DOGE", "coin NOSUCH"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.50", "1234.5"), ("$3k", "3000"), ("3 million", "3000000"), ("twenty-five", "25"), ("forty two", "42"),
        ("seven hundred", "700"), ("a billion", "1000000000"), ("½ of 4th", "4"), ("Web3", "3"), ("1.5bn", "1500000000"),
    ],
)  # fmt: skip
def test_numbers_by_value(text: str, value: str) -> None:
    assert Decimal(value) in numbers.stated(text)


@given(st.integers(0, 10**13), st.integers(0, 10**13))
def test_a_number_is_missing_exactly_where_it_is_not(claimed: int, stated: int) -> None:
    absent = numbers.missing(f"It was {claimed:,} today.", f"They said {stated} there.")
    assert (absent == []) == (claimed == stated)
