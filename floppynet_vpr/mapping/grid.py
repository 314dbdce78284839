# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The shape of a network's descriptors: a map of cells, or a single one for a global descriptor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from floppynet_vpr.errors import VprError
from floppynet_vpr.network.network import Shape

_LEAST_CELL_BITS = 256
_MOST_CELL_BITS = 1 << 16
_LEAST_BITS = 8192

MOST_CHANNELS = _MOST_CELL_BITS
"""Values of a cell, beyond which sums of products are no longer exact in float32."""


@dataclass(frozen=True)
class Grid:
    """A descriptor as a map of `rows` x `columns` cells of `channels` values each, row-major.

    A cell sees a part of the image, so that two maps can be compared with one of them shifted. A
    global descriptor is a single cell.
    """

    rows: int
    columns: int
    channels: int

    def __post_init__(self) -> None:
        """Check the numbers; raises VprError for a shape that no map can be of."""
        if min(self.shape) < 1 or self.channels > MOST_CHANNELS:
            raise VprError(
                f"a descriptor of {self.rows} x {self.columns} cells of {self.channels} values "
                f"cannot be put into a map: a cell has 1 to {MOST_CHANNELS:,}"
            )

    @property
    def shape(self) -> Shape:
        """Rows, columns and channels."""
        return self.rows, self.columns, self.channels

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return self.rows * self.columns

    @property
    def dimension(self) -> int:
        """Values of a descriptor."""
        return self.cells * self.channels

    @cached_property
    def bits(self) -> int:
        """Dimensions in which a cell is turned, of each of which a place keeps a bit.

        The smallest power of two that holds the channels and gives a place 8,192 bits or more: a
        short descriptor is turned in more dimensions than it has, for few bits would tell little.
        """
        least = max(_LEAST_CELL_BITS, self.channels, -(-_LEAST_BITS // self.cells))
        return 1 << (least - 1).bit_length()

    @property
    def cell_bytes(self) -> int:
        """Bytes of a cell's bits."""
        return self.bits // 8

    @property
    def sketch_bytes(self) -> int:
        """Of a cell's bits the first quarter, which makes a sketch of the place."""
        return self.cell_bytes // 4

    @property
    def outline_bytes(self) -> int:
        """Of a cell's bits the first sixteenth, which makes an outline of the place."""
        return self.cell_bytes // 16

    @property
    def outline_words(self) -> int:
        """Words of 64 bits of an outline, the last of which may not be full."""
        return -(-self.cells * self.outline_bytes // 8)

    @property
    def code_bytes(self) -> int:
        """Bytes of a place's bits."""
        return self.cells * self.cell_bytes

    @property
    def row_bytes(self) -> int:
        """Bytes of a place's row: its bits, then two numbers for each cell in half precision."""
        return self.code_bytes + 2 * 2 * self.cells


POOL5 = Grid(6, 6, 256)
"""The descriptors of this family's networks, see `network.layers.output_shape`."""
