# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The first stage of a search: which places of a large map are worth comparing with a query.

Places are compared by ever more of their signs. All are looked through by their outlines
(`outlines`), 16 of pool5's 256 bits a cell, moved to a side, up or down. Of those that differ
least, 16 for each place asked for, sketches are compared, 64 bits a cell, with all shifts.
Nothing is trained, and a place is found as soon as it is added.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping.blocks import Blocks
from floppynet_vpr.mapping.cell_products import best_products
from floppynet_vpr.mapping.grid import Grid
from floppynet_vpr.mapping.outlines import Outlines
from floppynet_vpr.mapping.ranking import smallest_set
from floppynet_vpr.mapping.shifts import Shifts

SKETCHES = 16
"""Places whose sketches are compared, for each that is asked for."""


class Candidates:
    """The outlines and sketches of all places, in the order they were added."""

    def __init__(self, grid: Grid) -> None:
        """Start without places."""
        self._grid = grid
        self._outlines = Outlines(grid)
        self._sketches = Blocks(grid.cells * grid.sketch_bytes)

    def add(self, signs: NDArray[np.uint8]) -> None:
        """Add places by their signs, (n, cells, cell_bytes) uint8."""
        self._outlines.add(signs)
        sketches = signs[:, :, : self._grid.sketch_bytes]
        self._sketches.add(sketches.reshape(-1, self._sketches.row_bytes))

    def nearest(
        self, signs: NDArray[np.uint8], count: int, shifts: Shifts, end: int | None = None
    ) -> NDArray[np.int64]:
        """Choose `count` of the places before `end` for a query's (cells, cell_bytes) uint8 signs.

        Returns their indices, ascending. Among places that look equally near the first are taken.
        """
        end = len(self._sketches) if end is None else min(end, len(self._sketches))
        if end <= count:
            return np.arange(end)
        compared = SKETCHES * count
        if end > compared:
            chosen = smallest_set(self._outlines.costs(signs, shifts, end), compared)
        else:
            chosen = np.arange(end)
        query, compare = signs[:, : self._grid.sketch_bytes], best_products(self._grid).sketch_costs
        costs = [compare(query, *part, shifts) for part in self._sketches.parts(chosen)]
        return chosen[smallest_set(np.concatenate(costs), count)]
