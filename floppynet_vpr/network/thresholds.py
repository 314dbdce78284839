# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""BatchNorm followed by sign, as an exact comparison of integers.

In a binary block a feature map x goes through `sign(scale * x + shift)`, sign(0) being +1. Here x
is an integer divided by a known unit (255 behind the first convolution, whose pixels are 0 to 255
where training saw 0 to 1; 1 elsewhere), so the sign is a comparison with an integer worked out in
exact rational arithmetic. Every extractor uses these integers, hence all give the same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.network.layers import Conv, filter_shapes
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


def conv_threshold(weights: NetworkWeights, conv: Conv) -> SignThreshold:
    """The sign in front of `conv` as a comparison of what the convolution before it sums up.

    `conv` is any but the first. A max-pool in between changes nothing: it picks one of the sums.
    """
    convs = weights.spec.convs
    before = convs.index(conv) - 1
    _, rows, columns, channels = filter_shapes(weights.spec)[convs[before].name]
    unit = PIXEL_UNIT if before == 0 else 1
    values = weights.convs[conv.name]
    if values.scale is None or values.shift is None:
        raise ValueError(f"{conv.name} has no BatchNorm in front of it")
    return sign_threshold(values.scale, values.shift, unit, rows * columns * channels * unit)
