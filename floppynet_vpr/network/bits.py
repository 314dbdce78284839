# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Packing of +-1 values into bits: 1 stands for +1, least significant bit first.

With that choice `max` of +-1 values is OR of their bits, and for n values
`dot(a, b) = n - 2 * popcount(a xor b)`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pack_signs(signs: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Pack +-1 values along the last axis: (..., n) int8 -> (..., ceil(n / 8)) uint8.

    The unused bits of the last byte are 0.
    """
    return np.packbits(signs > 0, axis=-1, bitorder="little")


def unpack_signs(packed: NDArray[np.uint8], count: int) -> NDArray[np.int8]:
    """Undo `pack_signs`: (..., bytes) uint8 -> (..., count) int8 of +-1."""
    bits = np.unpackbits(packed, axis=-1, count=count, bitorder="little")
    return bits.astype(np.int8) * np.int8(2) - np.int8(1)
