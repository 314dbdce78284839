# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""BatchNorm followed by a quantiser, as exact comparisons of integers.

In a binary block a feature map x goes through `sign(scale * x + shift)`, sign(0) being +1. Here x
is an integer divided by a known unit (255 behind the first convolution, whose pixels are 0 to 255
where training saw 0 to 1; 1 elsewhere), so the sign is a comparison with an integer worked out in
exact rational arithmetic. Every extractor uses these integers, hence all give the same bits.

With k bits, `y = scale * x + shift` is clipped to [0, 1] and rounded to one of L + 1 levels,
L = 2**k - 1, half a step up: its code is the number of levels j of 1 to L with y >= (j - 1/2) / L,
hence L such comparisons. Codes and weights count steps of 1 / L, so behind the first convolution
the unit is L * L.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.network.bits import highest_level
from floppynet_vpr.network.layers import Conv, NetworkSpec, filter_shapes
from floppynet_vpr.network.weights import NetworkWeights

PIXEL_UNIT = 255
"""The first convolution sums pixels of 0 to 255 where training saw 0 to 1."""


@dataclass(frozen=True)
class SignThreshold:
    """`bit = (x >= threshold) xor flip`, per channel; bit 1 stands for +1.

    `threshold` is (channels,) int32 and `flip` (channels,) bool. A negative BatchNorm scale
    flips; a comparison that can never or always hold stands for a scale of zero.
    """

    threshold: NDArray[np.int32]
    flip: NDArray[np.bool_]


def sign_threshold(
    scale: NDArray[np.float32], shift: NDArray[np.float32], unit: int, bound: int
) -> SignThreshold:
    """Turn a folded BatchNorm into integer comparisons.

    `scale` and `shift` are (channels,); the integers compared are `unit` times the values that
    BatchNorm sees and lie within +-`bound`, to which the thresholds are clipped.
    """
    threshold = np.empty(len(scale), np.int32)
    flip = np.zeros(len(scale), np.bool_)
    always, never = -bound, bound + 1
    for channel, (a, b) in enumerate(zip(scale.tolist(), shift.tolist(), strict=True)):
        if a == 0:
            limit = always if b >= 0 else never
        else:
            crossing = -Fraction(b) * unit / Fraction(a)
            # a > 0: x >= crossing. a < 0: x <= crossing, that is, not x >= floor(crossing) + 1.
            limit = math.ceil(crossing) if a > 0 else math.floor(crossing) + 1
            flip[channel] = a < 0
        threshold[channel] = min(max(limit, always), never)
    return SignThreshold(threshold, flip)


@dataclass(frozen=True)
class LevelThresholds:
    """`code >= j` is `(x >= threshold[:, j - 1]) xor flip`, per channel, for j of 1 to L.

    `threshold` is (channels, L) int32 and `flip` (channels,) bool, as in `SignThreshold`. Not all
    levels need comparing: `gain * x + offset`, (channels,) float64 each, is the code before it is
    rounded and clipped, up to an error that is tiny beside the half step to the next level. So
    only the comparison nearest to it is in doubt.
    """

    threshold: NDArray[np.int32]
    flip: NDArray[np.bool_]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]

    @property
    def highest(self) -> int:
        """L, the largest code."""
        return self.threshold.shape[1]

    @property
    def first_entries(self) -> NDArray[np.int32]:
        """Where a level 0 of each channel would be in the flat `threshold`: (channels,) int32."""
        return np.arange(len(self.flip), dtype=np.int32) * np.int32(self.highest) - np.int32(1)

    def codes(self, sums: NDArray[Any]) -> NDArray[np.uint8]:
        """Quantise integers of any dtype: (..., channels) -> (..., channels) of 0 to L."""
        nearest = np.rint(sums * self.gain + (self.offset + 0.5))
        level = np.clip(nearest, 1, self.highest, out=nearest).astype(np.int32)
        reached = sums >= self.threshold.reshape(-1).take(level + self.first_entries)
        return (level - 1 + (reached ^ self.flip)).astype(np.uint8)


def level_thresholds(
    scale: NDArray[np.float32], shift: NDArray[np.float32], unit: int, bound: int, highest: int
) -> LevelThresholds:
    """Turn a folded BatchNorm and a quantiser of codes 0 to `highest` into comparisons.

    The other arguments are those of `sign_threshold`, scale and shift at most 2**20 in size;
    `unit` is a multiple of `highest`.
    """
    threshold = np.empty((len(scale), highest), np.int32)
    flip = np.zeros(len(scale), np.bool_)
    always, never = -bound, bound + 1
    for channel, (a, b) in enumerate(zip(scale.tolist(), shift.tolist(), strict=True)):
        p, q = a.as_integer_ratio()
        r, s = b.as_integer_ratio()
        # a x / unit + b >= (2 j - 1) / (2 L), times 2 unit s:  2 s a x >= first + step * (j - 1).
        step = 2 * (unit // highest) * s
        first = step // 2 - 2 * unit * r
        if p == 0:
            limits = [always if first + step * j <= 0 else never for j in range(highest)]
        elif p > 0:
            divisor = 2 * s * p
            limits = [-(-(first + step * j) * q // divisor) for j in range(highest)]
        else:
            # x <= limit, that is, not x >= floor(limit) + 1.
            divisor = 2 * s * p
            limits = [(first + step * j) * q // divisor + 1 for j in range(highest)]
            flip[channel] = True
        threshold[channel] = [min(max(limit, always), never) for limit in limits]
    gain = scale.astype(np.float64) * (highest / unit)
    return LevelThresholds(threshold, flip, gain, shift.astype(np.float64) * highest)


def sum_unit(spec: NetworkSpec, conv: Conv) -> int:
    """How many times larger the integers that `conv` sums up are than the values in training."""
    weight = highest_level(spec.weight_bits)
    return weight * (PIXEL_UNIT if conv is spec.convs[0] else highest_level(spec.activation_bits))


def sum_bound(spec: NetworkSpec, conv: Conv) -> int:
    """The largest absolute value that `conv` can sum up."""
    _, rows, columns, channels = filter_shapes(spec)[conv.name]
    return rows * columns * channels * sum_unit(spec, conv)


def conv_levels(weights: NetworkWeights, conv: Conv) -> LevelThresholds:
    """The quantiser in front of `conv`, any but the first, of a k-bit network.

    It acts on what the convolution before it sums up, or the largest of them behind a pool.
    """
    spec, before, scale, shift = _in_front_of(weights, conv)
    unit, bound = sum_unit(spec, before), sum_bound(spec, before)
    return level_thresholds(scale, shift, unit, bound, highest_level(spec.activation_bits))


def conv_threshold(weights: NetworkWeights, conv: Conv) -> SignThreshold:
    """The sign in front of `conv` as a comparison of what the convolution before it sums up.

    `conv` is any but the first. A max-pool in between changes nothing: it picks one of the sums.
    """
    spec, before, scale, shift = _in_front_of(weights, conv)
    return sign_threshold(scale, shift, sum_unit(spec, before), sum_bound(spec, before))


def _in_front_of(
    weights: NetworkWeights, conv: Conv
) -> tuple[NetworkSpec, Conv, NDArray[np.float32], NDArray[np.float32]]:
    """The network, the convolution before `conv`, and scale and shift of the BatchNorm between."""
    spec = weights.spec
    values = weights.convs[conv.name]
    if values.scale is None or values.shift is None:
        raise ValueError(f"{conv.name} has no BatchNorm in front of it")
    return spec, spec.convs[spec.convs.index(conv) - 1], values.scale, values.shift
