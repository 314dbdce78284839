# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Exact products of small integers by a fixed matrix, by whatever library does them fastest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.onnx_session import onnx_session
from floppynet_vpr.libraries import require
from floppynet_vpr.network.onnx_file import OnnxGraph

_SIGN = 128


class FixedProduct(ABC):
    """Multiplies a matrix of its own, which the caller fills, by a fixed one.

    `left` is (rows, depth), to be filled before each call; `result` is (rows, columns) and valid
    until the next call. The values are integers whatever the dtype.
    """

    left: NDArray[Any]
    result: NDArray[Any]

    @abstractmethod
    def compute(self) -> None:
        """Fill `result` with `left` times the fixed matrix."""


class FloatProduct(FixedProduct):
    """numpy's float32 product, exact while sums stay below 2**24."""

    def __init__(self, rows: int, right: NDArray[np.int8]) -> None:
        """Allocate for `rows` rows and the (depth, columns) matrix `right`."""
        self._right = right.astype(np.float32)
        self.left = np.empty((rows, len(right)), np.float32)
        self.result = np.empty((rows, right.shape[1]), np.float32)

    def compute(self) -> None:
        """See `FixedProduct`."""
        np.matmul(self.left, self._right, out=self.result)


class IntegerProduct(FixedProduct):
    """onnxruntime's product of uint8 with int8 in int32, several times faster than float32.

    Without the CPU's instructions for just that (VNNI), it adds pairs of products in 16 bits,
    which hold them while weights are within +-64; larger ones are then taken as uint8, which is
    slower and exact.
    """

    def __init__(
        self,
        rows: int,
        right: NDArray[np.int8],
        zero_point: int = 0,
        threads: int = 1,
        unsigned: bool | None = None,
    ) -> None:
        """Allocate for `rows` rows and the (depth, columns) matrix `right`.

        `zero_point` is subtracted from each value of `left`. `unsigned` takes `right` as uint8;
        None finds out. Raises ImportError where onnxruntime is absent.
        """
        self.left = np.zeros((rows, right.shape[0]), np.uint8)
        self.result = np.empty((rows, right.shape[1]), np.int32)
        self._prepare(right, zero_point, threads, unsigned or False)
        if unsigned is None and not self._holds(right, zero_point):
            self._prepare(right, zero_point, threads, True)

    def _prepare(
        self, right: NDArray[np.int8], zero_point: int, threads: int, unsigned: bool
    ) -> None:
        graph = OnnxGraph("integer_product")
        inputs = [
            graph.add_input("left", "uint8", self.left.shape),
            graph.add_constant("right", np.ascontiguousarray(right)),
            graph.add_constant("zero_point", np.array(zero_point, np.uint8)),
        ]
        if unsigned:
            shifted = (right.astype(np.int16) + _SIGN).astype(np.uint8)
            inputs[1] = graph.add_constant("shifted", shifted)
            inputs.append(graph.add_constant("right_zero_point", np.array(_SIGN, np.uint8)))
        graph.add_node("MatMulInteger", inputs, "result")
        graph.add_output("result", "int32", self.result.shape)
        self._session = onnx_session(graph.to_bytes(), threads)
        # Bound to the arrays themselves, a run neither copies nor allocates.
        self._binding = self._session.io_binding()
        wrap = require("onnxruntime").OrtValue.ortvalue_from_numpy
        self._binding.bind_ortvalue_input("left", wrap(self.left))
        self._binding.bind_ortvalue_output("result", wrap(self.result))

    def compute(self) -> None:
        """See `FixedProduct`."""
        self._session.run_with_iobinding(self._binding)

    def _holds(self, right: NDArray[np.int8], zero_point: int) -> bool:
        """Multiply what makes every pair of products as large as it can be."""
        if np.abs(right.astype(np.int32)).max() * 2 * 255 < 2**15:
            return True
        self.left[:] = 255
        self.compute()
        self.left[:] = 0
        expected = right.sum(axis=0, dtype=np.int32) * np.int32(255 - zero_point)
        return bool((self.result == expected).all())


class WideProduct(FixedProduct):
    """The product with odd weights within +-255, one bit more than int8 holds.

    Such a weight is 2 w + 1 with w in int8, and a sum 2 times that of w, plus the sum of `left`:
    one more column of ones.
    """

    def __init__(self, rows: int, right: NDArray[np.int16], threads: int = 1) -> None:
        """See `IntegerProduct`."""
        halves = (right >> 1).astype(np.int8)
        with_ones = np.concatenate([halves, np.ones((len(right), 1), np.int8)], axis=1)
        self._product = IntegerProduct(rows, with_ones, threads=threads)
        self.left = self._product.left
        self.result = np.empty((rows, right.shape[1]), np.int32)

    def compute(self) -> None:
        """See `FixedProduct`."""
        self._product.compute()
        sums = self._product.result
        np.multiply(sums[:, :-1], 2, out=self.result)
        self.result += sums[:, -1:]


def fastest_product(rows: int, right: NDArray[np.int8], threads: int) -> FixedProduct:
    """Make the integer product, or the float one where onnxruntime is absent."""
    try:
        return IntegerProduct(rows, right, threads=threads)
    except ImportError:
        return FloatProduct(rows, right)
