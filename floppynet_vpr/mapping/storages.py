# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How a map keeps its descriptors: as bits, and if wanted exactly as well.

| storage | bytes a place | what is kept | error of a squared distance |
|---|---|---|---|
| float32 | 38,160 | the descriptor, and its bits | none but float32's own |
| binary | 1,296 | signs of turned cells, two numbers for each cell (`cells`) | 0.016 |

The error, of distances of eq. 6, is a standard deviation, without bias. Tolerant matching compares
bits, whatever the storage.
"""

from __future__ import annotations

from dataclasses import dataclass

from floppynet_vpr.extraction.extractor import DESCRIPTOR_SIZE
from floppynet_vpr.mapping.cells import ROW_BYTES

DEFAULT_STORAGE = "binary"

CODES, VECTORS = "codes", "vectors"
"""Tables of a map: the bits of places, and their descriptors."""


@dataclass(frozen=True)
class Storage:
    """A way to keep descriptors: `tables` are the bytes of a place in each table.

    `exact` says that distances are those of the descriptors themselves, by comparison with all.
    """

    name: str
    tables: dict[str, int]

    @property
    def exact(self) -> bool:
        """Whether the descriptors themselves are kept."""
        return VECTORS in self.tables

    @property
    def row_bytes(self) -> int:
        """What a place's descriptor takes, in memory as in the file."""
        return sum(self.tables.values())


STORAGES: dict[str, Storage] = {
    storage.name: storage
    for storage in (
        Storage("float32", {CODES: ROW_BYTES, VECTORS: 4 * DESCRIPTOR_SIZE}),
        Storage("binary", {CODES: ROW_BYTES}),
    )
}
"""The storages by name, largest first."""
