# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The extractor on packed bits from ready-made parts: numpy, faiss, onnxruntime.

After the first convolution there are only bits and popcounts; see `stages`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.convolution import BitConvolution, PatchConvolution, filter_matrix
from floppynet_vpr.extraction.extractor import ExtractionError
from floppynet_vpr.extraction.hamming import KERNELS
from floppynet_vpr.extraction.products import FixedProduct, fastest_product
from floppynet_vpr.extraction.stages import Stage, network_stages
from floppynet_vpr.extraction.steps import SteppedExtractor, finish_bits, pool
from floppynet_vpr.network.weights import NetworkWeights


class PackedExtractor(SteppedExtractor):
    """Extracts with xnor and popcount on packed bits; exact, on any CPU."""

    def __init__(
        self,
        weights: NetworkWeights,
        kernel: str = "faiss",
        threads: int = 1,
        product: Callable[[int, NDArray[np.int8]], FixedProduct] | None = None,
    ) -> None:
        """Lay out the network for `kernel`, a name in `hamming.KERNELS`.

        `product` makes the first convolution's, in place of the fastest one on `threads`. Raises
        ExtractionError for an unknown kernel and ImportError where its library is absent.
        """
        if kernel not in KERNELS:
            raise ExtractionError(f"unknown kernel '{kernel}': choose one of {', '.join(KERNELS)}")
        super().__init__(weights, f"packed bits, {kernel} kernel")
        first, *others = network_stages(weights)
        self._first = first
        make = product or partial(fastest_product, threads=threads)
        positions = first.rows * first.columns
        self._pixels = PatchConvolution(first, make(positions, filter_matrix(first)))
        assert first.sign is not None
        self._first_threshold = first.sign.threshold.astype(self._pixels.dtype)
        convolutions = [BitConvolution(stage, KERNELS[kernel]) for stage in others]
        self._steps[first.conv.name] = self._first_bits
        for stage, convolution in zip(others, convolutions, strict=True):
            if stage.sign is None:
                self._steps[stage.conv.name] = partial(_last_sums, stage, convolution)
                continue
            # reach - 2 d >= t  <=>  d <= floor((reach - t) / 2)
            limit = (stage.reach - stage.sign.threshold) // 2
            self._steps[stage.conv.name] = partial(_next_bits, stage, convolution, limit)

    def _first_bits(self, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        sums = self._pixels.sums(image)
        return finish_bits(sums >= self._first_threshold, self._first)


def _next_bits(
    stage: Stage, convolution: BitConvolution, limit: NDArray[np.int32], bits: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    return finish_bits(convolution.distances(bits) <= limit, stage)


def _last_sums(
    stage: Stage, convolution: BitConvolution, bits: NDArray[np.bool_]
) -> NDArray[np.int16]:
    sums = stage.reach - 2 * convolution.distances(bits)
    return (pool(sums, np.maximum) if stage.pooled else sums).astype(np.int16)
