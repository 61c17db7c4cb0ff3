"""Which trained model serves a day, and what it says of the day's rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crypto_assets.errors import CryptoAssetsError, ModelError
from crypto_assets.models import artefact
from crypto_assets.models.artefact import Artefact
from crypto_assets.models.learners import hour_ranks

Read = Callable[[Mapping[str, object]], Artefact]  # reads the artefact of a row of trained_models
REASONS = 3  # features that a signal names


def reader(read_text: Callable[[str], str]) -> Read:
    """Return the function that reads the artefact of a row of ``trained_models``.

    It raises what ``read_text`` raises, and ModelError where the file was altered or is of another version.

    Args:
        read_text: place of a file -> its text.
    """

    def read(row: Mapping[str, object]) -> Artefact:
        place = str(row["artefact"])
        try:
            return artefact.read(read_text(place), str(row["artefact_sha256"]))
        except ModelError as error:
            raise ModelError(f"model {place} of {row['model']} {row['date']:%Y-%m}: {error}") from error

    return read


@dataclass(frozen=True)
class Served:
    """A model that serves a day.

    Attributes:
        row: its row of ``trained_models``.
        artefact: the model.
    """

    row: Mapping[str, object]
    artefact: Artefact


@dataclass
class Shelf:
    """The models of ``trained_models``, each read once.

    Attributes:
        trained: rows of ``trained_models``; failed trainings too.
        read: reads an artefact; raises CryptoAssetsError where it is missing or altered.
        longest: how long after its month a model may serve.
        unreadable: model_id -> why, of models that could not be read; the former one serves in their place.
        former: model_id of such a model -> the month of the one that serves in its place; no entry where none does.
    """

    trained: pl.DataFrame
    read: Read
    longest: timedelta
    unreadable: dict[str, str] = field(default_factory=dict)
    former: dict[str, date] = field(default_factory=dict)
    _read: dict[str, Artefact] = field(default_factory=dict)

    def serving(self, day: date, at: datetime) -> dict[str, Served]:
        """Return model -> what serves a day: of every model of the newest month that was known, the newest that can be read.

        Args:
            day: the day.
            at: its beginning, UTC; models that became known later do not count.
        """
        known = self.trained.filter(pl.col("available_at") <= at, pl.col("date") >= day - self.longest).sort("date")
        newest = known.filter(pl.col("date") == pl.col("date").max())
        found = {}
        for name in newest["model"].unique().sort():
            candidates = known.filter(pl.col("model") == name, pl.col("artefact").is_not_null())
            skipped: list[str] = []
            for row in reversed(candidates.rows(named=True)):
                artefact = self._artefact(row)
                if artefact is not None:
                    found[name] = Served(row, artefact)
                    self.former.update({one: row["date"] for one in skipped})
                    break
                skipped.append(str(row["model_id"]))
        return found

    def _artefact(self, row: Mapping[str, object]) -> Artefact | None:
        name = str(row["model_id"])
        if name in self.unreadable:
            return None
        if name not in self._read:
            try:
                self._read[name] = self.read(row)
            except CryptoAssetsError as error:
                self.unreadable[name] = str(error)
                return None
        return self._read[name]


def predict(rows: pl.DataFrame, served: Mapping[str, Served]) -> pl.DataFrame:
    """Score rows with each model.

    Args:
        rows: symbol, ts, date, available_at, source and the features; all coins of each hour.
        served: model -> what serves these days.

    Returns:
        Rows of ``predictions``; a coin of which a rule's feature is unknown has none.
    """
    ordered = rows.sort("ts", "symbol")
    hours = ordered["ts"].dt.epoch("s").to_numpy() // 3600
    found = []
    for name, one in served.items():
        scores = one.artefact.learner.score(one.artefact.matrix(ordered)).astype(np.float64)
        known = np.flatnonzero(~np.isnan(scores))
        ranks = hour_ranks(scores[known], hours[known]) + 0.5
        found.append(
            ordered[known].select(
                "symbol",
                "ts",
                "date",
                "available_at",
                "source",
                model=pl.lit(name),
                score=pl.Series(scores[known]),
                rank=pl.Series(ranks),
                model_id=pl.lit(one.artefact.model_id),
                trained_until=pl.lit(one.row["trained_until"]).cast(pl.Datetime("us", "UTC")),
            )
        )
    return pl.concat(found)


def reasons(rows: pl.DataFrame, model: Artefact, wanted: NDArray[np.bool_]) -> pl.Series:
    """Return, for each row, the features that moved its score most, each with its effect: ``volatility_7d -0.0123``.

    Args:
        rows: ts and the features, sorted by ts, symbol; all coins of each hour.
        model: the model.
        wanted: rows that get reasons; the others get an empty list.
    """
    said: list[list[str]] = [[] for _ in range(rows.height)]
    places = np.flatnonzero(wanted)
    if places.size:
        effects = model.learner.contributions(model.matrix(rows)[places])
        order = np.argsort(-np.abs(np.nan_to_num(effects)), axis=1, kind="stable")[:, :REASONS]
        for place, moved, most in zip(places, effects, order, strict=True):
            said[place] = [_reason(model.features, moved, feature) for feature in most]
    return pl.Series("reasons", said, dtype=pl.List(pl.String))


def _reason(features: Sequence[str], effects: np.ndarray, place: int) -> str:
    return f"{features[place]} {effects[place]:+.4g}"
