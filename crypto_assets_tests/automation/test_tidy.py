"""Tidying takes what nothing rests on: not a pinned version, not the coverage, not the story of the last runs."""

import json
import os
import time
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner
from dagster import AssetKey, DagsterInstance
from deltalake import DeltaTable, write_deltalake

from crypto_assets.assets.failures import sentence
from crypto_assets.automation.tidy import tidy_up
from crypto_assets.cli.main import cli
from crypto_assets.errors import UsageError, WarehouseError
from crypto_assets.monitoring.alerts.incidents import Sighting
from crypto_assets.monitoring.alerts.ledger import Ledger
from crypto_assets.storage import pins, versions
from crypto_assets.storage.compaction import tidy
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import MARKET_SENTIMENT

TABLE, DAY = "market_sentiment", date(2024, 5, 1)
CROWDED = [date(2024, 5, 1), date(2024, 5, 2), date(2024, 5, 4)]
CALENDAR = dg.DailyPartitionsDefinition("2025-01-01", end_date="2025-01-08")
KEYS = CALENDAR.get_partition_keys()


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """Five versions of one day: the table is created, then written with 10, 11, 12 and 13."""
    found = Warehouse(str(tmp_path / "warehouse"))
    for value in range(10, 14):
        write(found, value)
    return found


def write(warehouse: Warehouse, value: int, day: date = DAY) -> None:
    moment = datetime(day.year, day.month, day.day, 0, 15, tzinfo=timezone.utc)
    row = {"date": day, "available_at": moment, "source": "test", "fear_greed_index": value}
    schema = {name: MARKET_SENTIMENT.polars_schema[name] for name in row}
    warehouse.write(MARKET_SENTIMENT, pl.DataFrame([row], schema=schema), [day])


def value(warehouse: Warehouse, version: int | None = None) -> int:
    return int(warehouse.read(TABLE, version=version)["fear_greed_index"][0])


def test_a_pinned_version_outlives_tidying(warehouse: Warehouse) -> None:
    pins.pin(warehouse, "train.parquet", {TABLE: 2, "prices": None})
    pins.pin(warehouse, "train.parquet", {TABLE: 2})
    assert pins.pinned(warehouse) == {TABLE: {2}}
    done = tidy(warehouse, TABLE, timedelta(0), pins.pinned(warehouse)[TABLE])
    assert done is not None
    assert (done.files, done.removed_files) == (1, 2)
    assert value(warehouse) == 13
    assert value(warehouse, 2) == 11
    with pytest.raises(WarehouseError):
        value(warehouse, 1)
    assert pins.unpin(warehouse, "train.parquet") == 1
    tidy(warehouse, TABLE, timedelta(0), pins.pinned(warehouse).get(TABLE, ()))
    with pytest.raises(WarehouseError):
        value(warehouse, 2)
    assert value(warehouse) == 13


def test_a_dataset_is_unpinned_by_its_command(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPTO_ASSETS_WAREHOUSE", warehouse.uri)
    pins.pin(warehouse, "train.parquet", {TABLE: 2})
    wrong = CliRunner().invoke(cli, ["unpin", "other.parquet"], standalone_mode=False)
    assert isinstance(wrong.exception, UsageError)
    assert "pinned: train.parquet" in str(wrong.exception)
    assert pins.datasets(warehouse) == ["train.parquet"], "a wrong name lets nothing go"
    assert CliRunner().invoke(cli, ["unpin", "train.parquet"]).exit_code == 0
    assert pins.pinned(warehouse) == {}


def as_of_days_ago(warehouse: Warehouse, days: int) -> None:
    """Every commit so far happened that many days earlier: by its own note, and by the clock of its file."""
    moment = time.time() - days * 86_400
    for path in Path(warehouse.path(TABLE), "_delta_log").iterdir():
        if path.suffix == ".json":
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            for line in lines:
                if "commitInfo" in line:
                    line["commitInfo"]["timestamp"] -= days * 86_400_000
            path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        os.utime(path, (moment, moment))


@pytest.mark.parametrize("is_pinned", [True, False])
def test_a_pin_outlives_the_days_of_the_commit_log(warehouse: Warehouse, is_pinned: bool) -> None:
    """A table at rest for 90 days, then written again: Delta cuts the log of what lies behind an old checkpoint."""
    DeltaTable(warehouse.path(TABLE)).create_checkpoint()  # as Delta does by itself, every hundred commits
    as_of_days_ago(warehouse, 90)
    if is_pinned:
        pins.pin(warehouse, "train.parquet", {TABLE: 2})
    for n in range(2):
        tidy(warehouse, TABLE, timedelta(0), pins.pinned(warehouse).get(TABLE, ()))
        write(warehouse, 20 + n)
        DeltaTable(warehouse.path(TABLE)).cleanup_metadata()  # with each checkpoint
    assert value(warehouse) == 21
    known = versions.commits(warehouse, TABLE)
    if is_pinned:
        assert value(warehouse, 2) == 11
        assert 2 in known, "a dataset of that day is made again by its number or its instant"
    else:
        assert 2 not in known, "else this test shows nothing"
        with pytest.raises(WarehouseError, match="no longer has version 2"):
            value(warehouse, 2)


def test_versions_of_the_last_days_stay(warehouse: Warehouse) -> None:
    done = tidy(warehouse, TABLE, timedelta(days=7), ())
    assert done is not None
    assert done.removed_files == 0
    assert [value(warehouse, version) for version in range(1, 5)] == [10, 11, 12, 13]


def test_a_day_of_many_files_becomes_one(warehouse: Warehouse) -> None:
    """As a stranger's appends leave it."""
    row = warehouse.read(TABLE).with_columns(source=pl.lit("stranger")).to_arrow()
    write_deltalake(warehouse.path(TABLE), row, mode="append")
    assert warehouse.files(TABLE).height == 2
    done = tidy(warehouse, TABLE, timedelta(days=7), ())
    assert done is not None
    assert (done.joined_days, done.files) == (1, 1)
    assert warehouse.read(TABLE).height == 2


def crowd(warehouse: Warehouse, days: list[date]) -> None:
    """Two files a day."""
    for day in days:
        write(warehouse, 10, day)
    more = warehouse.read(TABLE).with_columns(source=pl.lit("stranger")).to_arrow()
    write_deltalake(warehouse.path(TABLE), more, mode="append")
    assert warehouse.files(TABLE).height == 2 * len(days)


def test_the_days_of_many_files_are_joined_in_one_commit(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "warehouse"))
    crowd(warehouse, CROWDED)
    before = warehouse.version(TABLE)
    done = tidy(warehouse, TABLE, timedelta(days=7), ())
    assert done is not None
    assert (done.joined_days, done.files) == (3, 3)
    assert [commit["operation"] for commit in DeltaTable(warehouse.path(TABLE)).history()].count("OPTIMIZE") == 1
    assert before is not None and warehouse.read(TABLE).equals(warehouse.read(TABLE, version=before))


