"""The language of a text: by its own words, and by the feed's tag only where the words do not tell."""

from __future__ import annotations

import pytest

from crypto_assets.narratives.language import is_english


@pytest.mark.parametrize(
    ("text", "tag", "english"),
    [
        ("Bitcoin falls as the regulator opens a case", "de", True),
        ("El regulador abre un caso contra la bolsa de criptomonedas", "en", False),
        ("Der Kurs von Bitcoin fällt nach der Entscheidung", "en-us", False),
        ("Le cours du bitcoin baisse pour les investisseurs", None, False),
        ("Курс биткоина падает", "en", False),
        ("比特币价格下跌", None, False),
        ("Bitcoin surges", "de", False),
        ("Bitcoin surges", "en-gb", True),
        ("Bitcoin surges", None, True),
        ("", None, True),
        ("🚀 12345", float("nan"), True),
    ],
)
def test_words_decide_before_the_tag(text: str, tag: object, english: bool) -> None:
    assert is_english(text, tag) == english
