# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The local features that a map keeps with its places."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.local_features import (
    LocalFeatures,
    pack_features,
    row_bytes,
    slots_of,
    unpack_features,
)
from floppynet_vpr.mapping.blocks import Blocks


class PlaceFeatures:
    """A row of up to `slots` local features for each place; with 0 slots none are kept at all."""

    def __init__(self, slots: int, rows: NDArray[np.uint8] | None = None) -> None:
        """Start with `rows`, (n, row_bytes(slots)) uint8, which are kept and not copied."""
        self.slots = slots
        self._rows = Blocks(row_bytes(slots), rows)

    @classmethod
    def of_rows(cls, rows: NDArray[np.uint8]) -> PlaceFeatures:
        """Take the (n, bytes) uint8 rows of a file; raises VprError if they are none of these."""
        return cls(slots_of(rows.shape[1]), rows)

    def add(self, features: Iterable[LocalFeatures | None]) -> None:
        """Add places, each with the strongest of its features; None is a place without any."""
        if self.slots:
            for found in features:
                self._rows.add(pack_features(found, self.slots)[None])

    def adopt(self, other: PlaceFeatures, ids: NDArray[np.int64]) -> None:
        """Add the places `ids`, ascending, of a table with as many slots or fewer.

        Without slots nothing is taken over.
        """
        if not other.slots:
            self.add([None] * len(ids))
        elif self.slots:
            more = self._rows.row_bytes - other._rows.row_bytes
            for rows in other._rows.chunks(ids):
                self._rows.add(np.pad(rows, ((0, 0), (0, more))))

    def of(self, place: int) -> LocalFeatures | None:
        """Give the features of a place; None where none are kept."""
        if not self.slots:
            return None
        found = unpack_features(next(self._rows.chunks(np.array([place])))[0])
        return found if len(found) else None

    def filled(self) -> list[NDArray[np.uint8]]:
        """Look at all rows, block by block; none where there are no slots or no places."""
        return list(self._rows.filled())
