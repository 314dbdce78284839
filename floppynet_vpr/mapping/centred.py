# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Compares a query with places, both less the mean of their drive, with shifts.

For a query q and a place p, less the mean m of its drive, the likeness at a shift is the cosine of
the parts that meet,

    sum over pairs of q_i . (p_j - m_j)  /  (|q over the pairs| |p - m over the pairs|),

and the squared distance the least of 2 (1 - cosine) over all shifts, times 1.05 for each step. The
place being known by its signs, q_i . p_j is estimated from them (`cells`), q_i . m_j is exact, and
so is |p_j - m_j|^2 = |p_j|^2 - 2 p_j . m_j + |m_j|^2 but for p_j . m_j, estimated as well.

Query and means are rounded to integers, so all products are sums of integers, exact in whatever
way they are computed; what follows is element by element.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping.cell_products import best_products
from floppynet_vpr.mapping.cells import Codes, Rounded, round_cells
from floppynet_vpr.mapping.grid import Grid
from floppynet_vpr.mapping.shifts import Shifts, unshifted

_LEAST_SHARE = 0.05
_EXACT_IN_FLOAT32 = 1 << 24
_LARGEST_PRODUCT = 255 * 15


@dataclass(frozen=True)
class Comparison:
    """What came of comparing n places: squared distances, (n,) float32 from 0 to 4, and shifts.

    `shifts` (n,) int64 are indices of the shifts at which the places are nearest.
    """

    squares: NDArray[np.float32]
    shifts: NDArray[np.int64]


class Means:
    """Means of drives, to be subtracted, rounded to 8 bits a value."""

    def __init__(self, turned: NDArray[np.float32], grid: Grid) -> None:
        """Take (drives, cells, bits) float32 turned feature maps."""
        self._grid = grid
        self._rounded = [round_cells(mean, 8) for mean in turned]
        # A product of matrices may add up in any order: all sums must be exact.
        exact = grid.bits * _LARGEST_PRODUCT < _EXACT_IN_FLOAT32
        self._kind = np.float32 if exact else np.float64
        values = [mean.values().astype(self._kind) for mean in self._rounded]
        self._whole = np.concatenate([np.empty((0, grid.bits), self._kind), *values])
        self._steps = np.array([mean.steps for mean in self._rounded]).reshape(-1, grid.cells)

    def remainders(self, codes: Codes, drive: int) -> NDArray[np.float32]:
        """Estimate the squared norms of n places' cells less their drive's mean, (n, cells)."""
        mean = self._rounded[drive]
        products = best_products(self._grid).products(mean, codes.signs, unshifted(self._grid))
        met = products.astype(np.float32)
        met *= mean.steps
        met *= codes.factors
        squares = np.square(codes.norms)
        return np.maximum(squares - 2 * met + mean.squares, np.float32(_LEAST_SHARE) * squares)

    def products(self, query: Rounded, shifts: Shifts) -> NDArray[np.float32]:
        """Multiply a query's cells with the means', summed over the pairs of each shift.

        Returns (drives, shifts) float32.
        """
        return np.add.reduceat(self.pair_products(query, shifts), shifts.first[:-1], axis=1)

    def pair_products(self, query: Rounded, shifts: Shifts) -> NDArray[np.float32]:
        """Multiply a query's cells with the means', pair by pair: (drives, pairs) float32."""
        cells = self._grid.cells
        whole = self._whole @ query.values().astype(self._kind).T
        every = whole.reshape(-1, cells, cells).astype(np.float32)
        met = every[:, shifts.place_cells, shifts.query_cells]
        met *= self._steps[:, shifts.place_cells]
        met *= query.steps[shifts.query_cells]
        return met


def compare(
    query: Rounded,
    codes: Codes,
    remainders: NDArray[np.float32],
    mean_products: NDArray[np.float32],
    shifts: Shifts,
) -> Comparison:
    """Compare a query with n places.

    `remainders` are the places' `Means.remainders`; `mean_products` (n, shifts) or (shifts,)
    `Means.products` of the query with the means of their drives.
    """
    starts = shifts.first[:-1]
    met, theirs = best_products(shifts.grid).sums(query, codes, remainders, shifts)
    likeness = met - mean_products
    ours = np.add.reduceat(query.squares[shifts.query_cells], starts)
    sizes = np.sqrt(ours * theirs)
    cosines = np.divide(likeness, sizes, out=np.zeros_like(likeness), where=sizes > 0)
    squares = 2 * (1 - cosines) * shifts.costs
    best = squares.argmin(axis=1)
    return Comparison(np.clip(squares[np.arange(len(best)), best], 0, 4), best)


def cell_cosines(
    query: Rounded,
    codes: Codes,
    remainders: NDArray[np.float32],
    mean_products: NDArray[np.float32],
    shifts: Shifts,
) -> NDArray[np.float32]:
    """Compare the cells of a query with those of n places, pair by pair: (n, pairs) float32.

    `remainders` are the places' `Means.remainders`; `mean_products` (n, pairs) or (pairs,)
    `Means.pair_products` of the query with the means of their drives.
    """
    products = best_products(shifts.grid).products(query, codes.signs, shifts).astype(np.float32)
    products *= query.steps[shifts.query_cells]
    products *= codes.factors[:, shifts.place_cells]
    likeness = products - mean_products
    sizes = np.sqrt(query.squares[shifts.query_cells] * remainders[:, shifts.place_cells])
    return np.divide(likeness, sizes, out=np.zeros_like(likeness), where=sizes > 0)
