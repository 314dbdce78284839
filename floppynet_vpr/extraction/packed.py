# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The extractor on packed bits from ready-made parts: numpy, faiss, onnxruntime.

After the first convolution there are only bits and popcounts; see `stages`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.convolution import BitConvolution, PatchConvolution, filter_matrix
from floppynet_vpr.extraction.extractor import ExtractionError, Extractor, check_input
from floppynet_vpr.extraction.hamming import KERNELS
from floppynet_vpr.extraction.products import FixedProduct, fastest_product
from floppynet_vpr.extraction.stages import Stage, network_stages
from floppynet_vpr.network.weights import NetworkWeights


class PackedExtractor(Extractor):
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
        self._bits = [(stage, BitConvolution(stage, KERNELS[kernel])) for stage in others]
        # reach - 2 d >= t  <=>  d <= floor((reach - t) / 2)
        self._limits = [
            None if stage.sign is None else (stage.reach - stage.sign.threshold) // 2
            for stage in others
        ]

    def pool5(self, image: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Extract the last feature map: (227, 227, 3) uint8 RGB -> (6, 6, 256) int16."""
        check_input(image)
        sums = self._pixels.sums(np.ascontiguousarray(image))
        bits = finish_bits(sums >= self._first_threshold, self._first)
        for (stage, convolution), limit in zip(self._bits, self._limits, strict=True):
            distances = convolution.distances(bits)
            if limit is None:
                break
            bits = finish_bits(distances <= limit, stage)
        last = self._bits[-1][0]
        sums = last.reach - 2 * distances
        return (pool(sums, np.maximum) if last.pooled else sums).astype(np.int16)


def finish_bits(bits: NDArray[np.bool_], stage: Stage) -> NDArray[np.bool_]:
    """Pool what reached its threshold and flip where a negative scale asks for it."""
    if stage.pooled:
        bits = pool(bits, np.logical_or)
    flip = None if stage.sign is None else stage.sign.flip
    return bits ^ flip if flip is not None and flip.any() else bits


def pool(values: NDArray[Any], larger: np.ufunc) -> NDArray[Any]:
    """Reduce 2x2 blocks of (rows, columns, channels) with `larger`."""
    corners = [values[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return larger(larger(corners[0], corners[1]), larger(corners[2], corners[3]))
