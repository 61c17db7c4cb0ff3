"""Assets of the group ``models``: trainings by month, predictions and signals by hour."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from crypto_assets.assets import derived, shell
from crypto_assets.assets.model_rows import features_of, labelled_rows
from crypto_assets.assets.providers import Providers
from crypto_assets.dates import DAY, days, midnight, months
from crypto_assets.errors import CryptoAssetsError, ModelError
from crypto_assets.models import serving, signals, training
from crypto_assets.models.artefact import CODE_VERSION
from crypto_assets.models.config import DEFAULT_MODELS, DEMO_MODELS, ModelConfig, digest, parse_models
from crypto_assets.models.market_state import columns_of
from crypto_assets.models.portfolio import WeightRule
from crypto_assets.models.training import Labelled, Prepared, Training
from crypto_assets.settings import Settings
from crypto_assets.storage import artefacts
from crypto_assets.storage.warehouse import Warehouse, of_settings
from crypto_assets.tables.derived_source import derived_source
from crypto_assets.tables.models import (
    DAMPED_DAYS,
    FAILED,
    LONGEST_WINDOW_DAYS,
    MODEL_TRIALS,
    PREDICTIONS,
    SERVES_AFTER,
    SERVES_DAYS,
    SIGNALS,
    STARTED,
    TRAINED,
    TRAINED_MODELS,
    WEAK,
)
from crypto_assets.tables.pit_quality import PIT_QUALITY

METRICS = ("in_sample_rank_ic", "out_of_fold_rank_ic", "out_of_fold_error", "out_of_fold_sharpe")
RULE = WeightRule()
READ_WHOLE = {"trained_models", "predictions"}
LAZY = dg.PythonObjectDagsterType(pl.LazyFrame, name="PolarsLazyFrame")
Row = dict[str, Any]


def configs_of(settings: Settings) -> tuple[ModelConfig, ...]:
    """Return the models to train: those of the file that ``CRYPTO_ASSETS_MODELS`` names, else ridge and LightGBM.

    In a demo's home both are small.

    Args:
        settings: names the file.

    Raises:
        ModelError: the file cannot be read, or a setting is wrong.
    """
    if settings.models is None:
        return DEFAULT_MODELS if settings.demo is None else DEMO_MODELS
    try:
        text = Path(settings.models).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"CRYPTO_ASSETS_MODELS {settings.models} cannot be read ({error}): name a TOML file, or unset it"
        ) from error
    return parse_models(text, str(settings.models))


def _inputs(table: str) -> Mapping[str, dg.AssetIn]:
    """Return the inputs: large tables as plans, from which an asset reads the columns that it needs."""
    return {
        name: given._replace(dagster_type=derived.TYPES[pl.DataFrame] if name in READ_WHOLE else LAZY)
        for name, given in shell.inputs_of(table).items()
    }


@dg.asset(**shell.asset_kwargs("trained_models"), ins=_inputs("trained_models"))
def trained_models(
    context: dg.AssetExecutionContext, providers: Providers, ml_features: pl.LazyFrame, prices: pl.LazyFrame
) -> pl.DataFrame:
    """Train each configured model for the months of the run, on what was known when each month began."""
    first, last = shell.days_of(context)
    settings = providers.settings()
    trainer = Trainer(of_settings(settings), configs_of(settings), ml_features, prices, context.log.info, providers.now)
    rows = trainer.train(months(first, last))
    context.log_event(dg.AssetMaterialization(MODEL_TRIALS.table, metadata={"trained": rows.height}))
    context.add_output_metadata({"delta_versions_of_run": dg.MetadataValue.json(trainer.versions())})
    quality = {
        name: frame.select("date", "available_at", PIT_QUALITY).collect()
        for name, frame in (("ml_features", ml_features), ("prices", prices))
    }
    return shell.with_worst("trained_models", rows, quality)


@dataclass
class Trainer:
    """Trains the models of neighbouring months, whose windows share most of their rows.

    Attributes:
        warehouse: keeps the artefacts and the record of trials.
        configs: the models.
        features: rows of ``ml_features``.
        prices: rows of ``prices``.
        say: writes one line to the run's log.
        now: the current instant, UTC.
    """

    warehouse: Warehouse
    configs: tuple[ModelConfig, ...]
    features: pl.LazyFrame
    prices: pl.LazyFrame
    say: Any
    now: Any

    def train(self, firsts: list[date]) -> pl.DataFrame:
        """Train every model of these months.

        Args:
            firsts: first days of the months.

        Returns:
            Rows of ``trained_models``; none of a month before which there is no row of features.
        """
        stored = self.features.filter(pl.col("date") < max(firsts)).select(
            pl.col("date").min().alias("first"), pl.col("source").unique().implode()
        )
        begin, sources = stored.collect().row(0)
        firsts = [first for first in firsts if begin is not None and begin < first]
        source = derived_source(pl.DataFrame({"source": sources or []}))
        rows = [row for group in _by_horizon(self.configs) for row in self._group(group, firsts, begin, source)]
        return TRAINED_MODELS.conform(pl.DataFrame(rows, infer_schema_length=None)) if rows else TRAINED_MODELS.empty()

    def versions(self) -> dict[str, int | None]:
        """Return the Delta versions of the inputs, which depend on how the tables were written."""
        return {name: self.warehouse.version(name) for name in ("ml_features", "prices")}

    def _group(self, configs: list[ModelConfig], firsts: list[date], begin: date, source: str) -> Iterable[Row]:
        """Train models of one horizon: their rows are read once."""
        if not firsts:
            return
        longest = max(_window(config) for config in configs)
        window = (max(begin, firsts[0] - DAY * longest), firsts[-1] - DAY)
        names = {
            config.name: features_of(config.features, config.allow_backfilled, self.warehouse, window)
            for config in configs
        }
        every = list(dict.fromkeys(name for found in names.values() for name in found))
        self.say(f"reading {len(every)} features of {window[0]} to {window[1]}")
        labelled = labelled_rows(
            self.features, self.prices, every, configs[0].horizon_hours, window, midnight(firsts[-1]),
            math.gcd(*(config.sample_hours for config in configs)),
        )  # fmt: skip
        for first in firsts:
            for config in configs:
                yield self._one(config, first, labelled.only(names[config.name]), source)

    def _one(self, config: ModelConfig, first: date, labelled: Labelled, source: str) -> Row:
        """Train one model of one month, or say why it cannot be trained; either is a trial."""
        row = _described(config, first, source)
        try:
            prepared = training.prepare(labelled, config, midnight(first))
            row |= _of_rows(prepared)
            former = self._former(prepared.model_id, first)
            if former is not None:
                self.say(f"{config.name} {first:%Y-%m}: the same rows gave model {prepared.model_id[:12]} before")
                return former
            self._try(row | {"status": STARTED})
            self.say(f"training {config.name} {first:%Y-%m} on {row['rows']} rows and {len(row['features'])} features")
            row |= self._store(training.fit(prepared))
        except ModelError as error:
            self.say(f"{config.name} {first:%Y-%m} was not trained: {error}")
            failed = digest({"config": config.digest, "month": first.isoformat(), "failed": str(error)})
            row |= {"model_id": row.get("model_id", failed), "status": FAILED, "reason": str(error)}
        self._try(row)
        return row

    def _store(self, trained: Training) -> Row:
        """Write the artefact; the row that names it follows with the table's own commit."""
        place = artefacts.place_of(trained.artefact.model_id)
        artefacts.write(self.warehouse, place, trained.artefact.text())
        return {
            "status": TRAINED,
            "artefact": place,
            "artefact_sha256": trained.artefact.sha256,
            **{name: trained.metrics[name] for name in METRICS},
            "metrics": json.dumps(trained.metrics, sort_keys=True).replace("NaN", "null"),
        }

    def _former(self, model_id: str, first: date) -> Row | None:
        """Return the row of a training that had the same rows, code and configuration, where its artefact is whole."""
        stored = self.warehouse.read(TRAINED_MODELS, start=first, end=first)
        same = stored.filter(pl.col("model_id") == model_id, pl.col("status") == TRAINED)
        if same.is_empty():
            return None
        row: Row = same.row(0, named=True)
        try:
            reader(self.warehouse)(row)
        except CryptoAssetsError:
            return None
        return row

    def _try(self, row: Row) -> None:
        """Record a trial: when it begins, so that an abandoned one counts, and how it ended."""
        trial = {name: row.get(name) for name in MODEL_TRIALS.names if name in row}
        trial |= {"trial_id": row["model_id"], "available_at": self.now()}
        self.warehouse.write(MODEL_TRIALS, pl.DataFrame([trial]), [row["date"]])


