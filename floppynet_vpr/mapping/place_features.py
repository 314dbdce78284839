# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The local features that a map keeps with its places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

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

POINT_BYTES: Final = 12
"""Bytes of a corner's point: x, y, z float32."""


class PlaceFeatures:
    """A row of up to `slots` local features for each place; with 0 slots none are kept at all.

    Once a place comes whose corners' points are known, there is a row of points for each place,
    too: of (slots, 3) float32, not a number where not known.
    """

    def __init__(
        self,
        slots: int,
        rows: NDArray[np.uint8] | None = None,
        points: NDArray[np.uint8] | None = None,
    ) -> None:
        """Start with `rows`, (n, row_bytes(slots)) uint8, which are kept and not copied.

        So are `points`, (n, slots * POINT_BYTES) uint8, where the places have some.
        """
        self.slots = slots
        self._rows = Blocks(row_bytes(slots), rows)
        self._points = None if points is None else Blocks(slots * POINT_BYTES, points)

    @classmethod
    def of_rows(
        cls, rows: NDArray[np.uint8], points: NDArray[np.uint8] | None = None
    ) -> PlaceFeatures:
        """Take the (n, bytes) uint8 rows of a file; raises VprError if they are none of these."""
        return cls(slots_of(rows.shape[1]), rows, points)

    def add(self, features: Iterable[LocalFeatures | None]) -> None:
        """Add places, each with the strongest of its features; None is a place without any."""
        if self.slots:
            for found in features:
                self._add_points(None if found is None else found.points)
                self._rows.add(pack_features(found, self.slots)[None])

    def _add_points(self, points: NDArray[np.float32] | None) -> None:
        """Add the points of the next place, before its features."""
        if points is None and self._points is None:
            return
        row = self._unknown(1).view("<f4").reshape(self.slots, 3)
        if points is not None:
            row[: len(points)] = points[: self.slots]
        self._with_points().add(row.view(np.uint8).reshape(1, -1))

    def _with_points(self) -> Blocks:
        """The table of points, made if need be: unknown for the places there are."""
        if self._points is None:
            self._points = Blocks(self.slots * POINT_BYTES)
            for rows in self._rows.filled():
                self._points.add(self._unknown(len(rows)))
        return self._points

    def _unknown(self, places: int) -> NDArray[np.uint8]:
        return np.full((places, self.slots * 3), np.nan, "<f4").view(np.uint8)

    def adopt(self, other: PlaceFeatures, ids: NDArray[np.int64]) -> None:
        """Add the places `ids`, ascending, of a table with as many slots or fewer.

        Without slots nothing is taken over.
        """
        if not other.slots:
            self.add([None] * len(ids))
        elif self.slots:
            if other._points is not None:
                more = (self.slots - other.slots) * 3
                for rows in other._points.chunks(ids):
                    wide = np.pad(rows.view("<f4"), ((0, 0), (0, more)), constant_values=np.nan)
                    self._with_points().add(np.ascontiguousarray(wide).view(np.uint8))
            elif self._points is not None:
                self._points.add(self._unknown(len(ids)))
            more = self._rows.row_bytes - other._rows.row_bytes
            for rows in other._rows.chunks(ids):
                self._rows.add(np.pad(rows, ((0, 0), (0, more))))

    def of(self, place: int) -> LocalFeatures | None:
        """Give the features of a place; None where none are kept."""
        if not self.slots:
            return None
        index = np.array([place])
        found = unpack_features(next(self._rows.chunks(index))[0])
        if not len(found):
            return None
        if self._points is not None:
            points = next(self._points.chunks(index)).view("<f4").reshape(self.slots, 3)
            found = replace(found, points=points[: len(found)].astype(np.float32))
        return found

    @property
    def has_points(self) -> bool:
        """Whether the points of any place's corners may be known."""
        return self._points is not None

    def filled(self) -> list[NDArray[np.uint8]]:
        """Look at all rows, block by block; none where there are no slots or no places."""
        return list(self._rows.filled())

    def filled_points(self) -> list[NDArray[np.uint8]]:
        """Look at all rows of points, block by block; none where no point is known."""
        return [] if self._points is None else list(self._points.filled())
