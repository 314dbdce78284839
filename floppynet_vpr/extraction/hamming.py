# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Kernels for the matrix of Hamming distances, which is what a binary convolution comes down to.

For +-1 vectors of n bits, `dot(a, b) = n - 2 * popcount(a xor b)`. All kernels give the same
integers; they differ in speed only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.libraries import optional, require

WORD_BYTES = 8
_ROWS_AT_ONCE = 256
_HAS_BITWISE_COUNT = hasattr(np, "bitwise_count")


class HammingKernel(ABC):
    """Distances between packed patches and a fixed set of packed filters."""

    name: str

    def __init__(self, filters: NDArray[np.uint8]) -> None:
        """Keep `filters`, (count, bytes) uint8, C-contiguous; bytes is a multiple of 8."""
        self.filters = filters

    @abstractmethod
    def distances(self, patches: NDArray[np.uint8], out: NDArray[np.int32]) -> None:
        """Fill `out`, (n, count) int32, from `patches`, (n, bytes) uint8, both C-contiguous."""


class NumpyKernel(HammingKernel):
    """xor and popcount in numpy alone, word by word over blocks that stay in the L2 cache."""

    name = "numpy"
    _BLOCK = 128
    # Popcounts of a word are at most 64, so three of them add up in a byte: narrow additions are
    # cheap, and the int32 result is touched a third as often.
    _WORDS_PER_BYTE_SUM = 3

    def __init__(self, filters: NDArray[np.uint8]) -> None:
        """Keep the filters word by word and the buffers of one block."""
        super().__init__(filters)
        self._words = np.ascontiguousarray(filters.view(np.uint64).T)
        block = (self._BLOCK, len(filters))
        self._difference = np.empty(block, np.uint64)
        self._count = np.empty(block, np.uint8)
        self._sum = np.empty(block, np.uint8)

    def distances(self, patches: NDArray[np.uint8], out: NDArray[np.int32]) -> None:
        """Fill `out` with the distances; see `HammingKernel`."""
        words = patches.view(np.uint64)
        out[:] = 0
        for start in range(0, len(words), self._BLOCK):
            block = words[start : start + self._BLOCK]
            self._add_block(block, out[start : start + self._BLOCK])

    def _add_block(self, words: NDArray[np.uint64], out: NDArray[np.int32]) -> None:
        rows, count = words.shape
        difference = self._difference[:rows]
        partial, total = self._count[:rows], self._sum[:rows]
        for first in range(0, count, self._WORDS_PER_BYTE_SUM):
            for word in range(first, min(first + self._WORDS_PER_BYTE_SUM, count)):
                np.bitwise_xor(words[:, word, None], self._words[word], out=difference)
                if word == first:
                    popcount(difference, total)
                else:
                    popcount(difference, partial)
                    np.add(total, partial, out=total)
            np.add(out, total, out=out)


class FaissKernel(HammingKernel):
    """The Hamming matrix of faiss, compiled and vectorised for the CPU at hand."""

    name = "faiss"

    def __init__(self, filters: NDArray[np.uint8]) -> None:
        """Keep the filters; raises ImportError where faiss is absent or too old."""
        self._faiss = require("faiss")
        super().__init__(filters)

    def distances(self, patches: NDArray[np.uint8], out: NDArray[np.int32]) -> None:
        """Fill `out` with the distances; see `HammingKernel`."""
        pointer = self._faiss.swig_ptr
        count, width = self.filters.shape
        self._faiss.hammings(
            pointer(patches), pointer(self.filters), len(patches), count, width, pointer(out)
        )


KERNELS: dict[str, type[HammingKernel]] = {
    kernel.name: kernel for kernel in (FaissKernel, NumpyKernel)
}
"""The kernels by name, fastest first."""


def differing_bits(row: NDArray[np.uint8], rows: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Count the bits in which (bytes,) `row` differs from each of (n, bytes) `rows`: (n,) int32.

    `bytes` is a multiple of 8 and both are uint8, C-contiguous. By faiss where it is there, else by
    numpy; the counts are the same.
    """
    out = np.empty(len(rows), np.int32)
    if optional("faiss") is not None:
        FaissKernel(rows).distances(row[np.newaxis], out[np.newaxis])
    else:
        _differing_bits(row, rows, out)
    return out


def _differing_bits(
    row: NDArray[np.uint8], rows: NDArray[np.uint8], out: NDArray[np.int32]
) -> None:
    words, others = row.view(np.uint64), rows.view(np.uint64)
    for start in range(0, len(others), _ROWS_AT_ONCE):
        different = others[start : start + _ROWS_AT_ONCE] ^ words
        ones = np.empty(different.shape, np.uint8)
        popcount(different, ones)
        np.sum(ones, axis=1, dtype=np.int32, out=out[start : start + len(ones)])


def popcount(words: NDArray[np.uint64], out: NDArray[np.uint8]) -> None:
    """Count the ones in each word into `out`; `words` may be overwritten."""
    if _HAS_BITWISE_COUNT:
        np.bitwise_count(words, out=out)
    else:
        popcount_without_ufunc(words, out)


def popcount_without_ufunc(words: NDArray[np.uint64], out: NDArray[np.uint8]) -> None:
    """Count ones by adding neighbouring bit fields in place, for numpy before 2.0."""
    fives, threes, fifteens, ones = (
        np.uint64(byte * 0x0101010101010101) for byte in (0x55, 0x33, 0x0F, 0x01)
    )
    words -= (words >> np.uint64(1)) & fives
    pairs = words & threes
    words >>= np.uint64(2)
    words &= threes
    words += pairs
    words += words >> np.uint64(4)
    words &= fifteens
    words *= ones
    np.right_shift(words, np.uint64(56), out=words)
    np.copyto(out, words, casting="unsafe")
