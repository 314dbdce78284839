# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What is known of any network whose descriptors a map can keep, of this family or not."""

from __future__ import annotations

from typing import Protocol

Shape = tuple[int, int, int]
"""Rows, columns and channels of a feature map; (1, 1, d) for d values without positions."""


def shape_text(shape: Shape) -> str:
    """Say what a descriptor of a shape is: a map of cells, or values without positions."""
    rows, columns, channels = shape
    if rows * columns == 1:
        return f"{channels:,} values, no map of cells that could be shifted"
    return f"{rows} x {columns} cells of {channels:,} values"


class Network(Protocol):
    """A network that turns an image into one descriptor."""

    @property
    def name(self) -> str:
        """What a map calls it."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that change with everything that changes its descriptors."""

    @property
    def shape(self) -> Shape:
        """The feature map that a descriptor is, flattened row by row."""
