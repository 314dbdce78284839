# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The thumbnails that a map keeps with its places; those of a file stay there until asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.imaging.thumbnail import MOST_BYTES
from floppynet_vpr.mapping.blocks import Blocks
from floppynet_vpr.mapping.map_content import StoredRows

ROW_BYTES = MOST_BYTES
"""Bytes of a thumbnail with the zeros behind it."""

_PIECE = 256


class Thumbnails:
    """A JPEG of at most 4,096 bytes for each place, or none; where not `kept`, none of any."""

    def __init__(self, kept: bool, rows: Iterable[NDArray[np.uint8] | StoredRows] = ()) -> None:
        """Start with those of a file."""
        self.kept = kept
        self._stored = next((part for part in rows if isinstance(part, StoredRows)), None)
        self._added = Blocks(ROW_BYTES)

    def add(self, thumbnails: Iterable[bytes | None]) -> None:
        """Add places, each with its thumbnail; None is a place without one."""
        if self.kept:
            for one in thumbnails:
                row = np.frombuffer((one or b"").ljust(ROW_BYTES, b"\0"), np.uint8)
                self._added.add(row[None])

    def adopt(self, other: Thumbnails, indices: NDArray[np.int64]) -> None:
        """Add the places `indices` of another map."""
        if self.kept:
            self.add(other.of(index) for index in indices.tolist())

    def of(self, index: int) -> bytes | None:
        """Give the thumbnail of a place; None where there is none."""
        if not self.kept:
            return None
        first = 0 if self._stored is None else len(self._stored)
        if self._stored is not None and index < first:
            row = self._stored.read(index, index + 1)
        else:
            row = next(self._added.chunks(np.array([index - first])))
        # A JPEG ends in FF D9, so zeros behind it are none of it.
        return row.tobytes().rstrip(b"\0") or None

    def filled(self) -> Iterator[NDArray[np.uint8] | StoredRows]:
        """Look at all rows, in pieces that are read only when they are written."""
        if self._stored is not None:
            for first in range(0, len(self._stored), _PIECE):
                yield self._stored.part(first, first + _PIECE)
        yield from self._added.filled()
