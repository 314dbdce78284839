# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Feature maps, signs and rounded maps at random, and the cells that meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping.cells import Rounded
from floppynet_vpr.mapping.grid import POOL5, Grid
from floppynet_vpr.mapping.shifts import make_shifts, tolerant, unshifted

SIDE, CELLS, CHANNELS, CELL_BYTES = POOL5.rows, POOL5.cells, POOL5.channels, POOL5.cell_bytes
TOLERANT, UNSHIFTED = tolerant(POOL5), unshifted(POOL5)
SHIFTS = {"unshifted": UNSHIFTED, "tolerant": TOLERANT, "many": make_shifts(3, 2)}
GRIDS = {
    "pool5": POOL5,
    "oblong": Grid(2, 3, 40),
    "conv5_3": Grid(7, 7, 512),
    "global": Grid(1, 1, 700),
}


def random_maps(count: int, seed: int, scale: float = 1.0) -> NDArray[np.float32]:
    """Feature maps, (count, 36, 256) float32, whose cells are not all as strong."""
    rng = np.random.default_rng(seed)
    strengths = rng.uniform(0.2, 1, (count, CELLS, 1))
    return (scale * strengths * rng.normal(size=(count, CELLS, CHANNELS))).astype(np.float32)


def random_descriptors(count: int, seed: int, grid: Grid) -> NDArray[np.float32]:
    """Descriptors of norm 1, (count, dimension) float32."""
    rows = np.random.default_rng(seed).normal(size=(count, grid.dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random_signs(count: int, seed: int, grid: Grid = POOL5) -> NDArray[np.uint8]:
    shape = count, grid.cells, grid.cell_bytes
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def random_rounded(bits: int, seed: int, grid: Grid = POOL5) -> Rounded:
    rng, cells = np.random.default_rng(seed), grid.cells
    planes = rng.integers(0, 256, (cells, bits, grid.cell_bytes), np.uint8)
    return Rounded(planes, rng.random(cells, np.float32), rng.random(cells, np.float32))


def shifted(feature_map: NDArray[np.float32], right: int, down: int) -> NDArray[np.float32]:
    """Move (36, 256) cells by so many to the right and down, the edges going round."""
    grid = feature_map.reshape(SIDE, SIDE, CHANNELS)
    return np.roll(grid, (down, right), axis=(0, 1)).reshape(CELLS, CHANNELS)


def pairs_of(right: int, down: int, grid: Grid = POOL5) -> list[tuple[int, int]]:
    """The cells that meet at a shift, one by one."""
    return [
        (row * grid.columns + column, (row + down) * grid.columns + column + right)
        for row in range(grid.rows)
        for column in range(grid.columns)
        if 0 <= row + down < grid.rows and 0 <= column + right < grid.columns
    ]
