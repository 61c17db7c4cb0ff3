"""Moments and co-moments against exact arithmetic: where plain sums keep their digits, and where they would not."""

from fractions import Fraction

import numpy as np
import pytest

from crypto_assets.features.moments import WindowSums, rolling_moments
from crypto_assets.features.pairs import rolling_comoments
from crypto_assets.features.windows import rolling_counts, rolling_mean

SIZE = 24


def _series(level: float, seed: int) -> np.ndarray:
    """Three coins: one whole, one with gaps, one that is flat for longer than a window."""
    rng = np.random.default_rng(seed)
    values = level + rng.normal(0, 1.0, (3, 150))
    values[1, rng.random(150) < 0.15] = np.nan
    values[2, 40:80] = values[2, 40]
    return values


def _exact(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Mean of x, and the sum of the products of both deviations, rounded once."""
    known = ~(np.isnan(x) | np.isnan(y))
    xs, ys = [Fraction(v) for v in x[known]], [Fraction(v) for v in y[known]]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    return float(x_mean), float(sum((a - x_mean) * (b - y_mean) for a, b in zip(xs, ys, strict=True)))


@pytest.mark.parametrize("level", [0.0, 3.0, 1e4])
def test_no_level_costs_digits(level: float):
    values = _series(level, 3)
    (found,) = rolling_moments(values, SIZE)
    for row in range(3):
        for end in range(SIZE, 150):
            window = values[row, end - SIZE + 1 : end + 1]
            mean, squares = _exact(window, window)
            assert found.count[row, end] == np.count_nonzero(~np.isnan(window))
            assert found.mean[row, end] == pytest.approx(mean, rel=1e-12, abs=1e-14)
            assert found.squares[row, end] == pytest.approx(squares, rel=1e-11, abs=0.0)
    assert np.all(found.squares[2, 40 + SIZE - 1 : 80] == 0.0)
    assert np.all(found.mean[2, 40 + SIZE - 1 : 80] == values[2, 40])


@pytest.mark.parametrize("level", [0.0, 1e4])
@pytest.mark.parametrize("leader", ["whole", "with gaps"])
def test_pairs_are_as_exact(level: float, leader: str):
    y = _series(level, 5)
    x = np.random.default_rng(9).normal(level, 1.0, (1, 150))
    if leader == "with gaps":
        x[0, 60:66] = np.nan
    (found,) = rolling_comoments(x, WindowSums.of(y, SIZE), SIZE)
    squares = [np.broadcast_to(array, y.shape) for array in (found.xx, found.yy, found.xy)]
    for row in range(3):
        for end in range(SIZE, 150):
            window = slice(end - SIZE + 1, end + 1)
            known = np.where(np.isnan(y[row, window]), np.nan, x[0, window])
            own = np.where(np.isnan(x[0, window]), np.nan, y[row, window])
            size = np.sqrt(found.yy[row, end] * squares[0][row, end])  # products of either sign: of this size is 0
            for got, one, other in zip(squares, (known, own, known), (known, own, own), strict=True):
                assert got[row, end] == pytest.approx(_exact(one, other)[1], rel=1e-11, abs=1e-11 * size)


def test_neither_the_other_coins_nor_more_history_choose_the_way():
    values = np.concatenate([_series(0.0, 1), _series(1e4, 2)])
    (whole,) = rolling_moments(values, SIZE)
    for row in range(len(values)):
        for begin in (1, 17, 60):
            (part,) = rolling_moments(values[row : row + 1, begin:], SIZE)
            for name in ("count", "mean", "squares"):
                alone, beside = getattr(part, name)[0, SIZE:], getattr(whole, name)[row, begin + SIZE :]
                assert np.array_equal(alone, beside), name


def test_counts_and_means_of_one_window():
    present = np.array([[False, True, True, False, True, True]] * 2)
    present[1, 3] = True
    assert [c[:, -1].tolist() for c in rolling_counts(present, 3, 5)] == [[2, 3], [4, 5]]
    flat = np.full((1, 40), 0.1 + 0.2)
    assert rolling_mean(flat, 20)[0, 19:].tolist() == [0.1 + 0.2] * 21
