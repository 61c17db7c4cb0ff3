"""The alert sensors on a real instance: real failing runs and checks, real rows, a real webhook."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone

import dagster as dg
import polars as pl
import pytest

from crypto_assets.assets.quarantine import release
from crypto_assets.checks import sources
from crypto_assets.dates import DAY, midnight, today
from crypto_assets.definitions import defs
from crypto_assets.monitoring.alerts import sensors
from crypto_assets.monitoring.alerts.incidents import Incident
from crypto_assets.monitoring.alerts.ledger import Ledger
from crypto_assets.monitoring.watch import failed_checks, failed_runs, model_server
from crypto_assets.monitoring.watch.watcher import WatchContext
from crypto_assets.operate import runs
from crypto_assets.sandbox.server import Sandbox
from crypto_assets.settings import Settings
from crypto_assets.tables.schemas import CONTRACTS, MARKET_SENTIMENT, QUARANTINE, SET_ASIDE
from crypto_assets_tests import scenario
from crypto_assets_tests.monitoring.alerts.receiver import SECRET, Receiver, receiving
from crypto_assets_tests.platform import Platform

START = scenario.START
SENSORS = {sensor.name: sensor for sensor in sensors.SENSORS}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as found:
        monkeypatch.setenv("ALERT_WEBHOOK_URL", found.url)
        yield found


@pytest.fixture
def tick() -> Callable[..., str]:
    """Evaluates a sensor as the daemon does: with the cursor that its last tick left."""
    cursors: dict[str, str | None] = {}

    def evaluate(platform: Platform, name: str) -> str:
        platform.activate()
        with dg.build_sensor_context(
            instance=platform.instance, repository_def=defs.get_repository_def(), cursor=cursors.get(name)
        ) as context:
            data = SENSORS[name].evaluate_tick(context)
        cursors[name] = data.cursor or cursors.get(name)
        assert SECRET not in str(data)
        return data.skip_message or ""

    return evaluate


def test_a_failing_source_is_one_incident_until_its_partitions_are_filled(
    platforms: Callable[..., Platform], receiver: Receiver, tick: Callable[..., str]
) -> None:
    broken, whole = platforms(fault="route=fng,status=403,rate=1"), platforms()
    whole.instance, whole.env["CRYPTO_ASSETS_HOME"] = broken.instance, broken.env["CRYPTO_ASSETS_HOME"]
    for day in (START, START + DAY):
        broken.activate()
        assert not runs.execute(broken.instance, ["market_sentiment"], day, day).success
        assert "failed" in tick(broken, "alert_run_failure")
    assert receiver.events() == [("run_failure", "market_sentiment", "opened")]
    assert "403" in receiver.got[0]["what"]
    standing = dg.AssetCheckKey(dg.AssetKey("api_usage"), "nothing_failed")
    look = defs.resolve_job_def("look").get_subset(asset_check_selection={standing}, asset_selection=set())
    seen = look.execute_in_process(instance=broken.instance).get_asset_check_evaluations()
    assert [check.passed for check in seen] == [False]
    tick(broken, "alert_check_failure")
    assert len(receiver.got) == 1, "the standing check on what is left failed is red for the same cause"
    whole.activate()
    assert runs.execute(whole.instance, ["market_sentiment"], START, START).success
    tick(whole, "alert_run_failure")
    assert len(receiver.got) == 1, "one of its two days is still failed"
    assert runs.execute(whole.instance, ["market_sentiment"], START + DAY, START + DAY).success
    tick(whole, "alert_run_failure")
    assert receiver.events()[1:] == [("run_failure", "market_sentiment", "closed")]
    assert tick(whole, "alert_run_failure").startswith("0 opened, 0 closed")


def test_a_run_that_was_killed_is_an_incident_unless_its_retry_comes(
    platform: Platform, receiver: Receiver, tick: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.activate()
    tags = {runs.RANGE[0]: START.isoformat(), runs.RANGE[1]: START.isoformat()}
    selection = frozenset([dg.AssetKey("market_sentiment")])
    job = runs.graph.job().get_subset(asset_selection=selection)
    run = platform.instance.create_run_for_job(job, tags=tags, asset_selection=selection)
    platform.instance.report_run_failed(run, "killed")
    tick(platform, "alert_run_failure")
    assert receiver.got == [], "a retry is announced"
    monkeypatch.setattr(failed_runs, "RETRY_GRACE", timedelta())
    for _ in range(2):
        tick(platform, "alert_run_failure")
    assert [event for _, _, event in receiver.events()] == ["opened"]
    assert "killed" in receiver.got[0]["what"]
    assert runs.execute(platform.instance, ["market_sentiment"], START, START).success
    tick(platform, "alert_run_failure")
    assert [event for _, _, event in receiver.events()] == ["opened", "closed"]


def test_however_many_runs_fail_at_once_each_is_seen(
    platform: Platform, receiver: Receiver, tick: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More failures within the overlap of two looks than one look takes: the next one goes on behind them."""
    monkeypatch.setattr(failed_runs, "RUNS_A_TICK", 10)
    monkeypatch.setattr(failed_runs, "RETRY_GRACE", timedelta())
    platform.activate()
    many = ["market_sentiment"] * 34 + ["defi_metrics"]
    for n, table in enumerate(many):
        _killed(platform, table, START + DAY * 2 * n)
    seen = [tick(platform, "alert_run_failure") for _ in range(6)]
    opened = {subject for _, subject, event in receiver.events() if event == "opened"}
    assert opened == {"job __ASSET_JOB"}
    (incident,) = Ledger(os.environ["DAGSTER_POSTGRES_URL"]).open("run_failure")
    assert incident.facts["tables"] == ["defi_metrics", "market_sentiment"], "the last of them too"
    assert len(incident.facts["ranges"]) == len(many), "no day is forgotten"
    assert seen[-1].startswith("0 opened, 0 closed")


