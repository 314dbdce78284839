# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of bytes that grow without ever being copied."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_FIRST_BLOCK = 256
_CHUNK_BYTES = 1 << 17


class Blocks:
    """A table of equal rows of bytes to which rows are added at the end.

    Each new block doubles the room: few blocks, rows that stay where they are, so that adding one
    takes as long in a large table as in a small one. Room that is not filled yet costs no memory.
    """

    def __init__(self, row_bytes: int, rows: NDArray[np.uint8] | None = None) -> None:
        """Start with `rows`, (n, row_bytes) uint8, which are kept and not copied."""
        self.row_bytes = row_bytes
        self._blocks: list[NDArray[np.uint8]] = []
        self._starts: list[int] = []
        self._filled = self._room = 0
        if rows is not None and len(rows):
            self._append(rows)
            self._filled = len(rows)

    def __reduce__(self) -> tuple[object, ...]:
        rows = [np.empty((0, self.row_bytes), np.uint8), *self.filled()]
        return Blocks, (self.row_bytes, np.concatenate(rows))

    def __len__(self) -> int:
        """Count the rows."""
        return self._filled

    def add(self, rows: NDArray[np.uint8]) -> None:
        """Add (n, row_bytes) uint8 rows."""
        while len(rows):
            if self._filled == self._room:
                count = max(_FIRST_BLOCK, self._room)
                self._append(np.empty((count, self.row_bytes), np.uint8))
            start = self._filled - self._starts[-1]
            target = self._blocks[-1][start : start + len(rows)]
            target[:] = rows[: len(target)]
            self._filled += len(target)
            rows = rows[len(target) :]

    def filled(self, end: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """Look at all rows, or those before `end`, block by block, in order."""
        end = self._filled if end is None else min(end, self._filled)
        for start, block in zip(self._starts, self._blocks, strict=True):
            if start < end:
                yield block[: end - start]

    def chunks(self, ids: NDArray[np.int64] | None = None) -> Iterator[NDArray[np.uint8]]:
        """Give the rows `ids`, ascending, or all rows, in pieces that stay in the cache."""
        step = max(1, _CHUNK_BYTES // self.row_bytes)
        if ids is None:
            for block in self.filled():
                yield from (block[start : start + step] for start in range(0, len(block), step))
            return
        for block, rows in self.parts(ids):
            for first in range(0, len(rows), step):
                yield block[rows[first : first + step]]

    def take(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Copy out the rows `ids`, ascending: (len(ids), row_bytes) uint8."""
        taken, done = np.empty((len(ids), self.row_bytes), np.uint8), 0
        for block, rows in self.parts(ids):
            # With "clip", which changes nothing here, they are written without a copy in between.
            np.take(block, rows, axis=0, out=taken[done : done + len(rows)], mode="clip")
            done += len(rows)
        return taken

    def parts(
        self, ids: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
        """Tell where the rows `ids`, ascending, are: in which block, and its rows."""
        edges = np.searchsorted(ids, [*self._starts, self._room])
        for number, (start, block) in enumerate(zip(self._starts, self._blocks, strict=True)):
            rows = ids[edges[number] : edges[number + 1]]
            if len(rows):
                yield block, rows - start

    def _append(self, block: NDArray[np.uint8]) -> None:
        self._starts.append(self._room)
        self._blocks.append(block)
        self._room += len(block)
