"""Trainings: what they learn, that they repeat to the byte, and that the future does not reach them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crypto_assets.errors import ModelError
from crypto_assets.models import artefact, preparation, training
from crypto_assets.models import config as config_module
from crypto_assets.models.config import ModelConfig
from crypto_assets.models.training import Labelled

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
FEATURES = ["edge", "noise", "return_7d", "empty"]
SMALL = {"trees": 20, "leaves": 7, "least_rows_a_leaf": 20}
KINDS = {"ridge": {}, "lightgbm": SMALL, "lambdarank": SMALL, "barrier": SMALL, "ensemble": SMALL}


def market(hours: int = 400, coins: int = 12, seed: int = 0) -> pl.DataFrame:
    """Make rows whose feature ``edge`` orders the returns, beside noise and a feature that is never known."""
    rng = np.random.default_rng(seed)
    count = hours * coins
    edge = rng.normal(size=count)
    returns = 0.01 * (0.5 * edge + rng.normal(size=count))
    ts = pl.Series([BEGIN + timedelta(hours=hour) for hour in range(hours) for _ in range(coins)])
    return pl.DataFrame(
        {
            "symbol": [f"C{coin:02}" for coin in range(coins)] * hours,
            "ts": ts,
            "available_at": ts + timedelta(minutes=5),
            "label_available_at": ts + timedelta(hours=24, minutes=5),
            "forward_return": returns,
            "barrier": np.sign(np.round(returns * 100)).astype(int),
            "edge": edge,
            "noise": rng.normal(size=count),
            "return_7d": np.where(rng.random(count) < 0.2, np.nan, 0.2 * edge + rng.normal(size=count)),
        },
        schema_overrides={"barrier": pl.Int8, "ts": pl.Datetime("us", "UTC")},
    ).with_columns(pl.lit(None, pl.Float64).alias("empty"))


def config(kind: str, **more: object) -> ModelConfig:
    return ModelConfig(kind, kind, parameters=KINDS.get(kind, {}), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_each_learner_finds_a_planted_edge_out_of_fold(kind: str) -> None:
    labelled = Labelled.of(market(), FEATURES)
    trained = training.train(labelled, config(kind), BEGIN + timedelta(days=16))
    assert trained.artefact.features == ("edge", "noise", "return_7d")  # the empty one is left out
    assert trained.metrics["out_of_fold_rank_ic"] > 0.25
    assert trained.coins == 12
    moved = np.abs(trained.artefact.learner.contributions(trained.artefact.matrix(labelled.rows))).mean(axis=0)
    assert moved.argmax() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_sum_of_contributions_up_to_a_constant(kind: str) -> None:
    if kind in ("barrier",):
        pytest.skip("probabilities are not sums; contributions are those of the raw scores")
    labelled = Labelled.of(market(), FEATURES)
    model = training.train(labelled, config(kind), BEGIN + timedelta(days=16)).artefact
    matrix = model.matrix(labelled.rows.head(240))
    rest = model.learner.score(matrix) - model.learner.contributions(matrix).sum(axis=1)
    assert np.ptp(rest) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_after_changes_nothing(kind: str) -> None:
    """Rule 13: rows whose label is known later, and their absence, give the same artefact to the byte."""
    rows, at = market(), BEGIN + timedelta(days=12, minutes=30)
    whole = training.train(Labelled.of(rows, FEATURES), config(kind), at)
    known = rows.filter(pl.col("label_available_at") < at)
    cut = training.train(Labelled.of(known.sample(fraction=1, shuffle=True, seed=1), FEATURES), config(kind), at)
    assert cut.artefact.text() == whole.artefact.text()
    assert datetime.fromisoformat(whole.artefact.trained_until) < at
    later = rows.with_columns(
        pl.when(pl.col("label_available_at") < at).then(pl.col("forward_return")).otherwise(0.5).alias("forward_return")
    )
    assert training.train(Labelled.of(later, FEATURES), config(kind), at).artefact.sha256 == whole.artefact.sha256


def test_another_process_trains_the_same_bytes(tmp_path: Path) -> None:
    rows, at = market(), BEGIN + timedelta(days=12)
    rows.write_parquet(tmp_path / "rows.parquet")
    program = (
        "import sys, datetime, polars as pl\n"
        "from crypto_assets.models import training\n"
        "from crypto_assets.models.config import ModelConfig\n"
        "rows = pl.read_parquet(sys.argv[1])\n"
        f"config = ModelConfig('ensemble', 'ensemble', parameters={SMALL!r})\n"
        f"at = datetime.datetime.fromisoformat({at.isoformat()!r})\n"
        f"print(training.train(training.Labelled.of(rows, {FEATURES!r}), config, at).artefact.sha256)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "rows.parquet"], capture_output=True, text=True, check=True
    )
    here = training.train(Labelled.of(rows, FEATURES), config("ensemble"), at)
    assert out.stdout.strip() == here.artefact.sha256


@pytest.mark.parametrize("kind", [*KINDS, "momentum"])
def test_an_artefact_reads_back_and_an_altered_one_is_refused(kind: str) -> None:
    labelled = Labelled.of(market(), FEATURES)
    stored = training.train(labelled, config(kind), BEGIN + timedelta(days=16)).artefact
    back = artefact.read(stored.text(), stored.sha256)
    matrix = stored.matrix(labelled.rows)
    np.testing.assert_array_equal(back.learner.score(matrix), stored.learner.score(matrix))
    assert back.text() == stored.text()
    with pytest.raises(ModelError, match="it was altered; train the month again"):
        artefact.read(stored.text().replace("edge", "edgy").replace("return_7d", "return_8d"), stored.sha256)


def test_an_artefact_of_another_version_is_refused() -> None:
    text = training.train(Labelled.of(market(), FEATURES), config("ridge"), BEGIN + timedelta(days=16)).artefact.text()
    other = text.replace('"format": 1', '"format": 3')
    with pytest.raises(ModelError, match="has format 3 and this version reads 1 and 2: train the month again"):
        artefact.read(other, hashlib.sha256(other.encode()).hexdigest())


def turning(hours: int = 400) -> pl.DataFrame:
    """Make a market in which ``edge`` orders the returns upwards in one regime, which all coins share, and downwards else."""
    rows = market(hours)
    sign = np.repeat(np.where(np.arange(hours) // 10 % 2 == 0, 1.0, -1.0), rows.height // hours)
    noise = 0.01 * np.random.default_rng(1).normal(size=rows.height)
    returns = 0.02 * rows["edge"].to_numpy() * sign + noise
    return rows.with_columns(forward_return=pl.Series(returns), regime=pl.Series(3 + sign))


@pytest.mark.parametrize("kind", config_module.TREES)
def test_trees_condition_on_what_all_coins_share(kind: str) -> None:
    names, at = [*FEATURES, "regime"], BEGIN + timedelta(days=16)
    rows = turning().with_columns(barrier=pl.col("forward_return").sign().cast(pl.Int8))
    labelled = Labelled.of(rows, names, ["regime"])
    read = config(kind, market_days=0)
    trained = training.train(labelled, read, at)
    assert trained.artefact.shared == ("regime",) and "regime" in trained.artefact.features
    assert trained.metrics["out_of_fold_rank_ic"] > 0.3
    without = training.train(labelled, config(kind, market_features=False), at)
    assert "regime" not in without.artefact.features
    assert (
        without.artefact.learner == training.train(labelled, config(kind), at).artefact.learner
    )  # 16 days are too few
    assert without.metrics["out_of_fold_rank_ic"] < 0.1
    back = artefact.read(trained.artefact.text(), trained.artefact.sha256)
    some = rows.sort("ts", "symbol").head(240)
    np.testing.assert_array_equal(
        back.learner.score(back.matrix(some)), trained.artefact.learner.score(labelled.only(back.features).matrix[:240])
    )
    known = Labelled.of(rows.filter(pl.col("label_available_at") < at), names, ["regime"])
    assert training.train(known, read, at).artefact.text() == trained.artefact.text()


@pytest.mark.parametrize("kind", ["ridge", "ensemble"])
def test_others_are_the_same_with_and_without_what_all_coins_share(kind: str) -> None:
    at = BEGIN + timedelta(days=16)
    plain = training.train(Labelled.of(turning(), FEATURES), config(kind), at)
    offered = training.train(Labelled.of(turning(), [*FEATURES, "regime"], ["regime"]), config(kind), at)
    assert offered.artefact.text() == plain.artefact.text()
    assert config(kind).digest == config(kind, market_features=False).digest


def test_ranks_are_of_the_hour_and_ties_share_them() -> None:
    rows = pl.DataFrame({"ts": [1, 1, 1, 1, 2, 2], "x": [5.0, 5.0, 1.0, None, 9.0, float("nan")]})
    found = preparation.ranked(rows, ["x"])[:, 0]
    np.testing.assert_allclose(found[[0, 1, 2, 4]], [1 / 6, 1 / 6, -1 / 3, 0], atol=1e-7)
    assert np.isnan(found[[3, 5]]).all()


def test_limits_come_from_training_rows_only() -> None:
    past = np.arange(200, dtype=np.float32)[:, None]
    scaling = preparation.Scaling.fit(past)
    future = np.array([[1e9], [np.nan]], np.float32)
    found = scaling.apply(future)
    assert found[0, 0] == scaling.apply(np.array([[200]], np.float32))[0, 0]
    assert np.isnan(found[1, 0])


@pytest.mark.parametrize(
    ("rows", "settings", "says"),
    [
        (market(hours=40), {}, "0 labelled rows before .* needs 1000"),
        (market(coins=3), {}, "3 coins .* needs 5"),
        (market().with_columns(forward_return=pl.lit(0.01)), {}, "labels are equal"),
        (market().with_columns(edge=None, noise=None, return_7d=None), {}, "no feature is known in 50%"),
    ],
)
def test_what_cannot_be_learnt_is_refused(rows: pl.DataFrame, settings: dict[str, object], says: str) -> None:
    at = BEGIN + timedelta(days=1 if rows.height < 500 else 16)
    with pytest.raises(ModelError, match=says):
        training.train(Labelled.of(rows, FEATURES), config("ridge", **settings), at)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": "a", "kind": "lightgmb"}, "did you mean 'lightgbm'"),
        ({"name": "a", "kind": "ridge", "parameters": {"penalt": 1}}, "did you mean 'penalty'"),
        ({"name": "a", "kind": "ridge", "horizon": 3}, "did you mean 'horizon_hours'"),
        ({"name": "a"}, "incomplete"),
        ({"name": "a", "kind": "ridge", "horizon_hours": 0}, "a horizon is one hour or more"),
    ],
)
def test_a_typo_in_a_configuration_names_what_was_meant(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        ModelConfig.parse(settings)


def test_a_digest_names_all_settings_and_nothing_else() -> None:
    plain = ModelConfig("a", "ridge")
    assert plain.digest == ModelConfig("a", "ridge", parameters={"penalty": 0.01}).digest
    assert plain.digest != ModelConfig("a", "ridge", parameters={"penalty": 0.02}).digest
    assert plain.digest != ModelConfig("a", "ridge", embargo_hours=1).digest
