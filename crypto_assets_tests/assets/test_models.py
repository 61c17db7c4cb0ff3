"""Trainings, predictions and signals through Dagster, on a market in which one feature orders what follows."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from dagster import DagsterInstance

from crypto_assets.assets.models import Trainer, configs_of
from crypto_assets.checks.every_measure import every_measure
from crypto_assets.checks.outcome import Scope
from crypto_assets.dates import DAY, days, midnight
from crypto_assets.errors import InstanceError, ModelError
from crypto_assets.operate import models as operations
from crypto_assets.operate.backfill import BackfillReport, backfill
from crypto_assets.settings import Settings
from crypto_assets.storage import artefacts
from crypto_assets.storage.copies import copy_tables
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import ML_FEATURES, MODEL_TRIALS, PREDICTIONS, PRICES, SIGNALS, TRAINED_MODELS
from crypto_assets_tests.model_market import (
    BEGIN,
    COINS,
    CONFIG,
    END,
    MONTHS,
    RIDGE,
    TABLES,
    market,
    settings_of,
)  # fmt: skip
from crypto_assets_tests.platform import Platform, Prepared


@pytest.fixture
def open_home(instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes homes of this instance with models: ``open_home(name, config)`` gives the warehouse."""

    def make(name: str, config: str = CONFIG) -> Warehouse:
        for variable, value in settings_of(tmp_path / name, config).items():
            monkeypatch.setenv(variable, value)
        return Warehouse(Settings.from_env().warehouse)

    return make


def run(instance: DagsterInstance, warehouse: Warehouse, start: date = BEGIN, end: date = END) -> BackfillReport:
    return backfill(instance, warehouse, TABLES, start, end)


@pytest.fixture
def walked(walked_models: Prepared, copy_of: Callable[[Prepared], Platform]) -> Platform:
    """A platform of the test's own whose models were trained, and predicted, by one backfill of all days."""
    platform = copy_of(walked_models)
    platform.env |= settings_of(Path(platform.settings.home))
    platform.activate()
    return platform


def test_a_backfill_is_the_walk_forward(walked: Platform) -> None:
    """Each month is trained on what was known when it began, and its models serve from the next day on."""
    warehouse = walked.warehouse
    trained = warehouse.read(TRAINED_MODELS)
    assert trained.group_by("date").len().sort("date").rows() == [(first, 2) for first in MONTHS[1:]]
    assert set(trained["status"]) == {"trained"}
    assert (trained["trained_until"] < trained["date"].cast(pl.Datetime("us")).dt.replace_time_zone("UTC")).all()
    assert trained["out_of_fold_rank_ic"].min() > 0.05
    assert trained["coins"].unique().to_list() == [len(COINS)]

    predicted = warehouse.read(PREDICTIONS)
    assert predicted["date"].min() == MONTHS[1] + DAY  # the training has the first day
    served = dict(predicted.filter(pl.col("date") == date(2021, 3, 1)).select("model", "trained_until").unique().rows())
    assert all(moment < midnight(MONTHS[1]) for moment in served.values())
    assert (predicted["trained_until"] < predicted["available_at"]).all()
    assert predicted.height == 2 * len(COINS) * 24 * ((END - MONTHS[1]).days)

    found = warehouse.read(SIGNALS)
    assert found.height == predicted.height // 2
    hourly = found.group_by("ts").agg(gross=pl.col("weight").abs().sum(), largest=pl.col("weight").abs().max())
    assert hourly["gross"].max() <= 1 + 1e-9
    assert hourly["largest"].max() <= 0.1 + 1e-9
    counted = found.select(pl.col("strength") == "weak", pl.col("reasons").list.len()).unique().sort("strength")
    assert counted.rows() == [(False, 3), (True, 0)]
    first_named = found["reasons"].list.first().drop_nulls().str.split(" ").list.first()
    assert first_named.value_counts(sort=True)["reasons"][0] == "rsi_14"

    trials = warehouse.read(MODEL_TRIALS)
    assert set(trials["trial_id"]) == set(trained["model_id"])
    again = {table: warehouse.version(table) for table in (*TABLES, "model_trials")}
    assert run(walked.instance, warehouse).ok
    assert {table: warehouse.version(table) for table in again} == again


