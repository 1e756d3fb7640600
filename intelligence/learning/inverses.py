"""Inverses of covariance matrices, each from the one before where few rows differ."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

SMALL = 32
"""Rows up to which a matrix is inverted at once."""
MOST_CHANGED = 0.1
"""Share of rows, gone or new, up to which an inverse is made from the one before."""
LARGEST_ERROR = 1e-10
"""Largest error of matrix · inverse · x, for numbers x up to 1, with which an inverse made from others serves."""


class Inverted(NamedTuple):
    """A matrix and its inverse."""

    matrix: Floats
    inverse: Floats


def inverse(matrix: Floats) -> Floats:
    """Return the inverse of a covariance matrix, by halves: products of matrices are the fastest there is."""
    if len(matrix) <= SMALL:
        return np.asarray(np.linalg.inv(matrix), np.float64)
    half = len(matrix) // 2
    first, between = inverse(matrix[:half, :half]), matrix[half:, :half]
    shifted = between @ first
    second = inverse(matrix[half:, half:] - shifted @ between.T)
    back = second @ shifted
    found = np.empty_like(matrix)
    found[half:, half:], found[half:, :half], found[:half, half:] = second, -back, -back.T
    found[:half, :half] = first + shifted.T @ back
    return found


def inverted(matrix: Floats, before: Inverted | None, places: Codes) -> Inverted:
    """Return a covariance matrix with its inverse, made from that of the matrix before where few rows differ.

    Args:
        before: has the same values where both have the same rows; None: there is none.
        places: of each row in the matrix before, each once; −1: it is new.
    """
    if before is not None:
        kept, new = np.flatnonzero(places >= 0), np.flatnonzero(places < 0)
        gone = np.delete(np.arange(len(before.matrix)), places[kept])
        if len(new) + len(gone) <= MOST_CHANGED * len(matrix):
            found = _updated(before.inverse, matrix, Changed(kept, places[kept], new, gone))
            asked = np.cos(np.arange(len(matrix)) ** 2)
            if np.abs(matrix @ (found @ asked) - asked).max() <= LARGEST_ERROR:
                return Inverted(matrix, found)
    return Inverted(matrix, inverse(matrix))


class Changed(NamedTuple):
    """Rows of a matrix and of the one before."""

    kept: Codes
    there: Codes
    """Places of those kept in the matrix before."""
    new: Codes
    gone: Codes
    """Places in the matrix before."""


def block(places: Codes) -> Any:
    """Return the index of these rows and columns; a slice of both where they follow each other."""
    if len(places) and (np.diff(places) == 1).all():
        return (slice(places[0], places[-1] + 1),) * 2
    return np.ix_(places, places)


def _updated(known: Floats, matrix: Floats, changed: Changed) -> Floats:
    """Return the inverse of a matrix by that of the one before, by one product for rows that went and rows that came.

    Both are inversions by blocks: of the matrix before by its rows that went, of this one by its new rows.
    """
    kept, there, new, gone = changed
    rest, lost = known[block(there)], known[np.ix_(there, gone)]
    weight = np.linalg.inv(known[np.ix_(gone, gone)]) @ lost.T
    between = matrix[np.ix_(new, kept)]
    shifted = between @ rest - (between @ lost) @ weight
    corner = np.linalg.inv(matrix[np.ix_(new, new)] - shifted @ between.T)
    back = corner @ shifted
    found = np.empty_like(matrix)
    found[np.ix_(new, new)], found[np.ix_(new, kept)], found[np.ix_(kept, new)] = corner, -back, -back.T
    found[block(kept)] = rest + np.hstack([lost, shifted.T]) @ np.vstack([-weight, back])
    return found
