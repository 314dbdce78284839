# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The first stage of a search: which places of a large map are worth comparing with a query.

A sketch is a quarter of a place's signs, the first 64 of each cell. faiss counts for every place
how many bits of its sketch differ from the query's, cell upon cell, and keeps the 2,048 places in
which fewest do; of these, or of all in a smaller map, the sketches are compared once more with all
shifts. Nothing is trained, and a place is found as soon as it is added.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping.cell_products import SKETCH_BYTES, best_products
from floppynet_vpr.mapping.cells import CELLS
from floppynet_vpr.mapping.ranking import smallest
from floppynet_vpr.mapping.shifts import Shifts

_ROW_BYTES = CELLS * SKETCH_BYTES
_SHARD = 1 << 16
SHIFTED = 2048
"""Places whose sketches are compared with all shifts."""


class Candidates:
    """The sketches of all places, in the order they were added."""

    def __init__(self) -> None:
        """Start without places."""
        self._products = best_products()
        self._shards: list[Any] = []
        self._count = 0

    def add(self, signs: NDArray[np.uint8]) -> None:
        """Add places by their signs, (n, 36, 32) uint8."""
        sketches = np.ascontiguousarray(signs[:, :, :SKETCH_BYTES]).reshape(-1, _ROW_BYTES)
        while len(sketches):
            room = _SHARD - self._shards[-1].ntotal if self._shards else 0
            if not room:
                # Some of bounded size, for one that outgrows its memory is copied as a whole.
                self._shards.append(_empty_index())
                room = _SHARD
            self._shards[-1].add(sketches[:room])
            self._count += len(sketches[:room])
            sketches = sketches[room:]

    def nearest(
        self, signs: NDArray[np.uint8], count: int, shifts: Shifts, end: int | None = None
    ) -> NDArray[np.int64]:
        """Choose `count` of the places before `end` for a query with (36, 32) uint8 signs.

        Returns their indices, ascending. Among places that look equally near the first are taken.
        """
        end = self._count if end is None else min(end, self._count)
        if end <= count:
            return np.arange(end)
        query = np.ascontiguousarray(signs[:, :SKETCH_BYTES])
        compared = max(SHIFTED, 2 * count)
        chosen = self._unshifted(query, end, compared) if end > compared else np.arange(end)
        differing = self._products.sketch_distances(query, self._sketches(chosen), shifts)
        shares = differing / (shifts.overlaps * np.float32(8 * SKETCH_BYTES))
        costs = (shares * shifts.costs).min(axis=1)
        return chosen[np.sort(smallest(costs, count))]

    def _unshifted(self, query: NDArray[np.uint8], end: int, count: int) -> NDArray[np.int64]:
        """The places before `end` whose sketches differ least cell upon cell, ascending."""
        row = query.reshape(1, _ROW_BYTES)
        found, distances = [], []
        for number, shard in enumerate(self._shards):
            first = number * _SHARD
            if first >= end:
                break
            # Places from `end` on are few, the newest of a map that grows.
            wanted = min(shard.ntotal, count + max(0, first + shard.ntotal - end))
            apart, ids = shard.search(row, wanted)
            found.append(ids[0] + first)
            distances.append(apart[0])
        ids, apart = np.concatenate(found), np.concatenate(distances)
        inside = np.flatnonzero((ids >= 0) & (ids < end))
        ids, apart = ids[inside], apart[inside]
        nearest = np.lexsort((ids, apart))[:count]
        return np.sort(ids[nearest])

    def _sketches(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Copy out the sketches of places, ascending: (n, 36, 8) uint8."""
        import faiss

        parts = []
        edges = np.searchsorted(ids, [n * _SHARD for n in range(len(self._shards) + 1)])
        for number, shard in enumerate(self._shards):
            wanted = ids[edges[number] : edges[number + 1]] - number * _SHARD
            if len(wanted):
                # The index's own memory, valid until places are added.
                rows = faiss.rev_swig_ptr(shard.xb.data(), shard.ntotal * _ROW_BYTES)
                parts.append(rows.reshape(-1, CELLS, SKETCH_BYTES)[wanted])
        return np.concatenate(parts)


def _empty_index() -> Any:
    import faiss

    index: Any = faiss.IndexBinaryFlat(8 * _ROW_BYTES)
    # Counts distances instead of keeping a heap: faster, and ties keep the lower ids.
    index.use_heap = False
    return index
