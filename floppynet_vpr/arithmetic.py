# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Sums, exponentials and logarithms that give the same bits on every machine.

A matrix product rounds by the kernel that the processor gets and by the rows beside a row; exp and
log of numpy differ in the last bit between instruction sets. What is stored in maps or decides
about an image must not. Here everything is element-wise additions, multiplications and divisions,
which IEEE 754 rounds in one way only, and numpy's pairwise sum, whose order depends on the length
of a row alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LN2_HIGH = 0.693145751953125
"""The first bits of ln 2, so few that its products with exponents are exact in float32."""

_LN2_LOW = math.log(2) - _LN2_HIGH
_MOST = 80.0
_EXP_TERMS = 7
_LOG_TERMS = 11


def products(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply each of (n, d) rows with its own or the one other vector of (n, d) or (d,).

    Returns (n,) float32; a row gives the same value among any others.
    """
    return np.multiply(rows, others, order="C").sum(axis=-1)


def length(vector: NDArray[np.floating[Any]]) -> float:
    """The Euclidean length of a (d,) vector, summed in the vector's own type."""
    return float(np.sqrt(np.square(np.ascontiguousarray(vector)).sum()))


def exp(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The exponential of each float32, within 3 units in the last place; beyond +-80 as there.

    x is split into n ln 2 + r with |r| <= ln 2 / 2, where Taylor's series ends soon.
    """
    x = np.clip(x, np.float32(-_MOST), np.float32(_MOST))
    whole = np.rint(x * np.float32(1 / math.log(2)))
    rest = (x - whole * np.float32(_LN2_HIGH)) - whole * np.float32(_LN2_LOW)
    power = np.full_like(rest, 1 / math.factorial(_EXP_TERMS))
    for term in range(_EXP_TERMS - 1, -1, -1):
        power *= rest
        power += np.float32(1 / math.factorial(term))
    return np.ldexp(power, whole.astype(np.int32))


def log(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The natural logarithm of each float32 above 0, rounded from one of 14 digits.

    With x = m 2^n and m near 1, ln m = 2 artanh((m - 1) / (m + 1)), a series of odd powers.
    """
    part, exponent = np.frexp(x.astype(np.float64))
    small = part < math.sqrt(0.5)
    part = np.where(small, 2 * part, part)
    ratio = (part - 1) / (part + 1)
    square = ratio * ratio
    series = np.full_like(ratio, 1 / (2 * _LOG_TERMS + 1))
    for term in range(_LOG_TERMS - 1, -1, -1):
        series *= square
        series += 1 / (2 * term + 1)
    return ((exponent - small) * math.log(2) + 2 * ratio * series).astype(np.float32)