def _killed(platform: Platform, table: str, day: date) -> None:
    selection = frozenset([dg.AssetKey(table)])
    job = runs.graph.job().get_subset(asset_selection=selection)
    tags = {runs.RANGE[0]: day.isoformat(), runs.RANGE[1]: day.isoformat()}
    run = platform.instance.create_run_for_job(job, tags=tags, asset_selection=selection)
    platform.instance.report_run_failed(run, "killed")


def test_every_step_that_failed_is_seen_however_many(
    platform: Platform, receiver: Receiver, tick: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_runs, "STEPS_A_PAGE", 2)
    with Sandbox(fault="route=/,status=403,rate=1") as sandbox:
        platform.env |= {name: value for name, value in sandbox.env().items() if "OLLAMA" not in name}
        platform.activate()
        tables = ["prices", "ohlc", "onchain_base", "defi_metrics", "market_sentiment"]
        assert set(runs.execute(platform.instance, tables, START, START).failures) == set(tables)
    tick(platform, "alert_run_failure")
    assert {subject for _, subject, _ in receiver.events()} == set(tables)


def test_a_failed_snapshot_day_is_over_with_its_reason(
    platform: Platform, receiver: Receiver, tick: Callable[..., str]
) -> None:
    """Nobody can fetch the derivatives of a day that is over: the incident ends, and says why."""
    _killed_step(platform, "derivatives", today())
    tick(platform, "alert_run_failure")
    assert receiver.events() == [("run_failure", "derivatives", "opened")], "today can be tried again"
    ledger = Ledger(os.environ["DAGSTER_POSTGRES_URL"])
    (incident,) = ledger.open("run_failure")
    assert incident.facts["ranges"] == [[today().isoformat()] * 2]
    tomorrow = datetime.now(timezone.utc) + DAY
    open_now = {incident.subject: incident}
    found, _ = failed_runs.failed_runs(WatchContext(platform.instance, Settings.from_env(), tomorrow, open_now))
    (over,) = [sighting for sighting in found if sighting.subject == "derivatives"]
    assert over.trouble is None
    ledger.observe("run_failure", [over], datetime.now(timezone.utc), "x")
    assert ledger.open("run_failure") == []
    tick(platform, "alert_delivery")
    assert "derivatives show the present only" in receiver.got[-1]["what"]


def _killed_step(platform: Platform, table: str, day: date) -> None:
    with Sandbox(fault="route=/,status=403,rate=1") as sandbox:
        before = dict(platform.env)
        platform.env |= {name: value for name, value in sandbox.env().items() if "OLLAMA" not in name}
        platform.activate()
        assert not runs.execute(platform.instance, [table], day, day).success
        platform.env = before
        platform.activate()


