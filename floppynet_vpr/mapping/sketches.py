# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The coarse stage of a large map: which places are worth comparing with a query at all.

A sketch is 1,024 signs of a place's rotated coordinates. The number of signs in which two places
differ shows the angle between them. faiss counts 512 of them for every place at the speed of
memory, so that even a million places take a few milliseconds; the 1,024 places that differ least
are then weighed by all their signs times the query's own values, which tells more than signs on
both sides. Nothing is trained, and a place is found as soon as it is added.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.arithmetic import products
from floppynet_vpr.mapping.blocks import Blocks
from floppynet_vpr.mapping.ranking import smallest
from floppynet_vpr.mapping.rotation import Rotated

SKETCH_BITS = 1024
SKETCH_BYTES = SKETCH_BITS // 8

_COUNTED_BITS = 512
_COUNTED_BYTES = _COUNTED_BITS // 8
_WEIGHED = 1024


def sketch(rotated: Rotated) -> NDArray[np.uint8]:
    """Make the sketches of rotated descriptors, (n, 128) uint8."""
    return np.packbits(rotated.rest[:, :SKETCH_BITS] >= 0, axis=1)


class Sketches:
    """The sketches of all places, in the order of their ids."""

    def __init__(self) -> None:
        """Start without places."""
        import faiss

        index: Any = faiss.IndexBinaryFlat(_COUNTED_BITS)
        # Counts distances instead of keeping a heap: faster, and ties keep the lower ids.
        index.use_heap = False
        self._counted = index
        self._others = Blocks(SKETCH_BYTES - _COUNTED_BYTES)

    def add(self, sketches: NDArray[np.uint8]) -> None:
        """Add (n, 128) uint8 sketches."""
        self._counted.add(np.ascontiguousarray(sketches[:, :_COUNTED_BYTES]))
        self._others.add(sketches[:, _COUNTED_BYTES:])

    def nearest(self, query: Rotated, count: int) -> NDArray[np.int64]:
        """Choose `count` places for one rotated query, as ascending ids.

        Among places that look equally near the lower ids are taken.
        """
        weighed = max(_WEIGHED, count)
        _, found = self._counted.search(sketch(query)[:, :_COUNTED_BYTES], weighed)
        ids = np.sort(found[0][found[0] >= 0])
        others = np.concatenate(list(self._others.chunks(ids)))
        bits = np.unpackbits(np.concatenate([self._counted_rows()[ids], others], axis=1), axis=1)
        likeness = products(bits.astype(np.float32), query.rest[0, :SKETCH_BITS])
        return ids[np.sort(smallest(-likeness, count))]

    def rows(self) -> NDArray[np.uint8]:
        """Copy out all sketches, (n, 128) uint8."""
        others = [np.empty((0, self._others.row_bytes), np.uint8), *self._others.filled()]
        return np.concatenate([self._counted_rows(), np.concatenate(others)], axis=1)

    def _counted_rows(self) -> NDArray[np.uint8]:
        """Look at the index's own memory, valid until the next `add`."""
        import faiss

        if not len(self._others):
            return np.empty((0, _COUNTED_BYTES), np.uint8)
        rows = faiss.rev_swig_ptr(self._counted.xb.data(), len(self._others) * _COUNTED_BYTES)
        return rows.reshape(-1, _COUNTED_BYTES)
