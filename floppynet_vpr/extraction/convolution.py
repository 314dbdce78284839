# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The two kinds of convolution: of pixels with +-1 weights, and of bits with bits.

Each copies its patches into a matrix once and multiplies that by the filters. Both return exact
integers; buffers are allocated once and reused, so a result is valid until the next call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.hamming import WORD_BYTES, HammingKernel
from floppynet_vpr.network.bits import pack_signs
from floppynet_vpr.network.layers import INPUT_SHAPE, Conv


class PixelConvolution:
    """The first convolution as one float32 matrix product.

    Its sums are integers of at most 363 * 255 in size, which float32 holds exactly.
    """

    def __init__(self, conv: Conv, filters: NDArray[np.int8]) -> None:
        """Take the layer and its (out, kernel, kernel, 3) filters of +-1."""
        self._conv = conv
        side = (INPUT_SHAPE[0] - conv.kernel) // conv.stride + 1
        self._filters = filters.reshape(conv.filters, -1).T.astype(np.float32)
        window = (conv.kernel, conv.kernel, INPUT_SHAPE[2])
        self._patches = np.empty((side, side, *window), np.float32)
        self._sums = np.empty((side, side, conv.filters), np.float32)

    def sums(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Convolve (227, 227, 3) uint8 into (55, 55, 96) float32 of integers."""
        windows = np.lib.stride_tricks.sliding_window_view(image, self._patches.shape[2:])
        stride = self._conv.stride
        np.copyto(self._patches, windows[::stride, ::stride, 0])
        rows = len(self._filters)
        np.matmul(
            self._patches.reshape(-1, rows),
            self._filters,
            out=self._sums.reshape(-1, self._conv.filters),
        )
        return self._sums


class BitConvolution:
    """A SAME convolution of +-1 maps with +-1 filters, as Hamming distances of packed patches.

    The sum at a position is `reach - 2 * distance`. `reach` is the number of weights in a filter,
    except at the border of a zero-padded map: bits have no zero, so there the padding counts as
    -1 in the distance and `reach` puts it right. It is () or (rows, columns, filters) int32.
    """

    def __init__(
        self,
        conv: Conv,
        filters: NDArray[np.int8],
        input_shape: tuple[int, int, int],
        padding_value: int,
        kernel: type[HammingKernel],
    ) -> None:
        """Take the layer, its (out, kernel, kernel, in) filters of +-1 and the map's shape."""
        rows, columns, channels = input_shape
        pad, size = conv.pad, conv.kernel
        pixel_bytes = channels // 8
        self._padded = np.full(
            (rows + 2 * pad, columns + 2 * pad, pixel_bytes),
            0xFF if padding_value == 1 else 0,
            np.uint8,
        )
        self._inside = self._padded[pad : pad + rows, pad : pad + columns]
        # A patch row of `size` pixels is contiguous in the padded map, hence one copy per row.
        run = size * pixel_bytes
        self._windows = np.lib.stride_tricks.as_strided(
            self._padded,
            (rows, columns, size, run),
            (*self._padded.strides[:2], self._padded.strides[0], 1),
            writeable=False,
        )
        packed = _whole_words(pack_signs(filters).reshape(conv.filters, -1))
        self._kernel = kernel(packed)
        self._patches = np.zeros((rows * columns, packed.shape[1]), np.uint8)
        self._patch_rows = self._patches[:, : size * run].reshape(rows, columns, size, run)
        self._distances = np.empty((rows * columns, conv.filters), np.int32)
        self._output_shape = (rows, columns, conv.filters)
        self.reach = np.array(filters[0].size, np.int32)
        if padding_value == 0:
            self.reach = self.reach + _padding_weights(conv, filters, rows, columns)

    def distances(self, bits: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Hamming distances of (rows, columns, in) bool to all filters: (rows, columns, out)."""
        self._inside[:] = np.packbits(bits, axis=-1, bitorder="little")
        np.copyto(self._patch_rows, self._windows)
        self._kernel.distances(self._patches, self._distances)
        return self._distances.reshape(self._output_shape)


def _whole_words(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Append zero bytes to each row up to a multiple of 8."""
    missing = -packed.shape[1] % WORD_BYTES
    return np.ascontiguousarray(np.pad(packed, ((0, 0), (0, missing))))


def _padding_weights(
    conv: Conv, filters: NDArray[np.int8], rows: int, columns: int
) -> NDArray[np.int32]:
    """Sum, per position and filter, the weights that lie over the padding."""
    taps = filters.sum(axis=-1, dtype=np.int32)  # (out, kernel, kernel)
    inside = np.pad(np.ones((rows, columns), np.int32), conv.pad)
    windows = np.lib.stride_tricks.sliding_window_view(inside, (conv.kernel, conv.kernel))
    return np.einsum("rcij,oij->rco", 1 - windows, taps).astype(np.int32)
