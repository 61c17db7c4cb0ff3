"""Splits of a panel by time of knowledge, never by numbers of rows.

A row is decided at ``available_at``, when its features are known, and judged at ``label_available_at``, when its label is
known. Libraries that purge a number of rows are wrong for a panel: an hour has as many rows as coins, and the number
changes. Here each rule is one on instants.

Source: López de Prado, Advances in Financial Machine Learning, 2018, ch. 7 (purging, embargo) and ch. 12
(combinatorial purged cross-validation).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations, pairwise
from math import comb

import numpy as np
from numpy.typing import NDArray

from crypto_assets.errors import ModelError

Ints = NDArray[np.int64]
Instants = NDArray[np.datetime64]
NO_TIME = timedelta(0)


@dataclass(frozen=True)
class Times:
    """When each row of a panel is decided and judged.

    Attributes:
        available_at: instant at which the row's features are known; datetime64, one a row, any order.
        label_available_at: instant at which its label is known; NaT where it is not known yet.
    """

    available_at: Instants
    label_available_at: Instants

    def __post_init__(self) -> None:
        """Refuse arrays of two lengths, unknown instants of decision, and labels that are known before the decision."""
        if self.available_at.shape != self.label_available_at.shape:
            raise ModelError(
                f"available_at has {self.available_at.size} rows and label_available_at {self.label_available_at.size}; "
                "give one of each for every row"
            )
        if np.isnat(self.available_at).any():
            raise ModelError("a row has no available_at: leave out rows whose features are not known")
        early = self.label_available_at <= self.available_at
        if early.any():
            row = int(np.flatnonzero(early)[0])
            raise ModelError(
                f"row {row} has its label at {self.label_available_at[row]}, not after its features at "
                f"{self.available_at[row]}: a label is known after its decision"
            )


@dataclass(frozen=True)
class Fold:
    """Rows of one training and of what its model is judged on: positions in the panel, ascending."""

    train: Ints
    test: Ints


def walk_forward(
    times: Times, starts: Sequence[datetime], *, window: timedelta | None = None, embargo: timedelta = NO_TIME
) -> Iterator[Fold]:
    """Split into trainings that each use only what was known before their test period.

    Test period *i* are the rows decided in [starts[i], starts[i + 1]). Its training rows are those whose label was
    known before the first of these rows was decided, less the embargo. So no label of the training looks into the
    test period, whatever the horizon is.

    Args:
        times: of all rows.
        starts: ascending UTC instants: the start of each test period and, last, the end of the last one.
        window: rolling: training rows are decided at most so long before the test period. None: expanding.
        embargo: time between the last training label and the first decision of the test period.

    Yields:
        One fold for each period that has rows to test. Its ``train`` may be empty.

    Raises:
        ModelError: ``starts`` has fewer than two instants or does not ascend, or a span is negative.
    """
    instants = [np.datetime64(start.replace(tzinfo=None)) for start in starts]
    if len(instants) < 2 or any(later <= earlier for earlier, later in pairwise(instants)):
        raise ModelError("starts of test periods must be two or more instants that ascend")
    if embargo < NO_TIME or (window is not None and window <= NO_TIME):
        raise ModelError("a window must be longer than nothing, and an embargo cannot be negative")
    for start, end in pairwise(instants):
        test = np.flatnonzero((times.available_at >= start) & (times.available_at < end))
        if not test.size:
            continue
        first = times.available_at[test].min()
        known = times.label_available_at < first - np.timedelta64(embargo)
        if window is not None:
            known &= times.available_at >= first - np.timedelta64(window)
        yield Fold(np.flatnonzero(known), test)


def time_groups(times: Times, groups: int) -> Ints:
    """Number the rows by equal parts of the time that they cover.

    Args:
        times: of all rows.
        groups: how many parts; at least two.

    Returns:
        The group of each row, 0 to groups - 1. Rows of one instant are always in one group.

    Raises:
        ModelError: fewer than two groups, or fewer distinct instants than groups.
    """
    instants, place = np.unique(times.available_at, return_inverse=True)
    if groups < 2 or instants.size < groups:
        raise ModelError(f"{instants.size} distinct hours cannot be split into {groups} groups; two or more are needed")
    return (place * groups) // instants.size


def time_series_groups(times: Times, groups: int, *, embargo: timedelta = NO_TIME) -> Iterator[Fold]:
    """Split into equal groups of time; each is tested by what was known before it.

    Args:
        times: of all rows.
        groups: number of groups of time; the first is never tested.
        embargo: as in ``walk_forward``.

    Yields:
        ``groups`` - 1 folds with an expanding training part.
    """
    group = time_groups(times, groups)
    for number in range(1, groups):
        test = np.flatnonzero(group == number)
        known = times.label_available_at < times.available_at[test].min() - np.timedelta64(embargo)
        yield Fold(np.flatnonzero(known), test)


@dataclass(frozen=True)
class CombinatorialFold:
    """A fold of combinatorial cross-validation and the places of its test groups on the paths.

    Attributes:
        fold: the rows.
        groups: the test groups, ascending.
        paths: for each of ``groups`` the path on which this fold's predictions of that group lie.
    """

    fold: Fold
    groups: tuple[int, ...]
    paths: tuple[int, ...]


def combinatorial_purged(
    times: Times, groups: int, tested: int, *, embargo: timedelta = NO_TIME
) -> Iterator[CombinatorialFold]:
    """Split into all combinations of groups of time, purged around each tested group.

    A training row is left out where its span from decision to label meets the span of a tested group (its first
    decision to its last label) or the embargo after it. A row whose label is not known trains nowhere.

    Args:
        times: of all rows.
        groups: number of groups of time.
        tested: number of groups that each fold tests.
        embargo: time after a tested group in which no training row may be decided.

    Yields:
        C(groups, tested) folds. The predictions of all folds form ``path_count(groups, tested)`` whole histories.

    Raises:
        ModelError: ``tested`` is not between 1 and ``groups`` - 1.
    """
    if not 1 <= tested < groups:
        raise ModelError(f"{tested} of {groups} groups cannot be tested: give 1 to {groups - 1}")
    group = time_groups(times, groups)
    labelled = ~np.isnat(times.label_available_at)
    spans = [_span(times, group == number, embargo) for number in range(groups)]
    used = [0] * groups
    for chosen in combinations(range(groups), tested):
        train = labelled & ~np.isin(group, chosen)
        for number in chosen:
            begin, end = spans[number]
            train &= ~((times.label_available_at >= begin) & (times.available_at <= end))
        paths = tuple(used[number] for number in chosen)
        for number in chosen:
            used[number] += 1
        test = np.flatnonzero(np.isin(group, chosen))
        yield CombinatorialFold(Fold(np.flatnonzero(train), test), chosen, paths)


def path_count(groups: int, tested: int) -> int:
    """Return how many whole histories the folds of ``combinatorial_purged`` form: C(groups - 1, tested - 1)."""
    return comb(groups - 1, tested - 1)


def _span(times: Times, rows: NDArray[np.bool_], embargo: timedelta) -> tuple[np.datetime64, np.datetime64]:
    """Return the first decision of a group and its last label or decision, with the embargo."""
    decided, judged = times.available_at[rows], times.label_available_at[rows]
    judged = judged[~np.isnat(judged)]
    end = max(decided.max(), judged.max()) if judged.size else decided.max()
    return decided.min(), end + np.timedelta64(embargo)
