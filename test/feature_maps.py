# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Feature maps, signs and rounded maps at random, and the cells that meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping.cells import CELL_BYTES, CELLS, CHANNELS, SIDE, Rounded


def random_maps(count: int, seed: int, scale: float = 1.0) -> NDArray[np.float32]:
    """Feature maps, (count, 36, 256) float32, whose cells are not all as strong."""
    rng = np.random.default_rng(seed)
    strengths = rng.uniform(0.2, 1, (count, CELLS, 1))
    return (scale * strengths * rng.normal(size=(count, CELLS, CHANNELS))).astype(np.float32)


def random_signs(count: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, CELLS, CELL_BYTES), np.uint8)


def random_rounded(bits: int, seed: int) -> Rounded:
    rng = np.random.default_rng(seed)
    planes = rng.integers(0, 256, (CELLS, bits, CELL_BYTES), np.uint8)
    return Rounded(planes, rng.random(CELLS, np.float32), rng.random(CELLS, np.float32))


def shifted(feature_map: NDArray[np.float32], right: int, down: int) -> NDArray[np.float32]:
    """Move (36, 256) cells by so many to the right and down, the edges going round."""
    grid = feature_map.reshape(SIDE, SIDE, CHANNELS)
    return np.roll(grid, (down, right), axis=(0, 1)).reshape(CELLS, CHANNELS)


def pairs_of(right: int, down: int) -> list[tuple[int, int]]:
    """The cells that meet at a shift, one by one."""
    return [
        (row * SIDE + column, (row + down) * SIDE + column + right)
        for row in range(SIDE)
        for column in range(SIDE)
        if 0 <= row + down < SIDE and 0 <= column + right < SIDE
    ]
