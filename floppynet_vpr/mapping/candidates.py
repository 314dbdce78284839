# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The first stage of a search: which places of a large map are worth comparing with a query.

A sketch is a quarter of a place's signs, the first of each cell, 64 of pool5's 256. For every place
it is counted how many bits of its sketch differ from the query's, cell upon cell, and the 2,048
places in which fewest do are kept; of these, or of all in a smaller map, the sketches are compared
once more with all shifts. Nothing is trained, and a place is found as soon as it is added.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.hamming import differing_bits
from floppynet_vpr.mapping.blocks import Blocks
from floppynet_vpr.mapping.cell_products import best_products
from floppynet_vpr.mapping.grid import Grid
from floppynet_vpr.mapping.ranking import smallest
from floppynet_vpr.mapping.shifts import Shifts

SHIFTED = 2048
"""Places whose sketches are compared with all shifts."""


class Candidates:
    """The sketches of all places, in the order they were added."""

    def __init__(self, grid: Grid) -> None:
        """Start without places."""
        self._grid = grid
        self._sketches = Blocks(grid.cells * grid.sketch_bytes)

    def add(self, signs: NDArray[np.uint8]) -> None:
        """Add places by their signs, (n, cells, cell_bytes) uint8."""
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
        query = np.ascontiguousarray(signs[:, : self._grid.sketch_bytes])
        compared = max(SHIFTED, 2 * count)
        chosen = self._unshifted(query, end, compared) if end > compared else np.arange(end)
        rows = np.concatenate(list(self._sketches.chunks(chosen)))
        sketches = rows.reshape(-1, *query.shape)
        differing = best_products(self._grid).sketch_distances(query, sketches, shifts)
        shares = differing / (shifts.overlaps * np.float32(8 * self._grid.sketch_bytes))
        costs = (shares * shifts.costs).min(axis=1)
        return chosen[np.sort(smallest(costs, count))]

    def _unshifted(self, query: NDArray[np.uint8], end: int, count: int) -> NDArray[np.int64]:
        """The places before `end` whose sketches differ least cell upon cell, ascending."""
        row = query.reshape(-1)
        apart = [differing_bits(row, rows) for rows in self._sketches.filled(end)]
        return np.sort(smallest(np.concatenate(apart), count))
