# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Which cells of two feature maps lie upon each other when one of them is shifted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping.grid import POOL5, Grid

STEP_COST = 1.05
"""What a sixth of the map's width or height, a step of pool5, multiplies 1 - cosine by."""

_STEPS = 6


@dataclass(frozen=True)
class Shifts:
    """Shifts that are tried, and the pairs of cells of each, one shift after the other.

    `grid` is that of the maps. `steps` is (s, 2) int64: by how many cells the place's map is read
    farther to the right, and farther down, than the query's. `query_cells` and `place_cells` are
    (p,) int32, the cells (row * columns + column) that meet; those of shift i are from `first[i]`,
    (s + 1,) int64, to before `first[i + 1]`. `costs` is (s,) float32, see `STEP_COST`. Fewer steps
    come first.
    """

    grid: Grid
    steps: NDArray[np.int64]
    query_cells: NDArray[np.int32]
    place_cells: NDArray[np.int32]
    first: NDArray[np.int64]
    costs: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def overlaps(self) -> NDArray[np.int64]:
        """How many cells meet at each shift, (s,)."""
        return np.diff(self.first)

    @cached_property
    def straight(self) -> Shifts:
        """Those to a side, up or down alone."""
        return _shifts([step for step in map(tuple, self.steps.tolist()) if 0 in step], self.grid)


def make_shifts(sideways: int, lengthwise: int, grid: Grid = POOL5) -> Shifts:
    """List all shifts of up to so many cells to either side, and up or down."""
    steps = sorted(
        (
            (right, down)
            for right in range(-sideways, sideways + 1)
            for down in range(-lengthwise, lengthwise + 1)
        ),
        key=lambda step: (abs(step[0]) + abs(step[1]), step),
    )
    return _shifts(steps, grid)


def _shifts(steps: list[tuple[int, int]], grid: Grid) -> Shifts:
    pairs = [_pairs(*step, grid) for step in steps]
    counts = [len(pair) for pair in pairs]
    cells = np.concatenate(pairs).astype(np.int32)
    sixths = [_STEPS * (abs(x) / grid.columns + abs(y) / grid.rows) for x, y in steps]
    return Shifts(
        grid,
        np.array(steps, np.int64),
        np.ascontiguousarray(cells[:, 0]),
        np.ascontiguousarray(cells[:, 1]),
        np.cumsum([0, *counts], dtype=np.int64),
        np.array([STEP_COST**sixth for sixth in sixths], np.float32),
    )


def _pairs(right: int, down: int, grid: Grid) -> NDArray[np.int64]:
    """The cells of query and place that meet, (n, 2) int64."""
    rows, columns = np.divmod(np.arange(grid.cells), grid.columns)
    met = (
        (rows + down >= 0)
        & (rows + down < grid.rows)
        & (columns + right >= 0)
        & (columns + right < grid.columns)
    )
    query = np.flatnonzero(met)
    return np.stack([query, query + down * grid.columns + right], axis=1)


@cache
def unshifted(grid: Grid) -> Shifts:
    """Cell upon cell: eq. 5 and 6 of the FloppyNet paper."""
    return make_shifts(0, 0, grid)


@cache
def tolerant(grid: Grid) -> Shifts:
    """A third of the map to either side, as from another lane, and a sixth up or down, as tilted.

    Of pool5 these are two cells and one. A single cell can only be compared as it is.
    """
    return make_shifts(round(grid.columns / 3), round(grid.rows / 6), grid)


def shift_shares(shift: tuple[int, int], grid: Grid) -> tuple[float, float]:
    """Turn a shift in cells into shares of the image's width and height.

    The cells of pool5 lie 32 of 227 pixels apart; those of other networks are taken to share the
    whole of the image between them.
    """
    if grid == POOL5:
        return shift[0] * _POOL5_SHARE, shift[1] * _POOL5_SHARE
    return shift[0] / grid.columns, shift[1] / grid.rows


_POOL5_SHARE = 32 / 227
