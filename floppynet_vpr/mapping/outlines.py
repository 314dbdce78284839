# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The bits by which all places of a large map are looked through.

An outline is a sixteenth of a place's signs, the first of each cell, 16 of pool5's 256. It is the
query's that is moved, so that outlines are compared in whole words, but for the bits of cells that
meet none. Each word of all places is a column, so that a vector takes a word of several places.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping.cell_products import MovedOutline, best_products, bit_weights
from floppynet_vpr.mapping.grid import Grid
from floppynet_vpr.mapping.shifts import Shifts

_FIRST_BLOCK = 4096
_WORD_BYTES = 8


class Outlines:
    """The outlines of all places, in the order they were added."""

    def __init__(self, grid: Grid) -> None:
        """Start without places."""
        self._grid = grid
        self._blocks: list[NDArray[np.uint64]] = []  # (words, room), each as large as all before
        self._filled = self._room = 0

    def add(self, signs: NDArray[np.uint8]) -> None:
        """Add places by their signs, (n, cells, cell_bytes) uint8."""
        cells, cell_bytes = self._grid.cells, self._grid.outline_bytes
        rows = np.zeros((len(signs), self._grid.outline_words * _WORD_BYTES), np.uint8)
        used = rows[:, : cells * cell_bytes]
        used.reshape(-1, cells, cell_bytes)[:] = signs[:, :, :cell_bytes]
        words = rows.view(np.uint64).T
        while words.shape[1]:
            if self._filled == self._room:
                count = max(_FIRST_BLOCK, self._room)
                self._blocks.append(np.empty((len(words), count), np.uint64))
                self._room += count
            last = self._blocks[-1]
            start = self._filled - self._room + last.shape[1]
            added = min(words.shape[1], self._room - self._filled)
            last[:, start : start + added] = words[:, :added]
            self._filled += added
            words = words[:, added:]

    def costs(self, signs: NDArray[np.uint8], shifts: Shifts, end: int) -> NDArray[np.int32]:
        """Compare a query's (cells, cell_bytes) uint8 signs with the places before `end`.

        Returns (end,) int32, the least of those of `shifts` that go straight to a side, up or down.
        """
        query = moved_outline(signs, shifts.straight)
        compare, left = best_products(self._grid).outline_costs, end
        found = [np.empty(0, np.int32)]
        for block in self._blocks:
            if left > 0:
                found.append(compare(query, block, min(left, block.shape[1])))
                left -= len(found[-1])
        return np.concatenate(found)


def moved_outline(signs: NDArray[np.uint8], shifts: Shifts) -> MovedOutline:
    """Move a query's outline so that its cells lie where the places' are that they meet.

    `signs` is (cells, outline_bytes or more) uint8.
    """
    grid = shifts.grid
    rows = np.zeros((2, len(shifts), grid.outline_words * _WORD_BYTES), np.uint8)
    used = rows[:, :, : grid.cells * grid.outline_bytes]
    words, masks = used.reshape(2, len(shifts), grid.cells, grid.outline_bytes)
    which = np.repeat(np.arange(len(shifts)), shifts.overlaps)
    words[which, shifts.place_cells] = signs[shifts.query_cells, : grid.outline_bytes]
    masks[which, shifts.place_cells] = 255
    in_words = rows.view(np.uint64)
    return MovedOutline(in_words[0], in_words[1], bit_weights(shifts, grid.outline_bytes))
