"""The proofs of ``crypto_assets.models.proofs``, carried out on the stored rows of the newest training."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from crypto_assets.assets.model_rows import features_of, labelled_rows
from crypto_assets.dates import DAY, midnight
from crypto_assets.errors import ModelError
from crypto_assets.models import proofs
from crypto_assets.models.config import ModelConfig
from crypto_assets.models.training import Labelled
from crypto_assets.monitoring.model_quality import ModelQuality
from crypto_assets.storage.warehouse import Warehouse

WINDOW_DAYS = 90  # of rows that the proofs train on: twenty trainings of ridge take seconds
SEEDS, LEAST_INSIDE = 20, 17
LEAKS, INSTANTS = 10, 3
VERDICT = "beats_best_feature"
NAMES = ("shuffled_labels", "planted_leak", "truncation", "known_in_time", "no_suspect_feature", VERDICT)


@dataclass(frozen=True)
class Proof:
    """One proof.

    Attributes:
        name: of ``NAMES``.
        holds: None where it cannot be carried out.
        sentence: what was found, in one sentence.
        numbers: figures for the UI.
    """

    name: str
    holds: bool | None
    sentence: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


def prove(warehouse: Warehouse, found: ModelQuality, now: datetime) -> Iterator[Proof]:
    """Carry out every proof, on the features of the newest training and with ridge, which trains in a moment.

    Args:
        warehouse: the tables.
        found: the judged models.
        now: the instant, UTC.

    Yields:
        One proof for each of ``NAMES``.
    """
    if found.trainings.is_empty():
        for name in NAMES[:4]:
            yield Proof(name, None, "no stored training made these predictions; train the months again")
    else:
        yield from _of_training(warehouse, found.trainings.row(-1, named=True), now)
    yield _suspects(found)
    yield _verdict(found)


def _of_training(warehouse: Warehouse, newest: Mapping[str, Any], now: datetime) -> Iterator[Proof]:
    first: date = newest["date"]
    settings = json.loads(newest["config"])
    config = ModelConfig(
        "proof", "ridge", int(settings["horizon_hours"]), WINDOW_DAYS, sample_hours=int(settings["sample_hours"]),
        least_rows=500,
    )  # fmt: skip
    days = (first - DAY * WINDOW_DAYS, first - DAY)
    names = list(newest["features"])
    tables = {name: warehouse.scan(name) for name in ("ml_features", "prices")}
    labelled = labelled_rows(
        tables["ml_features"], tables["prices"], names, config.horizon_hours, days, midnight(first), config.sample_hours
    )
    steps = (
        (NAMES[0], lambda: _shuffled(labelled, config, midnight(first))),
        (NAMES[1], lambda: _planted(labelled, config)),
        (NAMES[2], lambda: _truncated(tables, names, config, first)),
        (NAMES[3], lambda: _in_time(warehouse, names, settings, days)),
    )
    for name, step in steps:
        try:
            yield step()
        except ModelError as error:
            yield Proof(name, None, str(error))


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
    instants = [midnight(first) - timedelta(hours=draw.randrange(1, 30 * 24)) for _ in range(INSTANTS)]
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