def test_a_check_that_broke_is_named_until_it_could_be_made(
    platform: Platform, receiver: Receiver, tick: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not "failed before its first step": the rows are stored, and one of the checks raised."""

    def broken(scope: object) -> None:
        raise ZeroDivisionError("of nothing by nothing")

    platform.activate()
    with monkeypatch.context() as patch:
        patch.setattr(sources, "compared", broken)
        outcome = runs.execute(platform.instance, ["prices"], START, START)
    assert (outcome.success, outcome.stored, outcome.failures) == (False, True, {})
    text = outcome.broken_checks["prices"]
    assert "check agreement of prices broke (ZeroDivisionError: of nothing by nothing)" in text
    assert "rows of the run are stored" in text
    tick(platform, "alert_run_failure")
    assert receiver.events() == [("run_failure", "checks of prices", "opened")]
    assert "check agreement of prices broke" in receiver.got[0]["what"]
    assert runs.execute(platform.instance, ["market_sentiment"], START, START).success
    tick(platform, "alert_run_failure")
    assert len(receiver.got) == 1, "another run of the same job is no sign that the check can be made"
    assert runs.execute(platform.instance, ["prices"], START, START).success
    tick(platform, "alert_run_failure")
    assert receiver.events()[1:] == [("run_failure", "checks of prices", "closed")]


def test_checks_that_fail_and_pass_again(platform: Platform, receiver: Receiver, tick: Callable[..., str]) -> None:
    """A table whose rows were damaged behind the contract's back: ERROR, so that its age does not matter."""
    platform.activate()
    assert runs.execute(platform.instance, ["market_sentiment"], START, START + DAY).success
    tick(platform, "alert_check_failure")
    assert receiver.got == [], "the warnings of 2021 are findings, not incidents"
    whole = platform.read("market_sentiment")
    _damage(platform, whole.with_columns(fear_greed_index=pl.lit(400.0)))
    _check(platform, START)
    tick(platform, "alert_check_failure")
    assert receiver.events() == [("check_failure", "market_sentiment.contract", "opened")]
    assert "fear_greed_index" in receiver.got[0]["what"]
    _damage(platform, whole.filter(pl.col("date") == START))
    _check(platform, START + DAY)
    tick(platform, "alert_check_failure")
    assert len(receiver.got) == 1, "another day passed: that says nothing about the first"
    _check(platform, START)
    tick(platform, "alert_check_failure")
    assert receiver.events()[1:] == [("check_failure", "market_sentiment.contract", "closed")]


def test_a_warning_about_a_day_of_this_week_is_an_incident(
    platform: Platform, receiver: Receiver, tick: Callable[..., str]
) -> None:
    _check(platform, today() - DAY)  # the table is empty: every row of yesterday is missing
    tick(platform, "alert_check_failure")
    assert "market_sentiment.fresh" not in {subject for _, subject, _ in receiver.events()}, "nobody fills it"
    assert ("check_failure", "market_sentiment.rows_expected", "opened") in receiver.events()


def test_last_weeks_days_that_are_mended_are_well_whatever_day_the_next_run_is_about(
    platform: Platform, receiver: Receiver, tick: Callable[..., str]
) -> None:
    """``fresh_partitions`` looks at last week in every run: what it says is about those days, not about the run's."""
    subject = "market_sentiment.fresh_partitions"
    gap = today() - DAY * 4
    for day in (START, START + DAY, *(today() - DAY * n for n in (9, 8, 7, 6, 5, 3, 2, 1))):
        _sentiment(platform, day)
    _check(platform, START)
    tick(platform, "alert_check_failure")
    assert ("check_failure", subject, "opened") in receiver.events()
    assert str(gap) in next(message["what"] for message in receiver.got if message["subject"] == subject)
    _sentiment(platform, gap)
    _check(platform, START + DAY)
    tick(platform, "alert_check_failure")
    assert ("check_failure", subject, "closed") in receiver.events()


def test_a_price_that_is_held_is_an_incident_until_a_person_judges_it(
    platform: Platform, receiver: Receiver, tick: Callable[..., str]
) -> None:
    platform.activate()
    ts = midnight(today() - DAY) + timedelta(hours=7)
    row = {
        "table_name": "prices", "symbol": "BTC", "ts": ts, "date": ts.date(), "available_at": ts, "source": "coingecko",
        "value_usd": 150.0, "other_usd": 100.0, "other_source": "kraken", "reason": "above everything",
    }  # fmt: skip
    platform.warehouse.write(QUARANTINE, pl.DataFrame([row], schema_overrides=QUARANTINE.polars_schema), [ts.date()])
    _look_at_quarantine(platform)
    tick(platform, "alert_check_failure")
    assert receiver.events() == [("check_failure", "quarantine.nothing_held", "opened")]
    assert "crypto-assets release" in receiver.got[0]["what"]
    release(platform.warehouse, "BTC", ts)
    _look_at_quarantine(platform)
    tick(platform, "alert_check_failure")
    assert receiver.events()[1:] == [("check_failure", "quarantine.nothing_held", "closed")]


def _look_at_quarantine(platform: Platform) -> None:
    held = dg.AssetCheckKey(dg.AssetKey("quarantine"), "nothing_held")
    look = defs.resolve_job_def("look").get_subset(asset_check_selection={held}, asset_selection=set())
    assert look.execute_in_process(instance=platform.instance).success


def test_a_table_that_stops_is_late_and_old_days_do_not_hide_it(
    platform: Platform, receiver: Receiver, tick: Callable[..., str]
) -> None:
    now = datetime.now(timezone.utc)
    newest = now.date() - DAY * 4
    platform.activate()
    _sentiment(platform, newest)
    assert runs.execute(platform.instance, ["market_sentiment"], START, START).success
    for _ in range(2):
        tick(platform, "alert_staleness")
    assert receiver.events() == [("staleness", "market_sentiment", "opened")]
    since = datetime.fromisoformat(receiver.got[0]["since"])
    assert since == midnight(newest + DAY) + timedelta(hours=48), "from when the newest row was too old"
    assert "ml_features" in receiver.got[0]["consequence"]
    _sentiment(platform, now.date(), at=now - timedelta(minutes=5))
    tick(platform, "alert_staleness")
    assert receiver.events()[1:] == [("staleness", "market_sentiment", "closed")]


def test_rows_from_the_future_make_nothing_fresh(
    platform: Platform, receiver: Receiver, tick: Callable[..., str]
) -> None:
    platform.activate()
    _sentiment(platform, today() - DAY * 4)
    _sentiment(platform, today(), at=datetime.now(timezone.utc) + timedelta(days=1))
    tick(platform, "alert_staleness")
    assert receiver.events() == [("staleness", "market_sentiment", "opened")]


def test_a_model_that_is_away_is_missed_only_by_who_named_one(
    platform: Platform, receiver: Receiver, tick: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, name = platform.env.pop("OLLAMA_HOST"), platform.env.pop("OLLAMA_MODEL")
    for variable in ("OLLAMA_HOST", "OLLAMA_MODEL"):
        monkeypatch.delenv(variable, raising=False)
    tick(platform, "alert_llm_down")
    assert receiver.got == []
    platform.env |= {"OLLAMA_HOST": "http://127.0.0.1:9", "OLLAMA_MODEL": name}
    for _ in range(2):
        tick(platform, "alert_llm_down")
    assert receiver.events() == [("llm_down", "ollama", "opened")]
    assert "127.0.0.1:9" in receiver.got[0]["what"]
    platform.env["OLLAMA_HOST"] = there
    tick(platform, "alert_llm_down")
    assert receiver.events()[1:] == [("llm_down", "ollama", "closed")]


def test_one_failed_answer_of_the_model_is_no_incident(
    platform: Platform, receiver: Receiver, tick: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_server, "PAUSE_S", 0.05)
    with Sandbox(fault="route=/api/tags,status=503,count=2") as sandbox:
        platform.env["OLLAMA_HOST"] = sandbox.env()["OLLAMA_HOST"]
        tick(platform, "alert_llm_down")
    assert receiver.got == []


def test_a_quiet_tick_asks_little(platform: Platform, tick: Callable[..., str]) -> None:
    for name in SENSORS:
        assert tick(platform, name).startswith(("0 opened, 0 closed", "0 message(s) delivered"))
    assert Ledger(os.environ["DAGSTER_POSTGRES_URL"]).open() == []


def test_every_sensor_runs_by_default() -> None:
    found = {name: defs.resolve_sensor_def(name) for name in SENSORS}
    assert all(sensor.default_status == dg.DefaultSensorStatus.RUNNING for sensor in found.values())


def _check(platform: Platform, day: date) -> None:
    """Evaluate the table's checks over a day, in a run of their own."""
    platform.activate()
    job = runs.graph.job().get_subset(asset_selection=set(), asset_check_selection=set(_keys("market_sentiment")))
    tags = {runs.RANGE[0]: day.isoformat(), runs.RANGE[1]: day.isoformat()}
    assert job.execute_in_process(instance=platform.instance, tags=tags, run_config=runs._QUIET).success


def _keys(table: str) -> list[dg.AssetCheckKey]:
    return [key for key in defs.resolve_asset_graph().asset_check_keys if key.asset_key == dg.AssetKey(table)]


def _damage(platform: Platform, rows: pl.DataFrame) -> None:
    """Rows straight into the Delta table, past the contract."""
    from deltalake import write_deltalake

    write_deltalake(platform.warehouse.path("market_sentiment"), rows.to_arrow(), mode="overwrite")


def _sentiment(platform: Platform, day: date, at: datetime | None = None) -> None:
    row = {"date": day, "available_at": at or midnight(day + DAY), "source": "sandbox/test", "fear_greed_index": 50.0}
    names = {name: [row.get(name)] for name in CONTRACTS["market_sentiment"].names}
    platform.warehouse.write(MARKET_SENTIMENT, pl.DataFrame(names, schema=MARKET_SENTIMENT.polars_schema), [day])


def test_what_was_set_aside_is_an_incident_of_this_week_and_of_no_longer(
    platform: Platform, receiver: Receiver, tick: Callable[..., str]
) -> None:
    """A -1 that a provider never mends: it is said once, and the incident ends when its day is past."""
    platform.activate()

    def aside(day: date) -> None:
        row = {
            "table_name": "market_sentiment", "subject": "MARKET", "date": day, "column_name": "", "reason": "above 100",
            "available_at": midnight(day), "source": "platform", "count": 1, "example": "400",
        }  # fmt: skip
        platform.warehouse.write(SET_ASIDE, pl.DataFrame([row], schema=SET_ASIDE.polars_schema), [day])

    def events() -> list[tuple[str, str, str]]:
        tick(platform, "alert_check_failure")
        return [event for event in receiver.events() if event[1] == "market_sentiment.set_aside"]

    long_ago, fresh = today() - DAY * 30, today() - DAY
    aside(long_ago)
    _check(platform, long_ago)
    assert events() == [], "a finding of a backfill"
    aside(fresh)
    _check(platform, long_ago)
    opened = [("check_failure", "market_sentiment.set_aside", "opened")]
    assert events() == opened, "each run looks at the last days"
    said = next(message["what"] for message in receiver.got if message["subject"].endswith("set_aside"))
    assert "above 100 (MARKET, e.g. 400)" in said and str(fresh) in said
    _check(platform, fresh)
    assert events() == opened, "the same incident"
    platform.warehouse.forget(SET_ASIDE, platform.warehouse.read(SET_ASIDE, start=fresh).select(SET_ASIDE.key))
    _check(platform, fresh)
    assert events() == [*opened, ("check_failure", "market_sentiment.set_aside", "closed")], "it healed"


def test_an_incident_about_what_was_set_aside_ends_when_its_days_are_past(platform: Platform) -> None:
    """The observation stays set aside for good; five days later nobody is to be kept awake by it."""
    platform.activate()
    fresh, subject = today() - DAY, "market_sentiment.set_aside"
    row = {
        "table_name": "market_sentiment", "subject": "MARKET", "date": fresh, "column_name": "", "reason": "above 100",
        "available_at": midnight(fresh), "source": "platform", "count": 1, "example": "400",
    }  # fmt: skip
    platform.warehouse.write(SET_ASIDE, pl.DataFrame([row], schema=SET_ASIDE.polars_schema), [fresh])
    _check(platform, fresh)
    now = datetime.now(timezone.utc)
    facts = {"days": [fresh.isoformat(), fresh.isoformat()]}
    open_now = {subject: Incident(1, "check_failure", subject, "set aside", now, now, facts=facts)}

    def ended(at: datetime) -> list[bool]:
        sightings, _ = failed_checks.failed_checks(WatchContext(platform.instance, Settings.from_env(), at, open_now))
        return [one.trouble is None for one in sightings if one.subject == subject]

    assert ended(now) == [False], "recent: it goes on"
    assert ended(now + DAY * 5) == [True], "past: it ends"
