# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A place as bits: the signs of its feature map, turned cell by cell.

pool5 is a map of 6 x 6 cells of 256 values, each of which sees a part of the image; other networks
have other maps, or a single cell (`grid`). The values of a cell, zeros added where it is turned in
more dimensions than it has, are turned by a fixed random rotation (signs, Hadamard, signs,
Hadamard), the same for all cells, after which they spread like independent Gaussian values; of
these the signs are kept, a bit each, and two
numbers: the cell's norm n, and the factor n^2 / (y . sign(y)), which makes the product of the signs
with any vector an unbiased estimate of that of the cell's own turned values y (RaBitQ, Gao and
Long, 2024, for each cell). Cells do not mix, so two maps can be compared with one of them shifted.

The other side of a comparison, a query or the mean of a drive, is rounded to a few bits a value.
Products are then sums of popcounts, integers, the same on every machine and in every batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.arithmetic import products
from floppynet_vpr.extraction.hamming import popcount
from floppynet_vpr.mapping.grid import Grid

_RANGES = {4: 2.68, 8: 3.92}
"""Standard deviations up to which values are told apart, so that rounding them errs least."""


@dataclass(frozen=True)
class Codes:
    """Places as they are kept; sizes are those of a grid of 6 x 6 cells of 256 bits.

    `signs` is (n, 36, 32) uint8, bit k of a cell (most significant first) being 1 where its turned
    value k is not negative; `norms` and `factors` are (n, 36) float32.
    """

    signs: NDArray[np.uint8]
    norms: NDArray[np.float32]
    factors: NDArray[np.float32]


@dataclass(frozen=True)
class Rounded:
    """A turned feature map, each cell rounded to odd multiples of its own step; sizes as `Codes`.

    With bit b of value k being v_b = +-1, the value is step * sum over b of 2^b v_b. `planes` is
    (36, bits, 32) uint8, least bit first; `steps` is (36,) float32; `squares` (36,) float32 are the
    squared norms of the cells before rounding.
    """

    planes: NDArray[np.uint8]
    steps: NDArray[np.float32]
    squares: NDArray[np.float32]

    def values(self) -> NDArray[np.float32]:
        """The values in units of their cell's step, odd integers, (36, 256) float32."""
        bits = np.unpackbits(self.planes, axis=-1)
        weights = 2 ** np.arange(1, bits.shape[1] + 1, dtype=np.float32)
        return (bits * weights[:, None]).sum(axis=1) - (2 ** bits.shape[1] - 1)