def test_a_day_that_is_being_written_leaves_the_other_days_to_be_joined(tmp_path: Path) -> None:
    class Disturbed(Warehouse):
        """Another writer commits one of the days after tidying has looked for what to join."""

        disturbed = False

        def files(self, table: str, version: int | None = None) -> pl.DataFrame:
            found = super().files(table, version)
            if not self.disturbed:
                self.disturbed = True
                write(Warehouse(self.uri), 77, CROWDED[1])
            return found

    warehouse = Disturbed(str(tmp_path / "warehouse"))
    crowd(Warehouse(warehouse.uri), CROWDED)
    done = tidy(warehouse, TABLE, timedelta(days=7), ())
    assert done is not None and done.files == 3
    assert warehouse.read(TABLE, start=CROWDED[1], end=CROWDED[1])["fear_greed_index"].to_list() == [77]
    assert warehouse.read(TABLE).height == 5, "two rows of the other days each"


def test_no_table_nothing_to_do(tmp_path: Path) -> None:
    assert tidy(Warehouse(str(tmp_path)), TABLE, timedelta(0), ()) is None


def test_the_job_notes_what_is_left_and_goes_on_past_a_broken_table(
    instance: DagsterInstance, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTO_ASSETS_WAREHOUSE", warehouse.uri)
    log = Path(warehouse.path("prices"), "_delta_log", "00000000000000000000.json")  # before ours in their order
    log.parent.mkdir(parents=True)
    log.write_text("{")
    done = tidy_up.execute_in_process(instance=instance, raise_on_error=False)
    (failed,) = [event for event in done.all_events if event.is_step_failure]
    assert "prices in" in (sentence(failed.step_failure_data.error) or "")
    record = instance.fetch_observations(AssetKey(TABLE), limit=1).records[0]
    observation = record.event_log_entry.asset_observation
    assert observation is not None
    assert observation.metadata["files"].value == 1


def test_incidents_that_were_over_long_ago_are_forgotten(
    instance: DagsterInstance, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed 500 days ago: gone with its messages. Closed 300 days ago, or open for 500: kept."""
    monkeypatch.setenv("CRYPTO_ASSETS_WAREHOUSE", warehouse.uri)
    now, url = datetime.now(timezone.utc), os.environ["DAGSTER_POSTGRES_URL"]
    ledger = Ledger(url)

    def see(days_ago: int, **subjects: str | None) -> None:
        at = now - timedelta(days=days_ago)
        ledger.observe("staleness", [Sighting(name, what, at) for name, what in subjects.items()], at, "runbooks")

    see(501, prices="late", ohlc="late", kraken_ohlc="late")
    see(500, prices=None)
    see(300, ohlc=None)
    messages = len(ledger.waiting())
    assert tidy_up.execute_in_process(instance=instance).success
    assert [incident.subject for incident in ledger.open()] == ["kraken_ohlc"]
    assert len(ledger.waiting()) == messages - 2, "its beginning and its end"
    assert ledger.forget(now - timedelta(days=299)) == 1, "the one of 300 days ago was still there"
