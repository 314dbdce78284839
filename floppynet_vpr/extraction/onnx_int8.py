# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The integer sibling of the float fallback: every convolution an int8 product in onnxruntime.

Its own convolution of integers is slower than its float one, its integer matrix product several
times faster; so patches are copied here and onnxruntime multiplies. Networks of several bits take
no other way than those of one: their maps are codes of 8 bits at most, too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.convolution import PatchConvolution, filter_matrix, padded_map
from floppynet_vpr.extraction.onnx_session import runtime_name
from floppynet_vpr.extraction.products import FixedProduct, IntegerProduct, WideProduct
from floppynet_vpr.extraction.stages import Stage, network_stages
from floppynet_vpr.extraction.steps import SteppedExtractor, finish_bits, pool
from floppynet_vpr.network.weights import NetworkWeights

# Maps hold +1 more than they mean, which onnxruntime takes off again: -1, 0, +1 as 0, 1, 2.
_ZERO = 1


class OnnxIntegerExtractor(SteppedExtractor):
    """Extracts with onnxruntime's integer matrix product on the CPU; exact."""

    def __init__(self, weights: NetworkWeights, threads: int = 1) -> None:
        """Lay out the network; raises ImportError where onnxruntime is absent."""
        super().__init__(weights, f"{runtime_name()}, int8 products")
        binary = weights.bits == 1
        for index, stage in enumerate(network_stages(weights)):
            zero = _ZERO if index and binary else 0
            product = _product(stage, zero, threads)
            padded, inside = padded_map(
                *stage.input_shape, stage.conv.pad, stage.padding_value + zero
            )
            finish = partial(_bits if binary else _codes, stage, PatchConvolution(stage, product))
            scale = 2 * _ZERO if binary else 1
            step = partial(_filled, finish, padded, inside, scale) if index else finish
            self._steps[stage.conv.name] = step


def _product(stage: Stage, zero: int, threads: int) -> FixedProduct:
    positions, right = stage.rows * stage.columns, filter_matrix(stage)
    if right.dtype == np.int8:
        return IntegerProduct(positions, right, zero, threads)
    return WideProduct(positions, right, threads)


def _filled(
    finish: Callable[[NDArray[np.uint8]], NDArray[Any]],
    padded: NDArray[np.uint8],
    inside: NDArray[np.uint8],
    scale: int,
    values: NDArray[Any],
) -> NDArray[Any]:
    """Take the map before a convolution into its padding."""
    np.multiply(values.view(np.uint8), scale, out=inside)
    return finish(padded)


def _bits(stage: Stage, convolution: PatchConvolution, padded: NDArray[np.uint8]) -> NDArray[Any]:
    """Convolve, then compare, or behind the last convolution pool the sums themselves."""
    sums = convolution.sums(padded)
    if stage.sign is not None:
        return finish_bits(sums >= stage.sign.threshold, stage)
    return (pool(sums, np.maximum) if stage.pooled else sums).astype(np.int16)


def _codes(stage: Stage, convolution: PatchConvolution, padded: NDArray[np.uint8]) -> NDArray[Any]:
    """Convolve and pool; then quantise, or behind the last convolution leave the sums."""
    sums = convolution.sums(padded)
    sums = pool(sums, np.maximum) if stage.pooled else sums
    return sums.copy() if stage.levels is None else stage.levels.codes(sums)
