# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The coarse stage: 1,024 sign bits of each place, all compared with the query's.

The angle between two descriptors shows in the number of differing signs of their rotated
coordinates. faiss compares 128 bytes a place at the speed of memory, so even a million places
take a few milliseconds, nothing is trained, and a place is found as soon as it is added.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping.rotation import Rotated

SKETCH_BITS = 1024
SKETCH_BYTES = SKETCH_BITS // 8


def sketch(rotated: Rotated) -> NDArray[np.uint8]:
    """Make the sketches of rotated descriptors, (n, 128) uint8."""
    return np.packbits(rotated.rest[:, :SKETCH_BITS] >= 0, axis=1)


class Sketches:
    """The sketches of all places, in the order of their ids."""

    def __init__(self) -> None:
        """Start without places."""
        import faiss

        index: Any = faiss.IndexBinaryFlat(SKETCH_BITS)
        # Counts distances instead of keeping a heap: faster, and ties keep the lower ids.
        index.use_heap = False
        self._index = index

    def add(self, sketches: NDArray[np.uint8]) -> None:
        """Add (n, 128) uint8 sketches."""
        self._index.add(np.ascontiguousarray(sketches))

    def nearest(self, query: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
        """Find the `count` places that differ in the fewest bits, as ascending ids.

        Among places with equally many the lower ids are taken.
        """
        _, ids = self._index.search(query, count)
        return np.sort(ids[0])

    def rows(self) -> NDArray[np.uint8]:
        """Copy out all sketches, (n, 128) uint8."""
        import faiss

        return faiss.vector_to_array(self._index.xb).reshape(-1, SKETCH_BYTES)
