"""Tables of trained models, what they predict, the signals that follow, and every trial that was ever made."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from crypto_assets.tables.contract import TEXTS, TIMESTAMP, Column, Contract, WriteMode
from crypto_assets.tables.ml import CHUNK_ROWS
from crypto_assets.tables.operations import OWN_RECORD
from crypto_assets.tables.pit_quality import WorstOfInputs
from crypto_assets.tables.prices import EVERY_COIN_HOURLY
from crypto_assets.tables.shared_columns import available_at, day, key, source, symbol, ts, value
from crypto_assets.tables.spec import (
    NO_HISTORY,
    OWNER,
    Cadence,
    Chunk,
    DaysWithRows,
    DerivedFrom,
    Freshness,
    NothingDue,
    ScoresOf,
    TableSpec,
    When,
    WrittenAlongside,
)

TRAINED, FAILED, STARTED = "trained", "failed", "started"
STRENGTHS = WEAK, MEDIUM, STRONG = ("weak", "medium", "strong")
SERVES_AFTER = timedelta(days=1)  # from the month's beginning: the time that a training has, live as in a backfill
LONGEST_WINDOW_DAYS = 1098  # three years: what a training may look back on; its configuration may say less
SERVES_DAYS = 366  # a model that is older than this predicts nothing any more
DAMPED_DAYS = 2  # whose target weights enter a signal

_MONTH = "the second day of the month, 00:00: a training has the first day, live as in a backfill"
_RANK_IC = "mean over the hours of the rank correlation of score and forward return"


def _count(name: str, unit: str, description: str) -> Column:
    return Column(name, pl.Int64, unit, description, nullable=False, lower=0)


def _metrics(where: str = "") -> tuple[Column, ...]:
    return (
        value("in_sample_rank_ic", "-1 to 1", f"Of the training rows: {_RANK_IC}.{where}", lower=-1, upper=1),
        value("out_of_fold_rank_ic", "-1 to 1", "Of the window's newest quarter, by a model of the rest: the same.", lower=-1, upper=1),
        value("out_of_fold_error", "-1 to 1", "Newey-West standard error of out_of_fold_rank_ic.", lower=0),
        value("out_of_fold_sharpe", "ratio a horizon", "Mean ÷ standard deviation of the return of the best fifth less that of the worst fifth, before costs, over horizons that do not overlap."),
    )  # fmt: skip


TRAINED_MODELS = Contract(
    table="trained_models",
    description="One row for each training: every configured model, once a month, on what was known when the month began. A "
    "training that failed has a row too, with the reason; then the former model goes on.",
    grain="model x month",
    key=("model_id", "date"),
    columns=(
        key("model_id", "Hash of configuration, code version, features and training rows; of a failed training of its reason."),
        day(),
        available_at(_MONTH),
        source(),
        key("model", "Name of the model in its configuration."),
        key("kind", "What learns: ridge, lightgbm, lambdarank, barrier, ensemble, or a rule of one feature."),
        Column("status", pl.String, "name", "Whether the training gave a model.", nullable=False, allowed=(TRAINED, FAILED)),
        Column("reason", pl.String, "text", "Why it failed; null for a model."),
        key("config_hash", "SHA-256 of the configuration, defaults included."),
        key("config", "The configuration as JSON."),
        key("code_version", "Version of the code that trains: another one gives other models."),
        Column("train_start", TIMESTAMP, "UTC", "First decision among the training rows."),
        Column("trained_until", TIMESTAMP, "UTC", "Newest label_available_at among the training rows."),
        _count("rows", "rows", "Training rows."),
        _count("coins", "coins", "Distinct coins among them."),
        Column("features", TEXTS, "names", "Features that the model reads: columns of ml_features, and market_median_*, market_spread_* and market_rising_24h, which are made of them.", nullable=False),
        Column("rows_hash", pl.String, "SHA-256", "Hash of the training rows by content."),
        Column("artefact", pl.String, "place", "File of the model below the warehouse's root; null where there is none."),
        Column("artefact_sha256", pl.String, "SHA-256", "Hash of that file; a file with another one is refused."),
        *_metrics(),
        Column("metrics", pl.String, "JSON", "All figures of the training."),
    ),
    available_at_rule=_MONTH,
    pit_quality=WorstOfInputs(by=None),
    reference="trained by this platform; docs/models.md",
    time_column=None,
    before=(("trained_until", "available_at"),),
)  # fmt: skip

MODEL_TRIALS = Contract(
    table="model_trials",
    description="Every training that was ever tried, also those that failed or were replaced since. Their number says how much "
    "luck the best of them may have had (deflated Sharpe ratio).",
    grain="trial",
    key=("trial_id", "date"),
    columns=(
        key("trial_id", "model_id of the training."),
        day(),
        available_at("when the trial was first made"),
        source(),
        key("model", "Name of the model."),
        key("kind", "What learns."),
        key("config_hash", "SHA-256 of the configuration."),
        Column("status", pl.String, "name", "How it ended; started: it was abandoned, or goes on.", nullable=False, allowed=(TRAINED, FAILED, STARTED)),
        Column("reason", pl.String, "text", "Why it failed."),
        *_metrics(),
    ),
    available_at_rule="when the trial was first made",
    pit_quality=OWN_RECORD,
    write_mode=WriteMode.MERGE,
    keeps=("available_at",),
    reference="recorded by this platform when it trains",
    time_column=None,
)  # fmt: skip

_DECIDED = "ts + 5 minutes: that of the features"

PREDICTIONS = Contract(
    table="predictions",
    description="What each model expects of each coin in each hour: its score and rank. The model is the newest one that "
    "could be known at the hour, in a backfill as live.",
    grain="coin x hour x model",
    key=("symbol", "ts", "model"),
    columns=(
        symbol(),
        ts("Hour mark of the features row."),
        key("model", "Name of the model."),
        day(),
        available_at(_DECIDED),
        source(),
        value("score", "the model's own", "Higher: a higher return is expected than that of the other coins.", nullable=False),
        value("rank", "fraction", "Place of the score among the coins of the hour, from above 0 (lowest) to below 1.", nullable=False, above=0, upper=1),
        key("model_id", "The trained model."),
        Column("trained_until", TIMESTAMP, "UTC", "Newest label that the model was trained on; before available_at.", nullable=False),
    ),
    available_at_rule=_DECIDED,
    pit_quality=WorstOfInputs(by="symbol"),
    reference="computed by this platform; docs/models.md",
    before=(("trained_until", "available_at"),),
)  # fmt: skip

SIGNALS = Contract(
    table="signals",
    description="Target weight of each coin in each hour, by the rule in docs/models.md: coins of the highest and lowest "
    "scores, inverse to their volatility, damped over 48 hours, within caps. No order is placed, and no advice is given.",
    grain="coin x hour",
    key=("symbol", "ts"),
    columns=(
        symbol(),
        ts("Hour mark of the prediction."),
        day(),
        available_at(_DECIDED),
        source(),
        value("weight", "fraction of the capital", "Target weight; negative: sold short.", nullable=False, lower=-1, upper=1),
        Column("strength", pl.String, "name", "Size of the weight against the cap of one coin: strong from 2/3, medium from 1/3.", nullable=False, allowed=STRENGTHS),
        key("model", "Model whose scores were used: of those that serve, the one with the best out_of_fold_rank_ic."),
        key("model_id", "The trained model."),
        Column("trained_until", TIMESTAMP, "UTC", "Newest label that the model was trained on.", nullable=False),
        value("score", "the model's own", "Score of the hour.", nullable=False),
        value("rank", "fraction", "Place of the score among the coins of the hour.", nullable=False, above=0, upper=1),
        Column("reasons", TEXTS, "feature and effect", "The three features that moved the score most, each with its effect on it; empty where the signal is weak.", nullable=False),
    ),
    available_at_rule=_DECIDED,
    pit_quality=WorstOfInputs(by="symbol"),
    reference="computed by this platform; docs/models.md",
    before=(("trained_until", "available_at"),),
)  # fmt: skip

_TICKS = frozenset({When.TICK, When.SETTLE, When.NOON})

SPECS = (
    TableSpec(
        contract=TRAINED_MODELS,
        group="models",
        kinds=frozenset({"lightgbm"}),
        owner=OWNER,
        rows_from=DerivedFrom(
            inputs={"ml_features": LONGEST_WINDOW_DAYS, "prices": LONGEST_WINDOW_DAYS},
            required=("ml_features",),
            dry_run=False,
            columns={"rows": ("ml_features.ts",), "trained_until": ("prices.available_at",)},
            pool="training",
            cadence=Cadence.MONTH,
            history=NO_HISTORY,
        ),
        when=frozenset({When.MONTH}),
        freshness=Freshness(warn_after=timedelta(days=33), late_after=timedelta(days=34), by_coin=False),
        expected=DaysWithRows(note="months with at least one training count, also where it failed"),
        chunk=Chunk(days=None, hourly_rows=None),
        read_by_features=None,
        own_pod_from_days=1,  # it takes gigabytes of memory
        demo_warm_up=False,
    ),
    TableSpec(
        contract=PREDICTIONS,
        group="models",
        kinds=frozenset({"lightgbm"}),
        owner=OWNER,
        rows_from=DerivedFrom(
            inputs={"ml_features": 0, "trained_models": SERVES_DAYS},
            required=("ml_features",),
            dry_run=False,
            columns={
                "ts": ("ml_features.ts",),
                "score": ("trained_models.artefact_sha256",),  # and whichever features the model was trained on
                "model_id": ("trained_models.model_id",),
                "trained_until": ("trained_models.trained_until",),
            },
            history=NO_HISTORY,
        ),
        when=_TICKS,
        freshness=EVERY_COIN_HOURLY,
        expected=ScoresOf(table="ml_features", models="model"),
        chunk=Chunk(days=None, hourly_rows=CHUNK_ROWS),
        read_by_features=None,
        own_pod_from_days=180,
        demo_warm_up=False,
    ),
    TableSpec(
        contract=SIGNALS,
        group="models",
        kinds=frozenset({"lightgbm"}),
        owner=OWNER,
        rows_from=DerivedFrom(
            inputs={"predictions": DAMPED_DAYS, "ml_features": DAMPED_DAYS},  # predictions name their trained model
            required=("predictions",),
            dry_run=False,
            columns={
                "weight": ("predictions.score", "ml_features.volatility_7d"),
                "model_id": ("predictions.model_id",),
            },
            history=NO_HISTORY,
        ),
        when=_TICKS,
        freshness=EVERY_COIN_HOURLY,
        expected=ScoresOf(table="ml_features", models=None),
        chunk=Chunk(days=None, hourly_rows=CHUNK_ROWS),
        read_by_features=None,
        own_pod_from_days=180,
        demo_warm_up=False,
    ),
    TableSpec(
        contract=MODEL_TRIALS,
        group="models",
        kinds=frozenset({"deltalake"}),
        owner=OWNER,
        rows_from=WrittenAlongside(),
        when=frozenset(),
        freshness=None,
        expected=NothingDue(),
        chunk=None,
        read_by_features=None,
        own_pod_from_days=None,
        demo_warm_up=False,
    ),
)
