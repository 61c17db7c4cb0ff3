"""Every run answers why it started: the one of a command, of a schedule, of a sensor, of a person in the UI."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from dagster import AssetKey, DagsterInstance
from dagster._core.test_utils import create_run_for_test

from crypto_assets.automation.planner import specs
from crypto_assets.automation.planner.plan import plan
from crypto_assets.automation.planner.reasons import command
from crypto_assets.automation.planner.requests import requests
from crypto_assets.automation.planner.rules import LATE_VALUES
from crypto_assets.checks.shells import PARTITION
from crypto_assets.cli.main import cli
from crypto_assets.dates import DAY, midnight
from crypto_assets.errors import CryptoAssetsError
from crypto_assets.operate.explain import explain
from crypto_assets_tests import scenario
from crypto_assets_tests.platform import Platform

START = scenario.START


def test_a_backfill(platform: Platform) -> None:
    """What it says of itself, and that its healing says another thing."""
    assert platform.backfill(START + DAY, START + DAY * 2, tables=["onchain_base", "onchain_enhanced"]).ok
    assert platform.backfill(START, START, tables=["onchain_base"]).ok
    healing, second, first = (explain(platform.instance, run.run_id) for run in platform.instance.get_runs())
    assert first.reason == f"crypto-assets backfill: {START + DAY} to {START + DAY * 2}"
    assert first.tables == ("onchain_base", "onchain_enhanced")
    assert first.days == (START + DAY, START + DAY * 2)
    back = specs.current().look_back["onchain_enhanced"]["onchain_base"]
    assert first.rests_on == {"onchain_enhanced": {"onchain_base": (START + DAY * (1 - back), START + DAY * 2)}}
    assert first.asked_by.startswith("a command on ")
    assert first.coins == ()
    assert first.status == "SUCCESS"
    assert (second.tables, second.days) == (("onchain_base",), (START, START))
    assert healing.reason == "stale: an input of onchain_enhanced was written after it was derived"
    assert healing.tables == ("onchain_enhanced",)


def test_attempts_are_counted(instance: DagsterInstance) -> None:
    wanted_days = command.asked({"ml_features": [START]}, "late values: prices was written")
    found = plan(wanted_days, LATE_VALUES, specs.current(), now=midnight(START))
    (request,) = requests(found.runs, LATE_VALUES)
    made = [
        create_run_for_test(
            instance,
            job_name="x",
            tags={**request.tags, "dagster/sensor_name": "late_values"},
            asset_selection=frozenset(request.asset_selection or ()),
        )
        for _ in range(3)
    ]
    said = explain(instance, made[2].run_id)
    assert said.attempts == 3
    assert said.earlier == (made[0].run_id, made[1].run_id)
    assert explain(instance, made[0].run_id).attempts == 1
    assert said.asked_by == "the sensor late_values"
    assert said.reason == "late values: prices was written"
    assert set(said.rests_on["ml_features"]) == set(specs.current().look_back["ml_features"])


@pytest.mark.parametrize(
    ("tags", "asked_by", "reason"),
    [
        ({"dagster/schedule_name": "x", "crypto_assets/reason": "tick: y"}, "the schedule x", "tick: y"),
        ({"dagster/schedule_name": "x"}, "the schedule x", "not noted: the run is older than the notes of reasons"),
        ({"dagster/backfill": "b"}, "a person: backfill b of the UI", "asked for by hand: somebody chose these tables and days"),
        ({}, "a person in the UI", "asked for by hand: somebody chose these tables and days"),
        ({"dagster/parent_run_id": "p"}, "a person in the UI; a retry of run p", "asked for by hand: somebody chose these tables and days"),
    ],
)  # fmt: skip
def test_who_asked(instance: DagsterInstance, tags: dict[str, str], asked_by: str, reason: str) -> None:
    run = create_run_for_test(
        instance,
        job_name="x",
        tags={**tags, PARTITION: START.isoformat(), "crypto_assets/coins": "BTC,ETH"},
        asset_selection=frozenset({AssetKey("prices")}),
    )
    said = explain(instance, run.run_id[:8])
    assert (said.run_id, said.asked_by, said.reason) == (run.run_id, asked_by, reason)
    assert (said.tables, said.days, said.coins) == (("prices",), (START, START), ("BTC", "ETH"))


def test_a_run_that_is_not_there(instance: DagsterInstance) -> None:
    create_run_for_test(instance, job_name="x")
    for name in ("", "nowhere", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(CryptoAssetsError, match="there is no run"):
            explain(instance, name)


def test_the_command(platform: Platform) -> None:
    assert platform.backfill(START, START, tables=["market_sentiment"]).ok
    (run,) = platform.instance.get_runs()
    done = CliRunner().invoke(cli, ["explain", run.run_id, "--json"], standalone_mode=False)
    assert done.exit_code == 0, done.exception
    document = json.loads(done.stdout)
    assert document["run"] == run.run_id
    assert document["reason"] == f"crypto-assets backfill: {START} to {START}"
    assert document["tables"] == ["market_sentiment"]
    assert document["days"] == [START.isoformat()] * 2
    assert document["coins"] is None
    text = CliRunner().invoke(cli, ["explain", run.run_id], standalone_mode=False).output
    assert f"reason        crypto-assets backfill: {START} to {START}" in text
    unknown = CliRunner().invoke(cli, ["explain", "no-such-run"], standalone_mode=False)
    assert isinstance(unknown.exception, CryptoAssetsError), "exit 1, one sentence"
    assert "no-such-run" in str(unknown.exception)
