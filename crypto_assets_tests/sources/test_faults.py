"""The table of faults: each heals by retry or fails with one sentence, and no wrong row comes out of it.

``docs/faults.md`` is this table; ``CRYPTO_ASSETS_WRITE_DOCS=1`` writes it anew.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from crypto_assets_tests.sources import faults
from crypto_assets_tests.sources.faults import EDITS, PROVIDERS, STATUSES, TEXTS, WIRES, Outcome, Provider, run

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
HEALING = ("HTTP 408", "HTTP 429 with Retry-After", "HTTP 429 without Retry-After", "HTTP 500", "HTTP 502 with HTML",
           "HTTP 503", "a reset in the middle of the body", "a read time-out")  # fmt: skip
NOT_RETRIED = ("HTTP 400", "HTTP 401", "HTTP 403", "HTTP 404", "a redirect to another host", "a gzip bomb",
               "a body over the size cap")  # fmt: skip
HEAD = """# Faults

What comes of each fault of each provider; written by `crypto_assets_tests/sources/test_faults.py` from real requests,
at most two attempts each (the platform makes five). "Refused" is one sentence with provider and route, and no row.
A feed of news that fails leaves the other feeds' articles; here there is one feed.

"""


@cache
def good(provider: Provider) -> pd.DataFrame:
    outcome = run(provider, provider.good)
    assert outcome.frame is not None, outcome.error
    provider.contract().validate(outcome.frame)
    assert len(outcome.frame) > 0
    return outcome.frame


@cache
def outcomes(provider: Provider) -> dict[str, Outcome]:
    found = {name: run(provider, lambda _, reply=reply: reply) for name, reply in (STATUSES | WIRES).items()}
    found |= {f"{name}, once": run(provider, faults.once(provider, (STATUSES | WIRES)[name])) for name in HEALING}
    found["connection refused"] = run(provider, provider.good, base=faults.closed())
    with faults.deaf() as base:
        found["a connect time-out"] = run(provider, provider.good, base=base)
    found["a TLS error"] = _tls(provider)
    if provider.value is not None:
        found |= {name: run(provider, faults.edited(provider, edit)) for name, edit in EDITS.items()}
        found |= {name: run(provider, faults.as_text(provider, change)) for name, change in TEXTS.items()}
    return found


def _tls(provider: Provider) -> Outcome:
    with faults.serve(provider.good) as plain:
        return run(provider, provider.good, base=plain.url.replace("http://", "https://"))


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_every_fault_heals_or_is_one_sentence_and_no_row_is_wrong(provider: Provider) -> None:
    expected = good(provider)
    for name, outcome in outcomes(provider).items():
        if outcome.error is not None:
            sentence = str(outcome.error)
            assert "\n" not in sentence, name
            assert provider.name.lower().split("_")[0] in sentence.lower().replace("news feed", "rss"), (name, sentence)
            assert len(sentence) < 700, name
            continue
        assert outcome.frame is not None
        provider.contract().validate(outcome.frame)
        key = list(provider.contract().key)
        both = outcome.frame.merge(expected, on=key, suffixes=("", "_good"), how="left", indicator=True)
        assert (both["_merge"] == "both").all(), f"{name}: a row that was never there"
        for column in provider.contract().value_columns:
            if column in outcome.frame and column not in ("symbols",):
                same = both[column].isna() | (both[column] == both[f"{column}_good"])
                assert same.all(), f"{name}: {column} differs"


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_what_can_heal_is_retried_and_nothing_else(provider: Provider) -> None:
    found = outcomes(provider)
    paths = run(provider, provider.good).calls
    for name in HEALING:
        healed = found[f"{name}, once"]
        assert healed.error is None, (name, healed.error)
        assert healed.words(good(provider)).startswith(("healed", "the same")), name
        assert found[name].error is not None, name
    for name in NOT_RETRIED:
        assert found[name].calls <= paths, f"{name} was retried"


def test_the_page_is_this_table() -> None:
    names = list(dict.fromkeys(name for provider in PROVIDERS for name in outcomes(provider)))
    lines = [f"| fault | {' | '.join(provider.name for provider in PROVIDERS)} |", "|---" * (len(PROVIDERS) + 1) + "|"]
    for name in names:
        cells = [
            outcomes(provider)[name].words(good(provider)) if name in outcomes(provider) else ""
            for provider in PROVIDERS
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    text = HEAD + "\n".join(lines) + "\n"
    if os.environ.get("CRYPTO_ASSETS_WRITE_DOCS"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text, "set CRYPTO_ASSETS_WRITE_DOCS=1 to write the page anew"
