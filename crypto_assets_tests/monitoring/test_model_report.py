"""The model report on a market in which one feature orders what follows: figures, page, proofs, drift and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import dagster as dg
import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner

from crypto_assets.assets.models import Trainer, configs_of, shelf_of, spans
from crypto_assets.assets.providers import Providers
from crypto_assets.checks import model_drift
from crypto_assets.checks.outcome import Scope
from crypto_assets.cli.main import cli
from crypto_assets.dates import DAY, days
from crypto_assets.errors import ModelError
from crypto_assets.models import serving
from crypto_assets.monitoring import model_page, model_proofs, model_quality, model_report
from crypto_assets.monitoring.model_proofs import NAMES, Proof
from crypto_assets.monitoring.model_quality import GENERATED, ModelQuality
from crypto_assets.monitoring.watch.model_drift import drifting_models
from crypto_assets.settings import Settings
from crypto_assets.storage.warehouse import Warehouse
from crypto_assets.tables.schemas import ML_FEATURES, PREDICTIONS, PRICES, TRAINED_MODELS
from crypto_assets_tests.model_market import BEGIN, COINS, CONFIG, END, MONTHS, market

NOW = datetime(2021, 4, 20, tzinfo=timezone.utc)
START = date(2021, 2, 2)  # the first day that a model serves


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with three months of trainings and their predictions, written as the assets write them."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "models.toml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "HOME": folder, "COINS": ",".join(COINS), "MODELS": folder / "models.toml", "START": BEGIN
        }.items():  # fmt: skip
            patch.setenv(f"CRYPTO_ASSETS_{name}", str(value))
        settings = Settings.from_env()
        warehouse = Warehouse(settings.warehouse)
        market(warehouse)
        features, prices = warehouse.scan("ml_features"), warehouse.scan("prices")
        trainer = Trainer(warehouse, configs_of(settings), features, prices, lambda line: None, lambda: NOW)
        trained = trainer.train(MONTHS).with_columns(pit_quality=pl.lit("final"))
        warehouse.write(TRAINED_MODELS, trained, MONTHS)
        rows = [
            serving.predict(warehouse.read("ml_features", start=first, end=last), served)
            for first, last, served in spans(shelf_of(warehouse, trained), START, END)
        ]
        predicted = PREDICTIONS.conform(pl.concat(rows)).with_columns(pit_quality=pl.lit("final"))
        warehouse.write(PREDICTIONS, predicted, days(START, END))
        yield folder


@pytest.fixture
def warehouse(home: Path) -> Warehouse:
    return Warehouse(Settings.from_env().warehouse)


@pytest.fixture(scope="module")
def found(home: Path) -> ModelQuality:
    settings = Settings.from_env()
    return model_quality.gather(Warehouse(settings.warehouse), settings, START, END, NOW)


@pytest.fixture(scope="module")
def proved(home: Path, found: ModelQuality) -> list[Proof]:
    return list(model_proofs.prove(Warehouse(Settings.from_env().warehouse), found, NOW))


def test_the_rank_ic_is_that_of_pandas_on_exported_predictions(warehouse: Warehouse, found: ModelQuality) -> None:
    prices = warehouse.read("prices").to_pandas().pivot(index="ts", columns="symbol", values="price_usd")
    forward = prices.shift(-24, freq=None) / prices - 1
    for one in found.comparison.models:
        rows = warehouse.read("predictions").filter(pl.col("model") == one.name).to_pandas()
        scores = rows.pivot(index="ts", columns="symbol", values="score")
        outcomes = forward.reindex(scores.index)
        both = scores.notna() & outcomes.notna()
        hourly = scores.where(both).rank(axis=1).corrwith(outcomes.where(both).rank(axis=1), axis=1)
        expected = hourly.groupby(pd.DatetimeIndex(hourly.index).date).mean().dropna()
        daily = dict(one.by_day.select("date", "rank_ic").rows())
        assert set(daily) == set(expected.index)
        assert max(abs(daily[day] - value) for day, value in expected.items()) < 1e-9
        assert one.figures["rank_ic"] == pytest.approx(hourly.mean(), abs=1e-9)
        assert one.figures["rank_ic"] > 0.05


def test_models_stand_beside_every_rule_and_all_trials_count(warehouse: Warehouse, found: ModelQuality) -> None:
    judged = found.comparison
    assert [one.name for one in judged.models] == ["ridge", "trees"]
    names = [one.name for one in judged.features]
    assert names[:4] == ["momentum", "reversal", "low_volatility", "low_beta"]
    assert names[4:] == ["rsi_14 in hindsight"]
    assert judged.trials == warehouse.read("model_trials")["trial_id"].n_unique() + 5
    assert {one.figures["days"] for one in (*judged.models, *judged.features)} == {float((END - START).days + 1)}
    assert judged.overfitting is not None
    assert not found.generated
    assert found.coefficients["feature"][0] == "rsi_14"


def test_every_proof_is_carried_out_and_holds_on_an_honest_market(proved: list[Proof]) -> None:
    assert tuple(proof.name for proof in proved) == NAMES == tuple(model_report.PROOFS)
    by_name = {proof.name: proof for proof in proved}
    for name in ("shuffled_labels", "planted_leak", "truncation", "known_in_time", "no_suspect_feature"):
        assert by_name[name].holds, by_name[name].sentence
    assert by_name["planted_leak"].numbers == {"named": 10, "planted": 10}
    assert by_name["shuffled_labels"].numbers["inside"] >= 17


def test_a_feature_that_holds_the_future_is_named(warehouse: Warehouse, found: ModelQuality) -> None:
    leak = pl.DataFrame({"feature": ["rsi_14"], "samples": [60], "rank_ic": [0.6], "t": [20.0]})
    suspicious = replace(found, coefficients=leak, suspects=("rsi_14",))
    proof = model_proofs.prove(warehouse, replace(suspicious, trainings=found.trainings.clear()), NOW)
    assert [(one.name, one.holds) for one in proof][4] == ("no_suspect_feature", False)


def test_the_page_says_in_red_that_a_rule_does_as_well(found: ModelQuality, proved: list[Proof]) -> None:
    verdicts = found.comparison.verdicts
    for beats, state in ((False, "bad"), (True, "good")):
        said = tuple(replace(one, beats=beats, sentence=f"{one.model} <b>against</b> the rule") for one in verdicts)
        page = model_page.render(replace(found, comparison=replace(found.comparison, verdicts=said)), proved, [])
        assert (f'<span class="{state}">' in page) and ("A one-line rule does as well" in page) == (not beats)
        assert "<b>against</b>" not in page
        assert GENERATED not in page and "delisted later" in page
    assert GENERATED in model_page.render(replace(found, generated=True), proved, [])


def test_the_asset_writes_the_page_its_figures_and_its_checks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_proofs, "SEEDS", 3)
    monkeypatch.setattr(model_proofs, "LEAST_INSIDE", 2)
    done = dg.materialize(
        [*model_report.ASSETS, *_sources()], resources={"providers": Providers()}, selection=["model_report"]
    )
    (event,) = done.asset_materializations_for_node("model_report")
    assert event.metadata["rank_ic/ridge"].value > 0.05
    assert event.metadata["trials"].value >= 8
    checks = {one.check_name: one for one in done.get_asset_check_evaluations()}
    assert set(checks) == set(model_report.PROOFS)
    page = model_report.path_of(Settings.from_env()).read_text()
    assert page.count("<svg") >= 3 and "prefers-color-scheme:dark" in page and "<script" not in page


def test_proofs_are_carried_out_again_when_what_they_rest_on_changed(
    warehouse: Warehouse, found: ModelQuality, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    shuffle = model_proofs.proofs.shuffled_labels
    monkeypatch.setattr(model_proofs, "SEEDS", 3)
    monkeypatch.setattr(
        model_proofs.proofs, "shuffled_labels", lambda *given: trained.append("again") or shuffle(*given)
    )

    def prove(later: int, one: ModelQuality = found) -> list[Proof]:
        return list(model_proofs.prove(warehouse, one, NOW + timedelta(days=later), file))

    file = tmp_path / "proofs.json"
    first, second = prove(0), prove(1)
    assert first == second and len(trained) == 1
    assert {proof.carried_out_at for proof in second[:3]} == {NOW.isoformat()}
    assert {proof.carried_out_at for proof in second[3:]} == {None}, "these cost nothing"

    file.write_text(file.read_text()[:100])
    assert [one.sentence for one in prove(2)] == [one.sentence for one in first] and len(trained) == 2
    other = replace(found, trainings=found.trainings.with_columns(train_start=pl.lit(NOW)))
    prove(3, other)
    assert len(trained) == 3
    day = date(2021, 3, 15)
    rows = warehouse.read("prices", start=day, end=day)
    try:
        warehouse.write(PRICES, rows.with_columns(price_usd=pl.col("price_usd") * 1.001), [day])
        assert {one.carried_out_at for one in prove(4, other)[:3]} == {(NOW + timedelta(days=4)).isoformat()}
        assert len(trained) == 4
    finally:
        warehouse.write(PRICES, rows, [day])


def _sources() -> list[dg.AssetSpec]:
    return [dg.AssetSpec(name) for name in ("predictions", "trained_models")]


def test_nothing_to_judge_is_said_and_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPTO_ASSETS_HOME", str(tmp_path))
    settings = Settings.from_env()
    written = model_report.write(settings, NOW)
    assert written.found is None and "no predictions yet" in written.why and not written.path.exists()
    with pytest.raises(ModelError, match="there are no predictions from 2021-02-02 to 2021-04-05: train models"):
        model_quality.gather(Warehouse(settings.warehouse), settings, START, END, NOW)


def test_the_command_prints_the_same_figures(home: Path, found: ModelQuality) -> None:
    run = CliRunner().invoke(cli, ["evaluate", "--start", str(START), "--end", str(END), "--json"])
    assert run.exit_code == 0, run.output
    document = json.loads(run.stdout)
    ridge = document["models"]["ridge"]
    assert ridge["rank_ic"] == pytest.approx(found.comparison.models[0].figures["rank_ic"], abs=1e-12)
    assert [row["date"] for row in ridge["by_day"]] == [str(day) for day in found.comparison.models[0].by_day["date"]]
    assert document["method"]["ridge"]["costs"]["fee"] == 0.0005
    page = home / "page.html"
    table = CliRunner().invoke(cli, ["evaluate", "--start", str(START), "--end", str(END), "--page", str(page)])
    assert "best single feature" in page.read_text() and "shuffled_labels" in table.stdout
    assert table.exit_code == 0 and "equal-weight hold" in table.stdout and "best single feature" in table.stdout
    assert "delisted" in table.stderr


def test_drift_is_quiet_on_the_market_of_the_training(warehouse: Warehouse) -> None:
    calm = model_drift.drift_of(warehouse, END, NOW)
    assert [one.model for one in calm] == ["ridge", "trees"]
    assert all(one.trouble is None and one.scored == 1.0 and not one.moved for one in calm)
    scope = Scope(warehouse, Settings.from_env(), END, END, NOW)
    for measure in model_drift.MEASURES["predictions"].values():
        outcome = measure(scope)
        assert outcome.passed and outcome.numbers, outcome.description
    assert [seen.trouble for seen in drifting_models(warehouse, NOW)] == [None, None]


def test_what_all_coins_share_is_read_by_trees_and_its_move_is_said_and_not_judged(
    warehouse: Warehouse, found: ModelQuality
) -> None:
    trained = warehouse.read("trained_models").select(
        "model", "date", mood=pl.col("features").list.contains("fear_greed_index")
    )
    assert trained.filter("mood").select("model", "date").rows() == [("trees", MONTHS[-1])]  # 60 days are there then
    ridge, trees = model_drift.drift_of(warehouse, END, NOW)
    assert (ridge.market_moved, trees.market_moved) == ([], ["fear_greed_index"])
    outcome = model_drift.MEASURES["predictions"]["inputs_stable"](Scope(warehouse, Settings.from_env(), END, END, NOW))
    assert outcome.passed
    assert outcome.numbers["market_features_moved/trees"] == 1 and outcome.numbers["features_moved/trees"] == 0
    assert outcome.numbers["largest_market_stability_index/trees"] > 1
    # It orders no coins, so the search for leaks has no sample of it.
    alone = found.coefficients.filter(feature="fear_greed_index").row(0, named=True)
    assert (alone["samples"], alone["rank_ic"]) == (0, None)


def test_a_lost_feature_turned_scores_and_unscored_coins_are_named(warehouse: Warehouse) -> None:
    recent = days(END - DAY * 6, END)
    features = warehouse.read("ml_features", start=recent[0], end=END)
    predicted = warehouse.read("predictions", start=END - DAY * 29, end=END)
    scope = Scope(warehouse, Settings.from_env(), END, END, NOW)
    measures = model_drift.MEASURES["predictions"]
    try:
        warehouse.write(ML_FEATURES, features.with_columns(rsi_14=pl.lit(None, pl.Float64)), recent)
        lost = measures["inputs_stable"](scope)
        assert not lost.passed and "rsi_14" in lost.description
        at = datetime.combine(END, NOW.time(), timezone.utc)
        assert any("rsi_14" in str(seen.trouble) for seen in drifting_models(warehouse, at))
        assert [seen.trouble for seen in drifting_models(warehouse, at, demo=True)] == [None, None]
        warehouse.write(ML_FEATURES, features, recent)
        turned = predicted.with_columns(score=-pl.col("score")).filter(pl.col("symbol") != "BTC")
        warehouse.write(PREDICTIONS, turned, days(END - DAY * 29, END))
        band, scored = measures["rank_ic_in_band"](scope), measures["universe_scored"](scope)
        assert not band.passed and "below the band" in band.description
        assert not scored.passed and "87.5%" in scored.description
        (first, *_) = drifting_models(warehouse, NOW)
        assert first.subject == "ridge" and "below the band" in str(first.trouble)
    finally:
        warehouse.write(ML_FEATURES, features, recent)
        warehouse.write(PREDICTIONS, predicted, days(END - DAY * 29, END))


def test_no_day_of_predictions_is_no_drift(tmp_path: Path) -> None:
    empty = Warehouse(str(tmp_path))
    assert model_drift.drift_of(empty, END, NOW) == []
    outcome = model_drift.universe_scored(Scope(empty, Settings.from_env(), END, END, NOW))
    assert outcome.passed and outcome.description.startswith("0 model(s)")
