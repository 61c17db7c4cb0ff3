"""The model goes and comes back, on the whole platform: nothing crashes, nothing is lost, nobody has to do anything."""

from __future__ import annotations

import dagster as dg
import polars as pl
import pytest

from crypto_assets.automation.repair import model_is_back_sensor
from crypto_assets.checks.shells import RANGE, every_measure, scope_of
from crypto_assets.definitions import defs
from crypto_assets.sandbox.server import Sandbox
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform

START, END = scenario.START, scenario.END
NOWHERE = "http://127.0.0.1:9"
TABLES = ["news_articles", "article_narratives", "narratives"]


def health(platform: Platform):
    tags = {RANGE[0]: START.isoformat(), RANGE[1]: END.isoformat()}
    return every_measure()["article_narratives"]["analysis_health"](scope_of(tags, platform.settings))


def tick(platform: Platform) -> dg.SensorResult | dg.SkipReason:
    platform.activate()
    with dg.build_sensor_context(instance=platform.instance, repository_def=defs.get_repository_def()) as context:
        return model_is_back_sensor(context)


def by_analyzer(platform: Platform) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for analyzer, status, count in platform.read("article_narratives").group_by("analyzer", "status").len().rows():
        counts.setdefault("lexicon" if analyzer.startswith("lexicon") else analyzer, {})[status] = count
    return counts


def test_away_and_back(platform: Platform) -> None:
    there = platform.env["OLLAMA_HOST"]
    platform.env["OLLAMA_HOST"] = NOWHERE
    assert platform.backfill(START, END, tables=TABLES).ok, "a model that is away is no failure of the run"
    articles = platform.read("news_articles").height
    assert by_analyzer(platform) == {"lexicon": {"ok": articles}, "sandbox": {"unavailable": articles}}
    reasons = platform.read("article_narratives").filter(pl.col("status") != "ok")["detail"]
    assert reasons.str.contains("ollama serve").all()
    outcome = health(platform)
    assert (outcome.passed, outcome.severity) == (False, "WARN")
    assert f"{articles} unavailable" in outcome.description
    assert isinstance(tick(platform), dg.SkipReason)
    before = platform.read("narratives")

    platform.env["OLLAMA_HOST"] = there
    result = tick(platform)
    assert isinstance(result, dg.SensorResult)
    (request,) = result.run_requests or []
    assert (request.tags[RANGE[0]], request.tags[RANGE[1]]) == ("2021-03-01", "2021-03-06")
    job = defs.resolve_job_def("reanalyse")
    assert job.execute_in_process(instance=platform.instance, tags=request.tags, raise_on_error=False).success

    assert by_analyzer(platform) == {"lexicon": {"ok": articles}, "sandbox": {"ok": articles}}
    assert health(platform).passed
    assert not platform.read("narratives").equals(before), "the aggregates rest on the model's rows now"
    assert isinstance(tick(platform), dg.SkipReason)
    version = platform.warehouse.version("article_narratives")
    assert platform.backfill(START, END, tables=["article_narratives"]).ok
    assert platform.warehouse.version("article_narratives") == version, "same bytes: no commit"


def test_a_model_that_was_good_once_is_not_replaced_by_its_absence(platform: Platform, new_instance) -> None:
    """Not by an outage, not with the journal's database lost, not by another model."""
    assert platform.backfill(START, START, tables=TABLES).ok
    rows = platform.read("article_narratives")
    platform.env["OLLAMA_HOST"] = NOWHERE
    platform.instance = new_instance()  # an empty Postgres
    assert platform.backfill(START, START, tables=TABLES).ok
    assert platform.read("article_narratives").equals(rows)
    platform.env["OLLAMA_MODEL"] = "another"
    assert platform.backfill(START, START, tables=TABLES).ok
    assert by_analyzer(platform) == {"lexicon": {"ok": 1}, "sandbox": {"ok": 1}, "another": {"unavailable": 1}}


def test_nobody_asked_for_a_model(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default address without an answer: lexicon rows only, and no warning about what nobody set up."""
    monkeypatch.setattr("crypto_assets.settings.DEFAULT_OLLAMA", NOWHERE)
    del platform.env["OLLAMA_HOST"], platform.env["OLLAMA_MODEL"]
    for name in ("OLLAMA_HOST", "OLLAMA_MODEL"):
        monkeypatch.delenv(name, raising=False)
    assert platform.backfill(START, START, tables=TABLES).ok
    assert by_analyzer(platform) == {"lexicon": {"ok": 1}}
    assert health(platform).passed


def test_two_platforms_share_no_call(platform: Platform) -> None:
    """One sandbox, two ranges that overlap, one journal: each text is asked once."""
    with Sandbox() as sandbox:
        platform.env |= {"OLLAMA_HOST": sandbox.url}
        assert platform.backfill(START, END, tables=TABLES).ok
        assert platform.backfill(START, END, tables=TABLES).ok
        assert sandbox.requests["/api/chat"] == platform.read("news_articles")["title"].n_unique()
