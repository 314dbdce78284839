# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How a map keeps its descriptors: as bits, and if wanted exactly as well.

| storage | bytes a place | what is kept | error of a squared distance |
|---|---|---|---|
| float32 | 38,160 | the descriptor, and its bits | none but float32's own |
| binary | 1,296 | signs of turned cells, two numbers for each cell (`cells`) | 0.016 |

The error, of distances of eq. 6, is a standard deviation, without bias. Tolerant matching compares
bits, whatever the storage. Bytes are those of pool5; other networks' are in proportion (`grid`).
"""

from __future__ import annotations

from dataclasses import dataclass

from floppynet_vpr.mapping.grid import Grid

DEFAULT_STORAGE = "binary"

CODES, VECTORS = "codes", "vectors"
"""Tables of a map: the bits of places, and their descriptors."""


@dataclass(frozen=True)
class Storage:
    """A way to keep descriptors.

    `exact` says that the descriptors themselves are kept, beside their bits: distances are theirs,
    by comparison with all.
    """

    name: str
    exact: bool

    def tables(self, grid: Grid) -> dict[str, int]:
        """The bytes of a place in each table."""
        vectors = {VECTORS: 4 * grid.dimension} if self.exact else {}
        return {CODES: grid.row_bytes} | vectors

    def row_bytes(self, grid: Grid) -> int:
        """What a place's descriptor takes, in memory as in the file."""
        return sum(self.tables(grid).values())


STORAGES: dict[str, Storage] = {
    storage.name: storage
    for storage in (Storage("float32", exact=True), Storage("binary", exact=False))
}
"""The storages by name, largest first."""
