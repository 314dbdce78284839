# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The descriptors of a map's places, kept as a storage says, searched for the nearest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.arithmetic import products
from floppynet_vpr.mapping.blocks import Blocks
from floppynet_vpr.mapping.candidates import Candidates
from floppynet_vpr.mapping.cell_products import best_products
from floppynet_vpr.mapping.cells import (
    Codes,
    code_products,
    codes,
    decode,
    round_cells,
    turn,
    turn_back,
)
from floppynet_vpr.mapping.grid import Grid
from floppynet_vpr.mapping.ranking import smallest
from floppynet_vpr.mapping.shifts import Shifts, unshifted
from floppynet_vpr.mapping.storages import CODES, VECTORS, Storage

COMPARED = 256
"""Places that are compared with a query; in larger maps these are chosen (`candidates`)."""

_SKETCHED_AT_ONCE = 4096


class DescriptorIndex:
    """Descriptors by the indices of their places, 0 for the first that was added.

    Those that are asked for or given are (d,) float32 of d = `grid.dimension` finite values. What
    is found of one query does not depend on others.
    """

    def __init__(self, storage: Storage, grid: Grid) -> None:
        """Start without places."""
        self.storage = storage
        self.grid = grid
        self.tables = {name: Blocks(size) for name, size in storage.tables(grid).items()}
        """The rows of the places in each table of the storage."""
        self._candidates = Candidates(grid)

    @classmethod
    def of_tables(
        cls, storage: Storage, grid: Grid, rows: dict[str, NDArray[np.uint8]]
    ) -> DescriptorIndex:
        """Take the rows of all places in each table, which are not copied."""
        index = cls(storage, grid)
        index.tables = {
            name: Blocks(table.row_bytes, rows[name]) for name, table in index.tables.items()
        }
        index._sketch()
        return index

    def __len__(self) -> int:
        return len(self.tables[CODES])

    def add(self, code: NDArray[np.uint8], descriptors: NDArray[np.float32]) -> None:
        """Add n places by their rows of bits (`cells.encode`) and descriptors, (n, d) float32."""
        rows = {CODES: code, VECTORS: descriptors.view(np.uint8)}
        for name, table in self.tables.items():
            table.add(rows[name])
        self._candidates.add(codes(code, self.grid).signs)

    def adopt(self, other: DescriptorIndex, indices: NDArray[np.int64]) -> None:
        """Add the places `indices`, ascending, of an index of the same storage, bit for bit."""
        for name, table in self.tables.items():
            for rows in other.tables[name].chunks(indices):
                table.add(rows)
        for rows in other.tables[CODES].chunks(indices):
            self._candidates.add(codes(rows, self.grid).signs)

    def search(
        self, query: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find the `k` nearest places and their distances, nearest first, ties by the index."""
        compared = np.arange(len(self))
        if self.storage.exact:
            found = self.distances(query, compared)
        else:
            turned = turn(query, self.grid)[0]
            signs = np.packbits(turned >= 0, axis=-1)
            compared = self.candidates(signs, max(k, COMPARED), unshifted(self.grid))
            found = self._estimated(query, turned, compared)
        nearest = smallest(found, k)
        return compared[nearest], found[nearest]

    def candidates(
        self, signs: NDArray[np.uint8], count: int, shifts: Shifts, end: int | None = None
    ) -> NDArray[np.int64]:
        """Choose `count` places, of those before `end`, that may be nearest; see `Candidates`."""
        return self._candidates.nearest(signs, count, shifts, end)

    def distances(
        self, query: NDArray[np.float32], indices: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Compute, or estimate from bits, the distances (eq. 6) of a query to places, ascending."""
        if not self.storage.exact:
            return self._estimated(query, turn(query, self.grid)[0], indices)
        parts = [np.empty(0, np.float32)]
        for rows in self.tables[VECTORS].chunks(indices):
            difference = rows.view("<f4") - query
            parts.append(products(difference, difference))
        return np.sqrt(np.concatenate(parts))

    def distances_between(self, place: int, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Compute, or estimate from bits, the distances (eq. 6) of a place to others, ascending."""
        if self.storage.exact:
            return self.distances(self.descriptors(np.array([place]))[0], indices)
        cells = code_products(self.codes(np.array([place])), self.codes(indices))
        return np.sqrt(np.maximum(2 - 2 * cells.sum(axis=1), 0))

    def codes(self, indices: NDArray[np.int64]) -> Codes:
        """Copy out the bits of places, ascending."""
        return codes(self.tables[CODES].take(indices), self.grid)

    def descriptors(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Copy out, or estimate from bits, the descriptors of places, ascending: (n, d) float32."""
        found = np.empty((len(indices), self.grid.dimension), np.float32)
        done = 0
        for rows in self.tables[VECTORS if self.storage.exact else CODES].chunks(indices):
            part = rows.view("<f4") if self.storage.exact else self._as_kept(rows)
            found[done : done + len(rows)] = part
            done += len(rows)
        return found

    def _estimated(
        self,
        query: NDArray[np.float32],
        turned: NDArray[np.float32],
        indices: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Estimate the distances (eq. 6) of a query, also given turned, to places from bits."""
        rounded, known = round_cells(turned, 8), self.codes(indices)
        met = best_products(self.grid).products(rounded, known.signs, unshifted(self.grid))
        likeness = products(met.astype(np.float32) * rounded.steps, known.factors)
        return np.sqrt(np.maximum(products(query, query) + 1 - 2 * likeness, 0))

    def _as_kept(self, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The descriptors, of norm 1, that rows of bits stand for."""
        descriptors = turn_back(decode(rows, self.grid), self.grid)
        return np.asarray(
            descriptors / np.sqrt(products(descriptors, descriptors))[:, None], np.float32
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_candidates": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._sketch()

    def _sketch(self) -> None:
        """Make the candidates anew of the places' bits."""
        self._candidates = Candidates(self.grid)
        for table in self.tables[CODES].filled():
            for first in range(0, len(table), _SKETCHED_AT_ONCE):
                rows = table[first : first + _SKETCHED_AT_ONCE]
                self._candidates.add(codes(rows, self.grid).signs)
