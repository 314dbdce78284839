# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Which cells of two feature maps lie upon each other when one of them is shifted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping.cells import SIDE

CELL_SHARE = 32 / 227
"""Share of the image's width and height that a cell takes."""

STEP_COST = 1.05
"""What a step of shift multiplies 1 - cosine by."""


@dataclass(frozen=True)
class Shifts:
    """Shifts that are tried, and the pairs of cells of each, one shift after the other.

    `steps` is (s, 2) int64: by how many cells the place's map is read farther to the right, and
    farther down, than the query's. `query_cells` and `place_cells` are (p,) int32, the cells
    (row * 6 + column) that meet; those of shift i are from `first[i]`, (s + 1,) int64, to before
    `first[i + 1]`. `costs` is (s,) float32, 1.05 for each step. Fewer steps come first.
    """

    steps: NDArray[np.int64]
    query_cells: NDArray[np.int32]
    place_cells: NDArray[np.int32]
    first: NDArray[np.int64]
    costs: NDArray[np.float32]

    def __len__(self) -> int:
        """Count the shifts."""
        return len(self.steps)

    @property
    def overlaps(self) -> NDArray[np.int64]:
        """How many cells meet at each shift, (s,)."""
        return np.diff(self.first)


def make_shifts(sideways: int, lengthwise: int) -> Shifts:
    """List all shifts of up to so many cells to either side, and up or down."""
    steps = sorted(
        (
            (right, down)
            for right in range(-sideways, sideways + 1)
            for down in range(-lengthwise, lengthwise + 1)
        ),
        key=lambda step: (abs(step[0]) + abs(step[1]), step),
    )
    pairs = [_pairs(*step) for step in steps]
    counts = [len(pair) for pair in pairs]
    cells = np.concatenate(pairs).astype(np.int32)
    return Shifts(
        np.array(steps, np.int64),
        np.ascontiguousarray(cells[:, 0]),
        np.ascontiguousarray(cells[:, 1]),
        np.cumsum([0, *counts], dtype=np.int64),
        np.array([STEP_COST ** (abs(x) + abs(y)) for x, y in steps], np.float32),
    )


def _pairs(right: int, down: int) -> NDArray[np.int64]:
    """The cells of query and place that meet, (n, 2) int64."""
    rows, columns = np.divmod(np.arange(SIDE * SIDE), SIDE)
    met = (
        (rows + down >= 0)
        & (rows + down < SIDE)
        & (columns + right >= 0)
        & (columns + right < SIDE)
    )
    query = np.flatnonzero(met)
    return np.stack([query, query + down * SIDE + right], axis=1)


UNSHIFTED = make_shifts(0, 0)
"""Cell upon cell: eq. 5 and 6 of the FloppyNet paper."""

TOLERANT = make_shifts(2, 1)
"""Two cells to either side, as from another lane, and one up or down, as from a tilted camera."""
