"""Inverses made from those before them."""

import numpy as np
import pytest

from intelligence.learning import inverses
from intelligence.learning.inverses import Inverted, inverse, inverted


def covariance(rows, seed=0):
    spread = np.random.default_rng(seed).normal(size=(rows, 40))
    return spread @ spread.T / 10 + np.eye(rows)


@pytest.mark.parametrize("rows", [0, 1, 31, 33, 100])
def test_inverse(rows):
    matrix = covariance(rows)
    assert inverse(matrix) == pytest.approx(np.linalg.inv(matrix), abs=1e-12)


@pytest.mark.parametrize(
    "places",
    [
        [*range(100)],
        [*range(1, 100), -1],
        [*range(100), -1, -1],
        [-1, *range(40), *range(41, 100)],
        [*range(30), -1, *range(30, 60), *range(63, 100)],
        [*range(99, -1, -1)],
    ],
    ids=["same", "window moved on", "two more", "at the front", "within", "turned round"],
)
def test_inverse_is_made_from_the_one_before(places, monkeypatch):
    whole = covariance(120)
    fresh = iter(range(100, 120))
    rows = [next(fresh) if place < 0 else place for place in places]
    known = Inverted(whole[:100, :100], inverse(whole[:100, :100]))
    monkeypatch.setattr(inverses, "inverse", None)  # all at once
    found = inverted(whole[np.ix_(rows, rows)], known, np.array(places))
    assert found.inverse == pytest.approx(np.linalg.inv(found.matrix), abs=1e-11)


def test_inverse_is_made_anew_where_much_changed_or_errors_grew():
    whole = covariance(120)
    known = Inverted(whole[:100, :100], inverse(whole[:100, :100]))
    wrong = known._replace(inverse=known.inverse + 1e-6)
    exact = inverse(whole)
    for before, places in ((None, [-1] * 120), (known, [*range(100), *[-1] * 20])):
        assert (inverted(whole, before, np.array(places)).inverse == exact).all()
    assert (inverted(whole[:100, :100], wrong, np.arange(100)).inverse == known.inverse).all()