def turn(descriptors: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    """Turn the cells of (n, dimension) float32 descriptors: (n, cells, bits); lengths stay."""
    columns = descriptors.reshape(-1, grid.channels).T
    if grid.bits > grid.channels:
        columns = np.pad(columns, ((0, grid.bits - grid.channels), (0, 0)))
    for signs in _signs(grid.bits):
        columns = hadamard(columns * signs)
    return np.ascontiguousarray(columns.T).reshape(-1, grid.cells, grid.bits)


def turn_back(turned: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    """Undo `turn`: (n, dimension) float32."""
    columns = turned.reshape(-1, grid.bits).T
    for signs in reversed(_signs(grid.bits)):
        columns = hadamard(columns) * signs
    return np.ascontiguousarray(columns[: grid.channels].T).reshape(-1, grid.dimension)


def encode(turned: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Make the rows of (n, cells, bits) float32 turned feature maps: (n, row_bytes) uint8."""
    squares = products(turned, turned)
    reach = np.abs(turned).sum(axis=-1)
    factors = np.divide(squares, reach, out=np.zeros_like(squares), where=reach > 0)
    signs = np.packbits(turned >= 0, axis=-1).reshape(len(turned), math.prod(turned.shape[1:]) // 8)
    numbers = np.concatenate([np.sqrt(squares), factors], axis=1).astype("<f2")
    return np.concatenate([signs, numbers.view(np.uint8)], axis=1)


def codes(rows: NDArray[np.uint8], grid: Grid) -> Codes:
    """Take (n, row_bytes) uint8 rows apart."""
    end, cells = grid.code_bytes, grid.cells
    signs = np.ascontiguousarray(rows[:, :end]).reshape(-1, cells, grid.cell_bytes)
    numbers = np.ascontiguousarray(rows[:, end:]).view("<f2").astype(np.float32)
    return Codes(signs, numbers[:, :cells], numbers[:, cells:])


def decode(rows: NDArray[np.uint8], grid: Grid) -> NDArray[np.float32]:
    """Estimate the turned feature maps of rows, without bias: (n, cells, bits) float32."""
    known = codes(rows, grid)
    signs = np.unpackbits(known.signs, axis=-1).astype(np.float32) * 2 - 1
    return signs * known.factors[..., None]


def code_products(one: Codes, others: Codes) -> NDArray[np.float32]:
    """Estimate the products of a place's cells with those of n places, all known by their signs.

    Of two turned cells a share of signs differs that is their angle over pi (Goemans and
    Williamson, 1995). Returns (n, cells) float32.
    """
    words = (one.signs ^ others.signs).view(np.uint64)
    ones = np.empty(words.shape, np.uint8)
    popcount(words, ones)
    cosines = _cosines(8 * one.signs.shape[-1])[ones.sum(axis=-1, dtype=np.int64)]
    return np.asarray(one.norms * others.norms * cosines, np.float32)


@lru_cache
def _cosines(bits: int) -> NDArray[np.float32]:
    """Of two cells' angle, by how many of their signs differ: (bits + 1,)."""
    # In float32 the last bit of libm's cosine, which machines compute differently, is gone.
    cosines = [math.cos(math.pi * differing / bits) for differing in range(bits + 1)]
    return np.array(cosines, np.float32)


def round_cells(turned: NDArray[np.float32], bits: int) -> Rounded:
    """Round a (cells, bits) float32 turned feature map to 4 or 8 bits a value.

    The step of a cell is chosen so that its rounded values times its own are its squared norm.
    """
    squares = products(turned, turned)
    deviations = np.sqrt(squares / np.float32(turned.shape[-1]))
    levels = 1 << bits
    width = deviations * np.float32(2 * _RANGES[bits] / levels)
    scaled = np.divide(turned, width[:, None], out=np.zeros_like(turned), where=width[:, None] > 0)
    index = np.clip(np.floor(scaled) + levels // 2, 0, levels - 1)
    odd = 2 * index - np.float32(levels - 1)
    reach = products(turned, odd)
    steps = np.divide(squares, reach, out=np.zeros_like(squares), where=reach > 0)
    whole = index.astype(np.uint8)
    planes = [np.packbits(whole >> bit & 1, axis=-1) for bit in range(bits)]
    return Rounded(np.ascontiguousarray(np.stack(planes, axis=1)), steps, squares)


def hadamard(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply Sylvester's matrix, orthonormal and symmetric, with (size, n) columns.

    The size is a power of two, 2^8 for cells of pool5: 8 rounds of sums and differences of the two
    halves, which are interleaved, so that after the last one each value is where it belongs. Every
    column is computed by itself.
    """
    size = len(columns)
    half = size // 2
    for _ in range(size.bit_length() - 1):
        upper, lower = columns[:half], columns[half:]
        columns = np.empty_like(columns)
        np.add(upper, lower, out=columns[0::2])
        np.subtract(upper, lower, out=columns[1::2])
    columns /= np.float32(size**0.5)
    return columns


@lru_cache(maxsize=8)
def _signs(size: int) -> tuple[NDArray[np.float32], ...]:
    """The signs of each round, the same for every map ever written.

    RandomState, because numpy promises that its numbers stay the same in all versions.
    """
    random = np.random.RandomState(227)
    return tuple((2 * random.randint(0, 2, (size, 1)) - 1).astype(np.float32) for _ in range(2))
