# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A network as the extractors see it: convolution, pool, comparison, again.

BatchNorm and sign are one integer comparison (`network.thresholds`). The max-pool in front of
them picks the largest of four sums, so it may as well be an OR of the four bits behind them. Of a
k-bit network, they are several comparisons, which give a code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.network.bits import highest_level
from floppynet_vpr.network.layers import Conv, Pool, layer_shapes
from floppynet_vpr.network.thresholds import (
    LevelThresholds,
    SignThreshold,
    conv_levels,
    conv_threshold,
)
from floppynet_vpr.network.weights import NetworkWeights


@dataclass(frozen=True)
class Stage:
    """A convolution with what stands between it and the next one.

    `filters` is (out, kernel, kernel, in) as in `ConvWeights`. `rows` and `columns` count the
    positions that matter: behind them a pool drops an odd last row and column. `padding_value` is
    what is around the map: +1 or 0, or a code. `sign` is None at the end, and in a k-bit network,
    where `levels` is in its place.

    Behind the first stage of a binary network maps are bits, and a sum is `reach - 2 * distance`,
    the Hamming distance of a patch and a filter. `reach` is the number of weights in a filter,
    except at the border of a zero-padded map: bits have no zero, so there the padding counts as -1
    in the distance and `reach` puts it right. It is () or (rows, columns, out) int32.
    """

    conv: Conv
    filters: NDArray[Any]
    input_shape: tuple[int, int, int]
    rows: int
    columns: int
    pooled: bool
    padding_value: int
    reach: NDArray[np.int32]
    sign: SignThreshold | None
    levels: LevelThresholds | None

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Rows, columns and channels behind the pool."""
        step = 2 if self.pooled else 1
        return self.rows // step, self.columns // step, self.conv.filters


def network_stages(weights: NetworkWeights) -> tuple[Stage, ...]:
    """Lay out a network of the family as stages, first to last."""
    layers, convs = weights.spec.layers, weights.spec.convs
    binary = weights.bits == 1
    stages: list[Stage] = []
    for index, step in enumerate(layer_shapes(weights.spec)):
        conv = step.layer
        if not isinstance(conv, Conv):
            continue
        filters = weights.convs[conv.name].filters
        pooled = isinstance(layers[index + 1], Pool) if index + 1 < len(layers) else False
        rows, columns = (side // 2 * 2 if pooled else side for side in step.output[:2])
        reach = np.array(filters[0].size, np.int32)
        if stages and binary and weights.padding_value == 0:
            reach = reach + _padding_weights(conv, filters, *step.input[:2])[:rows, :columns]
        behind = None if conv is convs[-1] else convs[convs.index(conv) + 1]
        stages.append(
            Stage(
                conv,
                filters,
                step.input,
                rows,
                columns,
                pooled,
                weights.padding_value * highest_level(weights.bits),
                reach,
                conv_threshold(weights, behind) if behind and binary else None,
                conv_levels(weights, behind) if behind and not binary else None,
            )
        )
    return tuple(stages)


def _padding_weights(
    conv: Conv, filters: NDArray[np.int8], rows: int, columns: int
) -> NDArray[np.int32]:
    """Sum, per position and filter, the weights that lie over the padding."""
    taps = filters.sum(axis=-1, dtype=np.int32)  # (out, kernel, kernel)
    inside = np.pad(np.ones((rows, columns), np.int32), conv.pad)
    windows = np.lib.stride_tricks.sliding_window_view(inside, (conv.kernel, conv.kernel))
    return np.einsum("rcij,oij->rco", 1 - windows, taps).astype(np.int32)
