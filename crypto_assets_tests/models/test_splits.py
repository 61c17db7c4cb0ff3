"""Splits by time of knowledge: no training label is known after the first tested decision, whatever the panel is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_assets.errors import ModelError
from crypto_assets.models import splits
from crypto_assets.models.splits import Times

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = np.timedelta64(1, "h")


@st.composite
def panels(draw: st.DrawFn) -> Times:
    """Panels of coins x hours in any order, with delays of knowledge and horizons that differ by row."""
    rows = draw(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 80), st.booleans()), min_size=8, max_size=120))
    begin = np.datetime64(BEGIN.replace(tzinfo=None), "us")
    decided = np.array([begin + HOUR * hour for hour, _, _ in rows])
    judged = np.array([begin + HOUR * (hour + ahead) for hour, ahead, _ in rows])
    judged[[not known for _, _, known in rows]] = np.datetime64("NaT")
    return Times(decided, judged)


def starts(*hours: int) -> list[datetime]:
    return [BEGIN + timedelta(hours=hour) for hour in hours]


@given(panels(), st.integers(1, 200) | st.none(), st.integers(0, 48))
def test_a_walk_forward_training_knows_nothing_of_its_test_period(
    times: Times, window: int | None, embargo: int
) -> None:
    length = None if window is None else timedelta(hours=window)
    bounds = starts(0, 60, 61, 150, 290, 400)
    tested = []
    for fold in splits.walk_forward(times, bounds, window=length, embargo=timedelta(hours=embargo)):
        first = times.available_at[fold.test].min()
        tested += fold.test.tolist()
        labels = times.label_available_at[fold.train]
        assert (labels + HOUR * embargo < first).all()
        expected = [
            row
            for row, (decided, judged) in enumerate(zip(times.available_at, times.label_available_at, strict=True))
            if not np.isnat(judged)
            and judged + HOUR * embargo < first
            and (window is None or decided >= first - HOUR * window)
        ]
        assert fold.train.tolist() == expected
    assert sorted(tested) == list(range(times.available_at.size))


@given(panels(), st.integers(2, 5), st.integers(1, 4), st.integers(0, 48))
def test_combinatorial_folds_are_purged_around_each_tested_group(
    times: Times, groups: int, tested: int, embargo: int
) -> None:
    if tested >= groups or np.unique(times.available_at).size < groups:
        return
    group = splits.time_groups(times, groups)
    for part in splits.combinatorial_purged(times, groups, tested, embargo=timedelta(hours=embargo)):
        for row in part.fold.train:
            for number in part.groups:
                members = np.flatnonzero(group == number)
                last = [times.available_at[members].max()]
                last += [label for label in times.label_available_at[members] if not np.isnat(label)]
                before = times.label_available_at[row] < times.available_at[members].min()
                assert before or times.available_at[row] > max(last) + HOUR * embargo
        assert set(group[part.fold.test]) == set(part.groups)


def test_combinatorial_folds_form_whole_paths() -> None:
    begin = np.datetime64("2024-01-01T00", "us")
    times = Times(begin + HOUR * np.arange(60), begin + HOUR * (np.arange(60) + 3))
    folds = list(splits.combinatorial_purged(times, 6, 2))
    places = [(path, group) for fold in folds for group, path in zip(fold.groups, fold.paths, strict=True)]
    assert len(folds) == 15
    assert sorted(places) == [(path, group) for path in range(splits.path_count(6, 2)) for group in range(6)]
    whole = folds[0]  # groups 0 and 1 are tested: hours 0 to 19, labels to hour 22
    assert whole.fold.train.tolist() == list(range(23, 60))


def test_rolling_windows_agree_with_scikit_learn_on_one_series() -> None:
    from sklearn.model_selection import TimeSeriesSplit

    begin = np.datetime64("2024-01-01T00", "us")
    count, gap = 100, 5
    times = Times(begin + HOUR * np.arange(count), begin + HOUR * (np.arange(count) + gap))
    theirs = list(TimeSeriesSplit(n_splits=4, test_size=20, gap=gap).split(np.zeros(count)))
    bounds = [int(test[0]) for _, test in theirs] + [count]
    ours = list(splits.walk_forward(times, starts(*bounds)))
    for fold, (train, test) in zip(ours, theirs, strict=True):
        assert fold.train.tolist() == train.tolist()
        assert fold.test.tolist() == test.tolist()


def test_groups_of_time_never_split_an_hour() -> None:
    begin = np.datetime64("2024-01-01T00", "us")
    hours = np.repeat(np.arange(10), [1, 9, 2, 7, 3, 3, 1, 1, 5, 8])
    group = splits.time_groups(Times(begin + HOUR * hours, begin + HOUR * (hours + 1)), 3)
    assert all(len(set(group[hours == hour])) == 1 for hour in range(10))
    assert all(later >= earlier for earlier, later in pairwise(group))
    assert set(group) == {0, 1, 2}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda times: list(splits.walk_forward(times, starts(0))), "two or more instants"),
        (lambda times: list(splits.walk_forward(times, starts(5, 5))), "ascend"),
        (lambda times: list(splits.walk_forward(times, starts(0, 5), embargo=timedelta(hours=-1))), "negative"),
        (lambda times: splits.time_groups(times, 11), "10 distinct hours cannot be split into 11 groups"),
        (lambda times: list(splits.combinatorial_purged(times, 3, 3)), "give 1 to 2"),
        (lambda times: Times(times.available_at, times.available_at), "a label is known after its decision"),
        (lambda times: Times(times.available_at, times.label_available_at[1:]), "one of each for every row"),
    ],
)
def test_what_cannot_be_split_is_refused(change, says: str) -> None:  # type: ignore[no-untyped-def]
    begin = np.datetime64("2024-01-01T00", "us")
    times = Times(begin + HOUR * np.arange(10), begin + HOUR * (np.arange(10) + 1))
    with pytest.raises(ModelError, match=says):
        change(times)