def _by_horizon(configs: Iterable[ModelConfig]) -> list[list[ModelConfig]]:
    found: dict[int, list[ModelConfig]] = {}
    for config in configs:
        found.setdefault(config.horizon_hours, []).append(config)
    return list(found.values())


def _window(config: ModelConfig) -> int:
    """Return how many days a training looks back, its labels' horizon included."""
    horizon = -(-config.horizon_hours // 24)
    return min(config.window_days + horizon, LONGEST_WINDOW_DAYS) if config.window_days else LONGEST_WINDOW_DAYS


def _described(config: ModelConfig, first: date, source: str) -> Row:
    return {
        "date": first,
        "available_at": midnight(first) + SERVES_AFTER,
        "source": source,
        "model": config.name,
        "kind": config.kind,
        "config_hash": config.digest,
        "config": json.dumps(config.settings, sort_keys=True),
        "code_version": CODE_VERSION,
        "rows": 0,
        "coins": 0,
        "features": [],
    }


def _of_rows(prepared: Prepared) -> Row:
    return {
        "model_id": prepared.model_id,
        "train_start": prepared.first,
        "trained_until": prepared.trained_until,
        "rows": prepared.used.rows.height,
        "coins": prepared.coins,
        "features": list(prepared.used.features),
        "rows_hash": prepared.rows_hash,
    }


def reader(warehouse: Warehouse) -> serving.Read:
    """Return the function that reads the artefact of a row of ``trained_models`` from a warehouse."""
    return serving.reader(partial(artefacts.read, warehouse))


def shelf_of(warehouse: Warehouse, trained: pl.DataFrame) -> serving.Shelf:
    """Return the models of these rows of ``trained_models``."""
    return serving.Shelf(trained, reader(warehouse), timedelta(days=SERVES_DAYS))


@dg.asset(**shell.asset_kwargs("predictions"), ins=_inputs("predictions"))
def predictions(
    context: dg.AssetExecutionContext, providers: Providers, ml_features: pl.LazyFrame, trained_models: pl.DataFrame
) -> pl.DataFrame:
    """Score the rows of each day with the models that could be known then."""
    start, end = shell.days_of(context)
    shelf = shelf_of(of_settings(providers.settings()), trained_models)
    found, quality = [], []
    for first, last, served in spans(shelf, start, end):
        names = dict.fromkeys(name for one in served.values() for name in one.artefact.features)
        rows = _features(ml_features, first, last, list(names))
        if rows.height:
            found.append(serving.predict(rows, served))
            quality.append(rows.select("symbol", "date", "available_at", PIT_QUALITY))
    _say_unreadable(context, shelf, end)
    if not found:
        return PREDICTIONS.empty()
    inputs = {"ml_features": pl.concat(quality), "trained_models": trained_models}
    return shell.with_worst("predictions", pl.concat(found), inputs)


def spans(shelf: serving.Shelf, start: date, end: date) -> list[tuple[date, date, dict[str, serving.Served]]]:
    """Return (first day, last day, model -> what serves) for the days of start..end on which any model serves."""
    found: list[tuple[date, date, dict[str, serving.Served]]] = []
    for day in days(start, end):
        served = shelf.serving(day, midnight(day))
        if found and found[-1][1] == day - DAY and _ids(found[-1][2]) == _ids(served):
            found[-1] = (found[-1][0], day, found[-1][2])
        elif served:
            found.append((day, day, served))
    return found


def _ids(served: Mapping[str, serving.Served]) -> dict[str, str]:
    return {name: one.artefact.model_id for name, one in served.items()}


def _features(ml_features: pl.LazyFrame, first: date, last: date, names: list[str]) -> pl.DataFrame:
    keys = ["symbol", "ts", "date", "available_at", "source", PIT_QUALITY]
    rows = ml_features.filter(pl.col("date").is_between(first, last)).select(
        *dict.fromkeys([*keys, *columns_of(names)])
    )
    return rows.collect().sort("ts", "symbol")


def _say_unreadable(context: dg.AssetExecutionContext, shelf: serving.Shelf, end: date) -> None:
    for model_id, why in shelf.unreadable.items():
        former = shelf.former.get(model_id)
        instead = (
            f"that of {former:%Y-%m} serves, {(end - former).days} days old" if former else "no former model serves"
        )
        context.log.warning(f"{why}; {instead}")
    context.add_output_metadata({"models_not_read": dg.MetadataValue.json(shelf.unreadable)})


@dg.asset(**shell.asset_kwargs("signals"), ins=_inputs("signals"))
def _signals(
    context: dg.AssetExecutionContext,
    providers: Providers,
    predictions: pl.DataFrame,
    ml_features: pl.LazyFrame,
) -> pl.DataFrame:
    """Turn the scores of the best model that serves into target weights, with the features that moved them."""
    start, end = shell.days_of(context)
    warehouse = of_settings(providers.settings())
    trained = warehouse.read(TRAINED_MODELS).filter(
        pl.col("model_id").is_in(predictions["model_id"].unique().to_list())
    )
    chosen = _chosen(predictions, trained)
    if chosen.filter(pl.col("date") >= start).is_empty():
        return SIGNALS.empty()
    spread = _features(ml_features, start - DAY * DAMPED_DAYS, end, [signals.VOLATILITY])
    scored = chosen.join(spread.select("symbol", "ts", volatility=signals.VOLATILITY), on=["symbol", "ts"], how="left")
    weights = signals.weights(scored, RULE)
    rows = chosen.join(weights, on=["symbol", "ts"]).filter(pl.col("date") >= start)
    rows = rows.with_columns(strength=signals.strength(pl.col("weight"), RULE))
    shelf = shelf_of(warehouse, trained)
    why = pl.concat([_reasons(shelf, ml_features, part) for part in rows.partition_by("model_id", maintain_order=True)])
    rows = rows.join(why, on=["symbol", "ts"]).select(SIGNALS.given_names)
    return shell.with_worst("signals", rows, {"predictions": predictions, "ml_features": spread})


def _chosen(predictions: pl.DataFrame, trained: pl.DataFrame) -> pl.DataFrame:
    """Return the predictions of one model for each day: the one whose training did best out of fold; by name where equal."""
    skill = trained.select("model_id", skill="out_of_fold_rank_ic").unique("model_id")
    models = predictions.select("date", "model", "model_id").unique().join(skill, on="model_id", how="left")
    best = models.sort(pl.col("skill").fill_null(-2.0), "model", descending=[True, False]).unique("date", keep="first")
    return predictions.join(best.select("date", "model"), on=["date", "model"], how="semi").drop(PIT_QUALITY)


def _reasons(shelf: serving.Shelf, ml_features: pl.LazyFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return symbol, ts, reasons of rows that one model scored; none of weak signals, because they cost the most time."""
    row = shelf.trained.filter(pl.col("model_id") == rows["model_id"][0]).row(0, named=True)
    model = shelf.read(row)
    first, last = rows["date"].min(), rows["date"].max()
    found = _features(ml_features, first, last, list(model.features))  # type: ignore[arg-type]
    named = rows.filter(pl.col("strength") != WEAK).select("symbol", "ts", pl.lit(value=True).alias("named"))
    wanted = found.select("symbol", "ts").join(named, on=["symbol", "ts"], how="left", maintain_order="left")["named"]
    return found.select("symbol", "ts").with_columns(serving.reasons(found, model, wanted.is_not_null().to_numpy()))


ASSETS = [trained_models, predictions, _signals, shell.external_asset("model_trials")]
