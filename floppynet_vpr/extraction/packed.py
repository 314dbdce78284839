# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The extractor on packed bits: after the first convolution there are only bits and popcounts.

BatchNorm and sign are one integer comparison (`network.thresholds`), and a max-pool in front of
them is an OR behind them: the largest of four sums reaches the threshold when any of them does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.convolution import BitConvolution, PixelConvolution
from floppynet_vpr.extraction.extractor import ExtractionError, Extractor, check_input
from floppynet_vpr.extraction.hamming import KERNELS
from floppynet_vpr.network.layers import Conv, Pool, layer_shapes
from floppynet_vpr.network.thresholds import conv_threshold
from floppynet_vpr.network.weights import NetworkWeights


@dataclass(frozen=True)
class _BitStage:
    """A bit convolution and what stands between it and the next one.

    `limit` holds the largest Hamming distance that still gives a 1; None behind the last.
    """

    convolution: BitConvolution
    pooled: bool
    limit: NDArray[np.int32] | None
    flip: NDArray[np.bool_] | None


class PackedExtractor(Extractor):
    """Extracts with xnor and popcount on packed bits; exact, on any CPU."""

    def __init__(self, weights: NetworkWeights, kernel: str = "faiss") -> None:
        """Lay out the network for `kernel`, a name in `hamming.KERNELS`.

        Raises ExtractionError for an unknown kernel and ImportError where its library is absent.
        """
        if kernel not in KERNELS:
            raise ExtractionError(f"unknown kernel '{kernel}': choose one of {', '.join(KERNELS)}")
        super().__init__(weights, f"packed bits, {kernel} kernel")
        layers = weights.spec.layers
        first, *others = weights.spec.convs
        self._pixels = PixelConvolution(first, weights.convs[first.name].filters)
        self._first_pooled = isinstance(layers[1], Pool)
        sign = conv_threshold(weights, others[0])
        self._first_threshold = sign.threshold.astype(np.float32)
        self._first_flip = sign.flip if sign.flip.any() else None
        self._stages = [
            self._stage(index, step.layer, step.input, kernel)
            for index, step in enumerate(layer_shapes(weights.spec))
            if step.layer in others and isinstance(step.layer, Conv)
        ]

    def _stage(
        self, index: int, conv: Conv, input_shape: tuple[int, int, int], kernel: str
    ) -> _BitStage:
        weights = self.weights
        convolution = BitConvolution(
            conv,
            weights.convs[conv.name].filters,
            input_shape,
            weights.padding_value,
            KERNELS[kernel],
        )
        following = weights.spec.layers[index + 1 :]
        pooled = bool(following) and isinstance(following[0], Pool)
        if conv is weights.spec.convs[-1]:
            return _BitStage(convolution, pooled, None, None)
        next_conv = next(layer for layer in following if isinstance(layer, Conv))
        sign = conv_threshold(weights, next_conv)
        # reach - 2 d >= t  <=>  d <= floor((reach - t) / 2)
        limit = (convolution.reach - sign.threshold) // 2
        return _BitStage(convolution, pooled, limit, sign.flip if sign.flip.any() else None)

    def pool5(self, image: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Extract the last feature map: (227, 227, 3) uint8 RGB -> (6, 6, 256) int16."""
        check_input(image)
        bits = self._pixels.sums(image) >= self._first_threshold
        bits = _finish_bits(bits, self._first_pooled, self._first_flip)
        for stage in self._stages:
            distances = stage.convolution.distances(bits)
            if stage.limit is None:
                break
            bits = _finish_bits(distances <= stage.limit, stage.pooled, stage.flip)
        sums = stage.convolution.reach - 2 * distances
        return (_pool(sums, np.maximum) if stage.pooled else sums).astype(np.int16)


def _finish_bits(
    bits: NDArray[np.bool_], pooled: bool, flip: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    if pooled:
        bits = _pool(bits, np.logical_or)
    return bits if flip is None else bits ^ flip


def _pool(values: NDArray[Any], larger: np.ufunc) -> NDArray[Any]:
    """Reduce 2x2 blocks of (rows, columns, channels) with `larger`; an odd edge is dropped."""
    rows, columns = (side // 2 * 2 for side in values.shape[:2])
    corners = [values[i:rows:2, j:columns:2] for i in (0, 1) for j in (0, 1)]
    return larger(larger(corners[0], corners[1]), larger(corners[2], corners[3]))
