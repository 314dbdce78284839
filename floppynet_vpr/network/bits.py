# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Packing of weights into bits, least significant bit first.

A weight of k bits is one of the 2**k odd integers from -(2**k - 1) to 2**k - 1, in units of
1 / (2**k - 1); its code counts them from 0. For one bit that is +-1 with 1 standing for +1: with
that choice `max` of +-1 values is OR of their bits, and for n values
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


def highest_level(bits: int) -> int:
    """The largest code of `bits` bits, which is also the unit of values on its grid."""
    return 2**bits - 1


def pack_weights(weights: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Pack odd integers of -(2**bits - 1) to 2**bits - 1 densely: any shape -> (bytes,) uint8.

    `bits` is 1 to 8.
    """
    codes = ((weights.reshape(-1).astype(np.int32) + highest_level(bits)) // 2).astype(np.uint8)
    columns = np.unpackbits(codes[:, np.newaxis], axis=-1, count=bits, bitorder="little")
    return np.packbits(columns, bitorder="little")


def unpack_weights(packed: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.integer]:
    """Undo `pack_weights`: (bytes,) uint8 -> (count,) of `weight_dtype(bits)`."""
    columns = np.unpackbits(packed, count=bits * count, bitorder="little").reshape(count, bits)
    codes = np.packbits(columns, axis=-1, bitorder="little")[:, 0]
    dtype = weight_dtype(bits)
    return codes.astype(dtype) * dtype.type(2) - dtype.type(highest_level(bits))


def weight_dtype(bits: int) -> np.dtype[np.signedinteger]:
    """The smallest integers that hold weights of `bits` bits: int8 for up to 7, else int16."""
    return np.dtype(np.int8 if bits < 8 else np.int16)