def test_the_future_reaches_no_prediction(walked_models: Prepared, instance: DagsterInstance, open_home) -> None:
    """Rule 13, at three random instants: all that became known later is deleted, everything is computed again, once in
    another order, and nothing before the instant differs."""
    whole = Warehouse(str(walked_models.home / "warehouse"))
    kept = {table: whole.read(table) for table in TABLES}
    draw = random.Random(20)
    hours = ((END - MONTHS[1]).days - 3) * 24
    for number in range(3):
        at = midnight(MONTHS[1] + DAY * 3) + timedelta(hours=draw.randrange(hours), minutes=30)
        cut, last = open_home(f"cut{number}"), at.date()
        for contract in (PRICES, ML_FEATURES):
            cut.write(contract, whole.read(contract).filter(pl.col("available_at") < at), days(BEGIN, END))
        later_first = ((MONTHS[1] + DAY * 2, last), (MONTHS[1], MONTHS[1] + DAY))
        for first, until in later_first if number == 0 else ((MONTHS[1], last),):
            assert run(instance, cut, first, until).ok
        for table in TABLES:
            frame, found = (rows.filter(pl.col("available_at") < at) for rows in (kept[table], cut.read(table)))
            assert frame.height > 0
            assert found.equals(frame), (table, at)  # to the byte: model ids and hashes of the artefacts are among them


def test_a_file_that_is_altered_or_gone_is_refused_and_the_former_model_serves(walked: Platform) -> None:
    instance, warehouse = walked.instance, walked.warehouse
    trained = warehouse.read(TRAINED_MODELS).filter(pl.col("model") == "ridge").sort("date")
    march, april = (trained.filter(pl.col("date") == first).row(0, named=True) for first in MONTHS[2:])
    path = Path(warehouse.uri) / april["artefact"]
    whole = path.read_text()

    def serving() -> list[str]:
        return warehouse.read(PREDICTIONS, start=END, end=END).filter(model="ridge")["model_id"].unique().to_list()

    scope = Scope(warehouse, Settings.from_env(), BEGIN, END, midnight(END + DAY))
    assert every_measure()["trained_models"]["models_readable"](scope).passed
    for spoil in (lambda: path.write_text(whole.replace("0.", "1.")), path.unlink):
        spoil()
        found = every_measure()["trained_models"]["models_readable"](scope)
        assert (found.passed, found.severity) == (False, "ERROR")
        assert "2021-04" in found.description or "missing" in found.description
        assert "the model of 2021-03 goes on, 36 days old" in found.description
        assert backfill(instance, warehouse, ("predictions",), END, END).ok
        assert serving() == [march["model_id"]]
    assert run(instance, warehouse, MONTHS[3], END).ok  # trained again, with the same bytes
    assert path.read_text() == whole
    assert serving() == [april["model_id"]]


def test_a_training_that_fails_is_registered_and_the_former_model_goes_on(instance: DagsterInstance, open_home) -> None:
    warehouse = open_home("failing")
    market(warehouse)
    assert run(instance, warehouse, BEGIN, date(2021, 3, 5)).ok
    open_home("failing", CONFIG.replace('kind = "ridge"', 'kind = "ridge"\nleast_rows = 1000000'))
    assert run(instance, warehouse, MONTHS[3], END).ok
    row = warehouse.read(TRAINED_MODELS, start=MONTHS[3]).filter(pl.col("model") == "ridge").row(0, named=True)
    assert row["status"] == "failed"
    assert "needs 1000000" in row["reason"]
    served = (
        warehouse.read(PREDICTIONS, start=END, end=END).filter(pl.col("model") == "ridge")["trained_until"].unique()
    )
    assert served[0] < midnight(MONTHS[2])
    scope = Scope(warehouse, Settings.from_env(), BEGIN, END, midnight(END + DAY))
    found = every_measure()["trained_models"]["models_trained"](scope)
    assert not found.passed
    assert "the model of 2021-03 goes on, 36 days old" in found.description
    with pytest.raises(ModelError, match="the model of 2021-03 goes on, 36 days old"):
        operations.trained_in(warehouse, MONTHS[3], midnight(END + DAY))
    trials = warehouse.read(MODEL_TRIALS)
    assert trials.filter(pl.col("status") == "failed").height == 1
    outcome = every_measure()["signals"]["signal_outcomes"](scope)
    assert outcome.numbers["hours"] > 48
    assert outcome.passed, outcome.description


