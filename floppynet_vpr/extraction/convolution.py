# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The two kinds of convolution: of integers with integers, and of bits with bits.

Each copies its patches into a matrix once and multiplies that by the filters. Both return exact
integers; buffers are allocated once and reused, so a result is valid until the next call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.hamming import WORD_BYTES, HammingKernel
from floppynet_vpr.extraction.products import FixedProduct
from floppynet_vpr.extraction.stages import Stage
from floppynet_vpr.network.bits import pack_signs


class PatchConvolution:
    """A convolution of small integers with integer weights as one matrix product."""

    def __init__(self, stage: Stage, product: FixedProduct) -> None:
        """Take a stage and the product of its positions with `filter_matrix(stage)`."""
        self._stage = stage
        self._product = product
        self.dtype = product.result.dtype

    def sums(self, padded: NDArray[np.uint8]) -> NDArray[Any]:
        """Convolve a C-contiguous, padded (rows, columns, in) map into (rows, columns, out)."""
        stage, product = self._stage, self._product
        windows = patch_rows(padded, stage)
        np.copyto(product.left.reshape(windows.shape), windows)
        product.compute()
        return product.result.reshape(stage.rows, stage.columns, -1)


class BitConvolution:
    """A SAME convolution of +-1 maps with +-1 filters, as Hamming distances of packed patches."""

    def __init__(self, stage: Stage, kernel: type[HammingKernel]) -> None:
        """Take any stage but the first and the kernel to compute distances with."""
        rows, columns, channels = stage.input_shape
        pad = stage.conv.pad
        padding = 0xFF if stage.padding_value == 1 else 0
        self._padded, self._inside = padded_map(rows, columns, channels // 8, pad, padding)
        self._windows = patch_rows(self._padded, stage)
        packed = _whole_words(pack_signs(stage.filters).reshape(stage.conv.filters, -1))
        self._kernel = kernel(packed)
        positions = stage.rows * stage.columns
        self._patches = np.zeros((positions, packed.shape[1]), np.uint8)
        used = self._patches[:, : stage.filters[0].size // 8]
        self._patch_rows = used.reshape(self._windows.shape)
        self._distances = np.empty((positions, stage.conv.filters), np.int32)
        self._output_shape = (stage.rows, stage.columns, stage.conv.filters)

    def distances(self, bits: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Hamming distances of (rows, columns, in) bool to all filters: (rows, columns, out)."""
        self._inside[:] = np.packbits(bits, axis=-1, bitorder="little")
        np.copyto(self._patch_rows, self._windows)
        self._kernel.distances(self._patches, self._distances)
        return self._distances.reshape(self._output_shape)


def padded_map(
    rows: int, columns: int, depth: int, pad: int, value: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Allocate a map with `pad` pixels of `value` around it; the second array is its inside."""
    padded = np.full((rows + 2 * pad, columns + 2 * pad, depth), value, np.uint8)
    return padded, padded[pad : pad + rows, pad : pad + columns]


def filter_matrix(stage: Stage) -> NDArray[Any]:
    """Filters as a product's right side: (weights of a filter, filters) of the same integers."""
    return stage.filters.reshape(stage.conv.filters, -1).T


def patch_rows(padded: NDArray[np.uint8], stage: Stage) -> NDArray[np.uint8]:
    """View a padded map as its patches, (rows, columns, kernel, bytes of a patch's row).

    `padded` is C-contiguous. A patch's row is contiguous in it, hence copied in one piece.
    """
    row, pixel = padded.strides[:2]
    stride, kernel = stage.conv.stride, stage.conv.kernel
    return np.lib.stride_tricks.as_strided(
        padded,
        (stage.rows, stage.columns, kernel, kernel * pixel),
        (stride * row, stride * pixel, row, 1),
        writeable=False,
    )


def _whole_words(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Append zero bytes to each row up to a multiple of 8."""
    missing = -packed.shape[1] % WORD_BYTES
    return np.ascontiguousarray(np.pad(packed, ((0, 0), (0, missing))))
