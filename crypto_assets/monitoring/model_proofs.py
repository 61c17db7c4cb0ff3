"""The proofs of ``crypto_assets.models.proofs``, carried out on the stored rows of the newest training."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from crypto_assets.assets.model_rows import features_of, labelled_rows
from crypto_assets.dates import DAY, midnight
from crypto_assets.errors import ModelError
from crypto_assets.models import proofs
from crypto_assets.models.config import ModelConfig
from crypto_assets.models.training import Labelled
from crypto_assets.monitoring.kept_proofs import Proof as Proof
from crypto_assets.monitoring.kept_proofs import kept, key_of
from crypto_assets.monitoring.model_quality import ModelQuality
from crypto_assets.storage.warehouse import Warehouse

WINDOW_DAYS = 90  # of rows that the proofs train on: twenty trainings of ridge take seconds
SEEDS, LEAST_INSIDE = 20, 17
LEAKS, INSTANTS = 10, 3
INSTANT_DAYS = 30  # before the training, in which the instants of the third proof lie
TABLES = ("ml_features", "prices")  # that models are trained on
VERDICT = "beats_best_feature"
NAMES = ("shuffled_labels", "planted_leak", "truncation", "known_in_time", "no_suspect_feature", VERDICT)


def prove(warehouse: Warehouse, found: ModelQuality, now: datetime, keep: Path | None = None) -> Iterator[Proof]:
    """Carry out every proof, on the features of the newest training and with ridge, which trains in a moment.

    Args:
        warehouse: the tables.
        found: the judged models.
        now: the instant, UTC.
        keep: the file that keeps the proofs that train models, for as long as what they rest on is the same; None: they
            are carried out.

    Yields:
        One proof for each of ``NAMES``.
    """
    if found.trainings.is_empty():
        for name in NAMES[:4]:
            yield Proof(name, None, "no stored training made these predictions; train the months again")
    else:
        yield from _of_training(warehouse, found.trainings.row(-1, named=True), now, keep)
    yield _suspects(found)
    yield _verdict(found)


def _of_training(warehouse: Warehouse, newest: Mapping[str, Any], now: datetime, keep: Path | None) -> Iterator[Proof]:
    first: date = newest["date"]
    settings, names = json.loads(newest["config"]), list(newest["features"])
    carry_out = partial(_by_training, warehouse, names, settings, first)
    if keep is None:
        yield from carry_out()
    else:
        read = (first - DAY * (WINDOW_DAYS + INSTANT_DAYS + 1), first + DAY * 2 + _horizon(settings))
        yield from kept(keep, key_of(warehouse, newest, dict.fromkeys(TABLES, read)), now, carry_out)
    yield _or_why(NAMES[3], lambda: _in_time(warehouse, names, settings, _window(first)))


def _by_training(warehouse: Warehouse, names: list[str], settings: Mapping[str, Any], first: date) -> Iterator[Proof]:
    """Carry out the proofs that train ridge. They read ``TABLES``, the training of the month ``first`` and nothing else."""
    hours = int(settings["horizon_hours"])
    config = ModelConfig(
        "proof", "ridge", hours, WINDOW_DAYS, sample_hours=int(settings["sample_hours"]), least_rows=500
    )
    tables = {name: warehouse.scan(name) for name in TABLES}
    labelled = labelled_rows(
        tables["ml_features"], tables["prices"], names, hours, _window(first), midnight(first), config.sample_hours
    )
    yield _or_why(NAMES[0], lambda: _shuffled(labelled, config, midnight(first)))
    yield _or_why(NAMES[1], lambda: _planted(labelled, config))
    yield _or_why(NAMES[2], lambda: _truncated(tables, names, config, first))


def _or_why(name: str, carry_out: Callable[[], Proof]) -> Proof:
    try:
        return carry_out()
    except ModelError as error:
        return Proof(name, None, str(error))


def _window(first: date) -> tuple[date, date]:
    return first - DAY * WINDOW_DAYS, first - DAY


def _horizon(settings: Mapping[str, Any]) -> timedelta:
    return timedelta(hours=int(settings["horizon_hours"]))


def _shuffled(labelled: Labelled, config: ModelConfig, at: datetime) -> Proof:
    found = proofs.shuffled_labels(labelled, config, at, range(SEEDS))
    inside = sum(one.inside for one in found)
    sentence = (
        f"with shuffled labels the rank IC lies within 2 Newey-West errors of zero for {inside} of {SEEDS} seeds; "
        f"{LEAST_INSIDE} are needed"
    )
    worst = max(abs(one.rank_ic) for one in found)
    return Proof(
        NAMES[0], inside >= LEAST_INSIDE, sentence, {"inside": inside, "seeds": SEEDS, "largest_rank_ic": worst}
    )


def _planted(labelled: Labelled, config: ModelConfig) -> Proof:
    searches = proofs.planted_leaks(labelled, config.horizon_hours, range(LEAKS))
    named = sum(proofs.PLANTED in one for one in searches)
    return Proof(
        NAMES[1], named == LEAKS, f"a planted feature that holds the future was found and named {named} of {LEAKS} times",
        {"named": named, "planted": LEAKS},
    )  # fmt: skip


def _truncated(tables: Mapping[str, pl.LazyFrame], names: list[str], config: ModelConfig, first: date) -> Proof:
    """Train at three instants of the last month, on tables from which all that became known later is deleted."""
    draw = random.Random(first.isoformat())
    instants = [midnight(first) - timedelta(hours=draw.randrange(1, INSTANT_DAYS * 24)) for _ in range(INSTANTS)]
    same = 0
    for at in instants:
        days = (at.date() - DAY * WINDOW_DAYS, first)
        then = {name: rows.filter(pl.col("available_at") < at) for name, rows in tables.items()}
        whole, known = (
            labelled_rows(
                rows["ml_features"], rows["prices"], names, config.horizon_hours, days, known_by, config.sample_hours
            )
            for rows, known_by in ((tables, midnight(first + DAY * 8)), (then, at))
        )
        same += proofs.is_the_same_without_the_future(whole, known, config, at)[0]
    return Proof(
        NAMES[2], same == INSTANTS,
        f"without all that became known later, trainings at {same} of {INSTANTS} instants give the same model to the byte",
        {"same": same, "instants": [at.isoformat() for at in instants]},
    )  # fmt: skip


def _in_time(warehouse: Warehouse, names: list[str], settings: Mapping[str, Any], days: tuple[date, date]) -> Proof:
    late = sorted(set(names) - set(features_of(names, False, warehouse, days)))
    if late and settings.get("allow_backfilled"):
        return Proof(
            NAMES[3], None, f"asked for, though they rest on backfilled rows: {', '.join(late)}", {"late": late}
        )
    sentence = (
        f"features rest on rows that their provider may have revised: {', '.join(late)}"
        if late
        else f"all {len(names)} features rest on rows that were known in time"
    )
    return Proof(NAMES[3], not late, sentence, {"features": len(names), "late": late})


def _suspects(found: ModelQuality) -> Proof:
    judged = found.coefficients.filter(pl.col("samples") >= proofs.FEWEST_SAMPLES).height
    if not judged:
        return Proof(NAMES[4], None, "there are too few days to judge single features")
    sentence = (
        f"these features order what follows better than a feature can, so look how they are made: {', '.join(found.suspects)}"
        if found.suspects
        else f"of {judged} features none has a rank IC that lies surely beyond {proofs.PLAUSIBLE_IC}"
    )
    return Proof(NAMES[4], not found.suspects, sentence, {"features": judged, "suspects": list(found.suspects)})


def _verdict(found: ModelQuality) -> Proof:
    best = found.comparison.best_model
    verdict = next((one for one in found.comparison.verdicts if best is not None and one.model == best.name), None)
    if verdict is None or verdict.beats is None:
        return Proof(NAMES[5], None, verdict.sentence if verdict else "no model has a rank IC")
    return Proof(NAMES[5], verdict.beats, verdict.sentence, {"deflated_sharpe": verdict.deflated})
