# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Products of a query's cells with those of places, as integers: by xor and popcount."""

from __future__ import annotations

import logging
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.libraries import require
from floppynet_vpr.mapping.cells import Rounded
from floppynet_vpr.mapping.grid import Grid
from floppynet_vpr.mapping.shifts import Shifts

_PLACES_AT_ONCE = 16

_log = logging.getLogger(__name__)


class CellProducts(Protocol):
    """A way to compute them; all ways give the same integers.

    Sizes are those of a grid of 6 x 6 cells of 256 bits.
    """

    def products(
        self, rounded: Rounded, signs: NDArray[np.uint8], shifts: Shifts
    ) -> NDArray[np.int32]:
        """Multiply a rounded map's cells with the signs of n places, (n, 36, 32) uint8.

        Gives (n, pairs) int32: the sum over the 256 values k of a cell of the place's sign times
        the query's value in units of its step, the sum over bits b of 2^b v_b.
        """

    def sketch_distances(
        self, query: NDArray[np.uint8], sketches: NDArray[np.uint8], shifts: Shifts
    ) -> NDArray[np.int32]:
        """Count differing bits of a query's sketch, (36, 8), and n places', (n, 36, 8) uint8.

        Gives (n, shifts) int32, the sum over the pairs of each shift.
        """


@cache
def best_products(grid: Grid) -> CellProducts:
    """The fastest way that works here, chosen once a process for each grid."""
    try:
        return CompiledProducts(grid)
    except Exception as error:  # of a compiler anything may come
        reason = str(error).partition("\n")[0] or type(error).__name__
        _log.info("places are compared by numpy, more slowly: %s", reason)
        return MatrixProducts()


class CompiledProducts:
    """By code that LLVM compiles for this CPU."""

    def __init__(self, grid: Grid) -> None:
        """Compile; raises ImportError where llvmlite is absent."""
        require("llvmlite")
        from floppynet_vpr.mapping.native_products import native_products

        self._code = native_products(grid)

    def products(
        self, rounded: Rounded, signs: NDArray[np.uint8], shifts: Shifts
    ) -> NDArray[np.int32]:
        """See `CellProducts`."""
        planes, signs = np.ascontiguousarray(rounded.planes), np.ascontiguousarray(signs)
        out = np.empty((len(signs), len(shifts.query_cells)), np.int32)
        self._code.products[planes.shape[1]](
            planes.ctypes.data,
            signs.ctypes.data,
            len(signs),
            shifts.query_cells.ctypes.data,
            shifts.place_cells.ctypes.data,
            out.shape[1],
            out.ctypes.data,
        )
        return out

    def sketch_distances(
        self, query: NDArray[np.uint8], sketches: NDArray[np.uint8], shifts: Shifts
    ) -> NDArray[np.int32]:
        """See `CellProducts`."""
        query, sketches = np.ascontiguousarray(query), np.ascontiguousarray(sketches)
        out = np.empty((len(sketches), len(shifts)), np.int32)
        self._code.sketches(
            query.ctypes.data,
            sketches.ctypes.data,
            len(sketches),
            shifts.query_cells.ctypes.data,
            shifts.place_cells.ctypes.data,
            shifts.first.ctypes.data,
            len(shifts),
            out.ctypes.data,
        )
        return out


class MatrixProducts:
    """By products of float32 matrices, of a few places at once.

    All sums are integers below 2^24, so that they are exact in whatever order they are added up.
    """

    def products(
        self, rounded: Rounded, signs: NDArray[np.uint8], shifts: Shifts
    ) -> NDArray[np.int32]:
        """See `CellProducts`."""
        values = rounded.values()
        out = np.empty((len(signs), len(shifts.query_cells)), np.int32)
        for first in range(0, len(signs), _PLACES_AT_ONCE):
            places = plus_minus_one(signs[first : first + _PLACES_AT_ONCE])
            all_pairs = _all_pairs(places, values)
            met = all_pairs[:, shifts.place_cells, shifts.query_cells]
            out[first : first + len(places)] = met
        return out

    def sketch_distances(
        self, query: NDArray[np.uint8], sketches: NDArray[np.uint8], shifts: Shifts
    ) -> NDArray[np.int32]:
        """See `CellProducts`."""
        values = plus_minus_one(query)
        bits = values.shape[1]
        out = np.empty((len(sketches), len(shifts)), np.int32)
        for first in range(0, len(sketches), _PLACES_AT_ONCE):
            places = plus_minus_one(sketches[first : first + _PLACES_AT_ONCE])
            likeness = _all_pairs(places, values)
            met = (bits - likeness[:, shifts.place_cells, shifts.query_cells]) / 2
            out[first : first + len(places)] = np.add.reduceat(met, shifts.first[:-1], axis=1)
        return out


def _all_pairs(places: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply the cells of n places with those of a query: (n, place's cells, query's cells)."""
    cells, bits = values.shape
    return (places.reshape(-1, bits) @ values.T).reshape(-1, cells, cells)


def plus_minus_one(bits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Unpack (..., b) uint8 to (..., 8 b) float32 of +-1."""
    return np.unpackbits(bits, axis=-1).astype(np.float32) * 2 - 1
