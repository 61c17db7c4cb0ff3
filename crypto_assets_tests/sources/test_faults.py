"""The table of faults: each heals by a retry or is one sentence, and no wrong row comes out of it.

``docs/faults.md`` is this table; ``make docs`` writes it anew.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from crypto_assets_tests.sources import faults
from crypto_assets_tests.sources.fault_providers import ROUTES, Route
from crypto_assets_tests.sources.faults import EDITS, FEEDS, HEALING, PERMANENT, TEXTS, TIMED, Outcome, run

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
HEAD = """# Faults

The outcome of each fault for each route of a provider, measured with real requests to a server that produces the fault.
The test run writes this page (`crypto_assets_tests/sources/test_faults.py`); `make docs` updates it.

* **refused at once**: one sentence with provider, route, coin and window, after one request; no row is written. After an
  empty answer of prices or bars a second request asks whether the coin is listed later.
* **refused after retries**: the same, after all attempts (two in this test; the platform makes five).
* **refused, unasked**: the same, where no request could be sent; failures that may pass were tried twice.
* **healed by a retry**: the rows of the good answer.
* **the same rows**, **the other rows**, **the rows, the value null**: no value that the provider did not give. A row or value
  that cannot be trusted is set aside by coin, day and reason in the materialisation's metadata. An answer is refused if most
  of its rows cannot be trusted.

If one news feed fails, the articles of the others are stored; this test has one feed. An empty cell means that the fault does
not apply: an answer about the present has no times, and a feed has no numbers.

"""
ONCE = ", once"


@cache
def good(route: Route) -> pd.DataFrame:
    outcome = run(route, faults.good_answer(route))
    assert outcome.frame is not None, outcome.error
    route.contract.validate(outcome.frame)
    assert len(outcome.frame) > 0
    return outcome.frame


def late_once(route: Route) -> Outcome:
    """A first answer that comes too late; a good one may take as long on a busy machine, so try again."""
    for patience in (0.9, 1.2, 1.4):  # seconds, all below the 1.5 of the late answer
        found = run(route, faults.once(route, HEALING["a read time-out"]), None, patience)
        if found.error is None:
            break
    return found


@cache
def outcomes(route: Route) -> dict[str, Outcome]:
    """Every fault's outcome; those that wait wait together."""
    good_answer = faults.good_answer(route)
    with faults.serve(good_answer) as plain, faults.deaf() as deaf, ThreadPoolExecutor(4) as pool:
        tls = plain.url.replace("http://", "https://")
        waits = {
            "a read time-out": pool.submit(run, route, lambda _: HEALING["a read time-out"], None, 0.5),
            f"a read time-out{ONCE}": pool.submit(late_once, route),
            "a connect time-out": pool.submit(run, route, good_answer, deaf, connect_timeout=0.2),
            "connection refused": pool.submit(run, route, good_answer, faults.closed()),
            "a TLS error": pool.submit(run, route, good_answer, tls),
        }
        found = {
            name: run(route, lambda _, reply=reply: reply)
            for name, reply in (HEALING | PERMANENT).items()
            if name not in waits
        }
        found |= {
            f"{name}{ONCE}": run(route, faults.once(route, reply))
            for name, reply in HEALING.items()
            if f"{name}{ONCE}" not in waits
        }
        found |= {name: wait.result() for name, wait in waits.items()}
    if route.value is None:
        return found | {name: run(route, lambda _, body=body: body) for name, body in FEEDS.items()}
    edits = {name: edit for name, edit in EDITS.items() if not (route.may_be_zero and "zero" in name)}
    edits |= TIMED if route.time is not None else {}
    found |= {name: run(route, faults.edited(route, edit)) for name, edit in edits.items()}
    return found | {name: run(route, faults.as_text(route, change)) for name, change in TEXTS.items()}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_fault_heals_or_is_one_sentence_and_no_row_is_wrong(route: Route) -> None:
    expected, key = good(route), list(route.contract.key)
    for name, outcome in outcomes(route).items():
        if outcome.error is not None:
            sentence = str(outcome.error)
            assert "\n" not in sentence and len(sentence) < 800, (name, sentence)
            absent = [word for word in route.says if word.lower() not in sentence.lower()]
            assert absent == [], (name, sentence)
            continue
        assert outcome.frame is not None
        stored = route.contract.validate(outcome.frame).to_pandas()
        both = stored.merge(
            route.contract.validate(expected).to_pandas(), on=key, suffixes=("", "_good"), how="left", indicator=True
        )
        assert (both["_merge"] == "both").all(), f"{name}: a row that was never there"
        for column in route.contract.value_columns:
            if not isinstance(route.contract.polars_schema[column], pl.List):
                same = both[column].isna() | (both[column] == both[f"{column}_good"])
                assert same.all(), f"{name}: {column} differs"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_what_can_heal_is_retried_and_nothing_else(route: Route) -> None:
    found = outcomes(route)
    for name in HEALING:
        assert found[f"{name}{ONCE}"].words(good(route)) == "healed by a retry", (name, found[f"{name}{ONCE}"].error)
        assert found[name].error is not None and found[name].retried, name
    for name in PERMANENT:
        assert not found[name].retried, name
        assert found[name].frame is None or found[name].frame.empty, name
    assert "TLS" in str(found["a TLS error"].error)
    assert found["a connect time-out"].error is not None
    assert found["connection refused"].error is not None


def table() -> str:
    names = list(dict.fromkeys(name for route in ROUTES for name in outcomes(route)))
    lines = [f"| fault | {' | '.join(route.name for route in ROUTES)} |", "|---" * (len(ROUTES) + 1) + "|"]
    for name in names:
        found = [(outcomes(route).get(name), good(route)) for route in ROUTES]
        cells = [outcome.words(frame) if outcome is not None else "" for outcome, frame in found]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return HEAD + "\n".join(lines) + "\n"


def test_the_page_is_this_table() -> None:
    text = table()
    if os.environ.get("CRYPTO_ASSETS_WRITE_DOCS"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text, "docs/faults.md is stale; run make docs"