def test_one_training_of_a_month_at_a_time(open_home) -> None:
    open_home("two")
    settings = Settings.from_env()
    refused = pytest.raises(InstanceError, match=r"crypto-assets train runs over .* already \(training of 2021-02\)")
    with operations.alone(settings, MONTHS[1]), operations.alone(settings, MONTHS[2]), refused:
        operations.alone(settings, MONTHS[1]).__enter__()


def test_artefacts_live_in_an_object_store_too(
    instance: DagsterInstance, open_home, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same market in a folder and on S3 gives the same files and predictions; an altered file is refused there too,
    and a backup takes the files with it."""
    begin, end = MONTHS[2], date(2021, 3, 4)
    monkeypatch.setenv("CRYPTO_ASSETS_WAREHOUSE", f"{bucket}/home")
    store = open_home("store", RIDGE)
    market(store)
    assert run(instance, store, begin, end).ok
    row = store.read(TRAINED_MODELS).row(0, named=True)
    text = artefacts.read(store, row["artefact"])
    monkeypatch.delenv("CRYPTO_ASSETS_WAREHOUSE")
    folder = open_home("folder", RIDGE)
    market(folder)
    assert run(instance, folder, begin, end).ok
    assert artefacts.read(folder, row["artefact"]) == text
    assert folder.read(PREDICTIONS).equals(store.read(PREDICTIONS))
    assert store.read(PREDICTIONS).height > 0
    backup = Warehouse(str(tmp_path / "backup"))
    copy_tables(store, backup)
    assert artefacts.read(backup, row["artefact"]) == text
    artefacts.write(store, row["artefact"], text.replace("rsi_14", "rsi_15"))
    scope = Scope(store, Settings.from_env(), BEGIN, END, midnight(END + DAY))
    found = every_measure()["trained_models"]["models_readable"](scope)
    assert not found.passed
    assert "was altered" in found.description and "no former model serves" in found.description


@pytest.mark.parametrize(
    ("coins", "moving", "says"), [(len(COINS), False, "labels are equal"), (3, True, "has 3 coins before 2021-03-01")]
)
def test_labels_that_do_not_vary_and_too_few_coins_are_said_and_registered(
    open_home, coins: int, moving: bool, says: str
) -> None:
    source = open_home("source", RIDGE)
    market(source, last=date(2021, 3, 2))
    target = open_home("target", RIDGE)
    kept = pl.col("symbol").is_in(COINS[:coins])
    prices = source.read(PRICES).filter(kept)
    prices = prices if moving else prices.with_columns(price_usd=pl.lit(100.0))
    stored = days(BEGIN, date(2021, 3, 2))
    target.write(PRICES, prices, stored)
    target.write(ML_FEATURES, source.read(ML_FEATURES).filter(kept), stored)
    features, given = (target.scan(table) for table in ("ml_features", "prices"))
    trainer = Trainer(
        target, configs_of(Settings.from_env()), features, given, lambda line: None, lambda: midnight(END)
    )
    row = trainer.train([MONTHS[2]]).row(0, named=True)
    assert (row["status"], row["artefact"]) == ("failed", None)
    assert says in row["reason"]
    assert set(target.read(MODEL_TRIALS)["status"]) == {"failed"}
