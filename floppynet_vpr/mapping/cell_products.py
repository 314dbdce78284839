# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Products of a query's cells with those of places: by xor and popcount.

They are integers. What is summed up in floats is added in one order, that of the pairs of cells, so
that all ways give the same bits.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.hamming import differing_bits
from floppynet_vpr.libraries import require
from floppynet_vpr.mapping.cells import Codes, Rounded
from floppynet_vpr.mapping.grid import Grid
from floppynet_vpr.mapping.shifts import Shifts

_PLACES_AT_ONCE = 16
_OUTLINES_AT_ONCE = 1024
_SAME = 1 << 24

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MovedOutline:
    """A query's outline (`outlines`), of w words, moved by each of s shifts.

    `words` and `masks` are (s, w) uint64, C-contiguous; `masks` has the bits of the cells that
    meet, and `words` no others. `weights` (s,) int32 is what a bit that differs costs.
    """

    words: NDArray[np.uint64]
    masks: NDArray[np.uint64]
    weights: NDArray[np.int32]


class CellProducts(Protocol):
    """A way to compute them; all ways give the same.

    Sizes are those of a grid of 6 x 6 cells of 256 bits.
    """

    def products(
        self, rounded: Rounded, signs: NDArray[np.uint8], shifts: Shifts
    ) -> NDArray[np.int32]:
        """Multiply a rounded map's cells with the signs of n places, (n, 36, 32) uint8.

        Gives (n, pairs) int32: the sum over the 256 values k of a cell of the place's sign times
        the query's value in units of its step, the sum over bits b of 2^b v_b.
        """

    def sums(
        self, rounded: Rounded, codes: Codes, remainders: NDArray[np.float32], shifts: Shifts
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Add up, over the pairs of each shift, what a query's cells and n places' make together.

        Gives two (n, shifts) float32: sums of the `products` times the steps of the query's cells
        and the factors of the places', and sums of the places' `remainders`, (n, 36) float32.
        """

    def sketch_costs(
        self,
        query: NDArray[np.uint8],
        sketches: NDArray[np.uint8],
        rows: NDArray[np.int64],
        shifts: Shifts,
    ) -> NDArray[np.int32]:
        """Count the bits in which places' sketches differ from a query's, and what they cost.

        The query's is (36, 8) uint8; the places' are `rows`, (n,), of (m, 288) uint8, both
        C-contiguous. Gives (n,) int32, the least of all shifts of the number of bits that differ
        times the shift's weight (`bit_weights`).
        """

    def outline_costs(
        self, query: MovedOutline, columns: NDArray[np.uint64], places: int
    ) -> NDArray[np.int32]:
        """Count the bits in which places' outlines differ from a query's, and what they cost.

        `columns` are the words of outlines, (w, room) uint64, C-contiguous, with room for whole
        eights of places. Gives (places,) int32, the least of all shifts, as `sketch_costs`.
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
    """By code that LLVM compiles for this CPU, or for the less that is named."""

    def __init__(self, grid: Grid, cpu: str = "", features: str = "") -> None:
        """Compile; raises ImportError where llvmlite is absent."""
        require("llvmlite")
        from floppynet_vpr.mapping.native_products import LANES, native_products

        self._lanes = LANES
        self._code = native_products(grid, cpu, features)

    def products(
        self, rounded: Rounded, signs: NDArray[np.uint8], shifts: Shifts
    ) -> NDArray[np.int32]:
        """See `CellProducts`."""
        planes, signs = np.ascontiguousarray(rounded.planes), np.ascontiguousarray(signs)
        scratch, out = self._scratch(signs), self._room(len(shifts.query_cells), signs, np.int32)
        self._code.products[planes.shape[1]](
            *_given(planes, signs, scratch, shifts), len(out), out.ctypes.data
        )
        return np.ascontiguousarray(out[:, : len(signs)].T)

    def sums(
        self, rounded: Rounded, codes: Codes, remainders: NDArray[np.float32], shifts: Shifts
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `CellProducts`."""
        planes, signs = np.ascontiguousarray(rounded.planes), np.ascontiguousarray(codes.signs)
        numbers = np.concatenate([codes.factors, remainders], axis=1)
        scratch, beside = self._scratch(signs), self._scratch(numbers)
        likeness, sizes = (self._room(len(shifts), signs, np.float32) for _ in range(2))
        self._code.sums[planes.shape[1]](
            *_given(planes, signs, scratch, shifts),
            shifts.first.ctypes.data,
            len(shifts),
            rounded.steps.ctypes.data,
            numbers.ctypes.data,
            beside.ctypes.data,
            likeness.ctypes.data,
            sizes.ctypes.data,
        )
        return likeness[:, : len(signs)].T, sizes[:, : len(signs)].T

    def sketch_costs(
        self,
        query: NDArray[np.uint8],
        sketches: NDArray[np.uint8],
        rows: NDArray[np.int64],
        shifts: Shifts,
    ) -> NDArray[np.int32]:
        """See `CellProducts`."""
        query, weights = np.ascontiguousarray(query), bit_weights(shifts, query.shape[1])
        scratch, out = self._scratch(sketches), self._room(1, rows, np.int32)[0]
        self._code.sketches(
            query.ctypes.data,
            sketches.ctypes.data,
            rows.ctypes.data,
            len(rows),
            scratch.ctypes.data,
            shifts.query_cells.ctypes.data,
            shifts.place_cells.ctypes.data,
            shifts.first.ctypes.data,
            weights.ctypes.data,
            len(shifts),
            out.ctypes.data,
        )
        return out[: len(rows)]

    def outline_costs(
        self, query: MovedOutline, columns: NDArray[np.uint64], places: int
    ) -> NDArray[np.int32]:
        """See `CellProducts`."""
        out = np.empty(columns.shape[1], np.int32)
        self._code.outlines(
            columns.ctypes.data,
            columns.shape[1],
            places,
            query.words.ctypes.data,
            query.masks.ctypes.data,
            query.weights.ctypes.data,
            len(query.weights),
            out.ctypes.data,
        )
        return out[:places]

    def _scratch(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Room for the values of the places that are computed at a time, beside each other."""
        return np.empty((math.prod(rows.shape[1:]), self._lanes), rows.dtype)

    def _room(self, values: int, places: NDArray[Any], kind: type) -> NDArray[Any]:
        """Room for so many values of each place, and of as many more as fill the lanes."""
        return np.empty((values, -(-len(places) // self._lanes) * self._lanes), kind)


def _given(
    query: NDArray[np.uint8], places: NDArray[np.uint8], scratch: NDArray[np.uint8], shifts: Shifts
) -> tuple[int, ...]:
    """The first arguments of all compiled functions."""
    return (
        query.ctypes.data,
        places.ctypes.data,
        len(places),
        scratch.ctypes.data,
        shifts.query_cells.ctypes.data,
        shifts.place_cells.ctypes.data,
    )


class MatrixProducts:
    """By products of float32 matrices, of a few places at once; outlines by faiss if it is there.

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

    def sums(
        self, rounded: Rounded, codes: Codes, remainders: NDArray[np.float32], shifts: Shifts
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `CellProducts`."""
        met = self.products(rounded, codes.signs, shifts).astype(np.float32)
        met *= rounded.steps[shifts.query_cells]
        met *= codes.factors[:, shifts.place_cells]
        return _in_order(met, shifts), _in_order(remainders[:, shifts.place_cells], shifts)

    def sketch_costs(
        self,
        query: NDArray[np.uint8],
        sketches: NDArray[np.uint8],
        rows: NDArray[np.int64],
        shifts: Shifts,
    ) -> NDArray[np.int32]:
        """See `CellProducts`."""
        values, weights = plus_minus_one(query), bit_weights(shifts, query.shape[1])
        out = np.empty(len(rows), np.int32)
        for first in range(0, len(rows), _PLACES_AT_ONCE):
            chosen = sketches[rows[first : first + _PLACES_AT_ONCE]]
            likeness = _all_pairs(plus_minus_one(chosen), values)
            met = (values.shape[1] - likeness[:, shifts.place_cells, shifts.query_cells]) / 2
            differing = np.add.reduceat(met, shifts.first[:-1], axis=1).astype(np.int32)
            out[first : first + len(chosen)] = (differing * weights).min(axis=1)
        return out

    def outline_costs(
        self, query: MovedOutline, columns: NDArray[np.uint64], places: int
    ) -> NDArray[np.int32]:
        """See `CellProducts`."""
        out = np.full(places, np.iinfo(np.int32).max, np.int32)
        for first in range(0, places, _OUTLINES_AT_ONCE):
            least = out[first : first + _OUTLINES_AT_ONCE]
            rows = np.ascontiguousarray(columns[:, first : first + len(least)].T)
            for words, masks, weight in zip(query.words, query.masks, query.weights, strict=True):
                differing = differing_bits(words.view(np.uint8), (rows & masks).view(np.uint8))
                np.minimum(least, differing * weight, out=least)
        return out


def _in_order(values: NDArray[np.float32], shifts: Shifts) -> NDArray[np.float32]:
    """Add up the (n, pairs) values of each shift, one pair after the other: (n, shifts)."""
    sums = np.zeros((len(values), len(shifts)), np.float32)
    for number in range(shifts.overlaps.max()):
        having = np.flatnonzero(shifts.overlaps > number)
        sums[:, having] += values[:, shifts.first[having] + number]
    return sums


def _all_pairs(places: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply the cells of n places with those of a query: (n, place's cells, query's cells)."""
    cells, bits = values.shape
    return (places.reshape(-1, bits) @ values.T).reshape(-1, cells, cells)


def bit_weights(shifts: Shifts, cell_bytes: int) -> NDArray[np.int32]:
    """What a bit that differs costs at each shift, of cells of which so many bytes are looked at.

    Of all bits that meet they are 2^24 times the shift's cost, (shifts,) int32.
    """
    return np.rint(_SAME * shifts.costs / (shifts.overlaps * 8.0 * cell_bytes)).astype(np.int32)


def plus_minus_one(bits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Unpack (..., b) uint8 to (..., 8 b) float32 of +-1."""
    return np.unpackbits(bits, axis=-1).astype(np.float32) * 2 - 1
