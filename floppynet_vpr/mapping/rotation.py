# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Turns descriptors so that a few bits a value are enough.

Half of a descriptor's energy and more is in the means of its 256 channels over the 36 positions.
They are set apart, to be kept precisely, and what is left is turned by a fixed random rotation:
its 8,960 coordinates then spread like independent Gaussian values whatever the images show. One
table of levels therefore serves every map and every network, nothing is learnt from a map, and
errors of rounding average out in a distance. Everything here keeps lengths and angles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.extractor import DESCRIPTOR_SIZE

CHANNELS = 256
POSITIONS = DESCRIPTOR_SIZE // CHANNELS
REST = DESCRIPTOR_SIZE - CHANNELS
"""Coordinates beside the channel means."""

_ROUNDS = 2


@dataclass(frozen=True)
class Rotated:
    """Descriptors in other coordinates of the same length.

    `means` is (n, 256) float32, each channel's mean times 6; `rest` is (n, 8960) float32.
    """

    means: NDArray[np.float32]
    rest: NDArray[np.float32]


class Batch:
    """Descriptors, (n, 9216) float32, that are rotated once when it is first asked for."""

    def __init__(self, descriptors: NDArray[np.float32]) -> None:
        """Keep the descriptors."""
        self.descriptors = descriptors

    @cached_property
    def rotated(self) -> Rotated:
        """The descriptors rotated."""
        return rotate(self.descriptors)


def rotate(descriptors: NDArray[np.float32]) -> Rotated:
    """Rotate (n, 9216) float32 descriptors."""
    values = descriptors.reshape(-1, POSITIONS, CHANNELS)
    # A Householder reflection takes the constant over positions to the first position.
    means = values.sum(1) / np.float32(POSITIONS**0.5)
    rest = values[:, 1:] + ((values[:, 0] - means) / np.float32(POSITIONS**0.5 - 1))[:, None]
    rest = rest.reshape(-1, REST)
    for order, signs in _shuffles():
        rest = _hadamard(rest[:, order] * signs)
    return Rotated(means, rest)


def rotate_back(rotated: Rotated) -> NDArray[np.float32]:
    """Undo `rotate`: (n, 9216) float32."""
    rest = rotated.rest
    for order, signs in reversed(_shuffles()):
        turned = _hadamard(rest) * signs
        rest = np.empty_like(turned)
        rest[:, order] = turned
    values = np.empty((len(rest), POSITIONS, CHANNELS), np.float32)
    others = rest.reshape(-1, POSITIONS - 1, CHANNELS)
    # The reflection is its own inverse.
    mirrored = others.sum(1) / np.float32(POSITIONS**0.5) + rotated.means / np.float32(
        POSITIONS**0.5
    )
    values[:, 0] = mirrored
    values[:, 1:] = others + ((rotated.means - mirrored) / np.float32(POSITIONS**0.5 - 1))[:, None]
    return values.reshape(-1, DESCRIPTOR_SIZE)


def _hadamard(rest: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply each 256 values of (n, 8960) by Sylvester's matrix, orthonormal and symmetric.

    In 8 rounds of sums and differences of neighbours, which go to the front and to the back: after
    the last one each value is where it belongs. Every row is computed by itself.
    """
    values = rest.reshape(-1, CHANNELS)
    half = CHANNELS // 2
    for _ in range(CHANNELS.bit_length() - 1):
        left, right = values[:, 0::2], values[:, 1::2]
        values = np.empty_like(values)
        np.add(left, right, out=values[:, :half])
        np.subtract(left, right, out=values[:, half:])
    values /= np.float32(CHANNELS**0.5)
    return values.reshape(-1, REST)


@lru_cache(maxsize=1)
def _shuffles() -> tuple[tuple[NDArray[np.intp], NDArray[np.float32]], ...]:
    """The order and signs of each round, the same for every map ever written.

    RandomState, because numpy promises that its numbers stay the same in all versions.
    """
    random = np.random.RandomState(227)
    return tuple(
        (random.permutation(REST), (2 * random.randint(0, 2, REST) - 1).astype(np.float32))
        for _ in range(_ROUNDS)
    )
