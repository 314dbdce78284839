# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Exact products of small integers by a fixed matrix, by whatever library does them fastest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.onnx_session import cpu_session
from floppynet_vpr.network.onnx_file import OnnxGraph


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
    """onnxruntime's product of uint8 with int8 in int32, several times faster than float32."""

    def __init__(
        self, rows: int, right: NDArray[np.int8], zero_point: int = 0, threads: int = 1
    ) -> None:
        """Allocate for `rows` rows and the (depth, columns) matrix `right`.

        `zero_point` is subtracted from each value of `left`. Raises ImportError where onnxruntime
        is absent.
        """
        import onnxruntime

        depth, columns = right.shape
        self.left = np.zeros((rows, depth), np.uint8)
        self.result = np.empty((rows, columns), np.int32)
        graph = OnnxGraph("integer_product")
        inputs = [
            graph.add_input("left", "uint8", self.left.shape),
            graph.add_constant("right", np.ascontiguousarray(right)),
            graph.add_constant("zero_point", np.array(zero_point, np.uint8)),
        ]
        graph.add_node("MatMulInteger", inputs, "result")
        graph.add_output("result", "int32", self.result.shape)
        self._session = cpu_session(graph.to_bytes(), threads)
        # Bound to the arrays themselves, a run neither copies nor allocates.
        self._binding = self._session.io_binding()
        wrap = onnxruntime.OrtValue.ortvalue_from_numpy
        self._binding.bind_ortvalue_input("left", wrap(self.left))
        self._binding.bind_ortvalue_output("result", wrap(self.result))

    def compute(self) -> None:
        """See `FixedProduct`."""
        self._session.run_with_iobinding(self._binding)


def fastest_product(rows: int, right: NDArray[np.int8], threads: int) -> FixedProduct:
    """Make the integer product, or the float one where onnxruntime is absent."""
    try:
        return IntegerProduct(rows, right, threads=threads)
    except ImportError:
        return FloatProduct(rows, right)
