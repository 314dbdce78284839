# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The integer sibling of the float fallback: every convolution an int8 product in onnxruntime.

Its own convolution of integers is slower than its float one, its integer matrix product several
times faster; so patches are copied here and onnxruntime multiplies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.convolution import PatchConvolution, filter_matrix, padded_map
from floppynet_vpr.extraction.extractor import Extractor, check_input
from floppynet_vpr.extraction.packed import finish_bits, pool
from floppynet_vpr.extraction.products import IntegerProduct
from floppynet_vpr.extraction.stages import Stage, network_stages
from floppynet_vpr.network.weights import NetworkWeights

# Maps hold +1 more than they mean, which onnxruntime takes off again: -1, 0, +1 as 0, 1, 2.
_ZERO = 1


class OnnxIntegerExtractor(Extractor):
    """Extracts with onnxruntime's integer matrix product on the CPU; exact."""

    def __init__(self, weights: NetworkWeights, threads: int = 1) -> None:
        """Lay out the network; raises ImportError where onnxruntime is absent."""
        import onnxruntime

        super().__init__(weights, f"onnxruntime {onnxruntime.__version__}, int8 products")
        self._stages = network_stages(weights)
        self._convolutions = []
        self._maps = []
        for index, stage in enumerate(self._stages):
            positions = stage.rows * stage.columns
            zero = _ZERO if index else 0
            product = IntegerProduct(positions, filter_matrix(stage), zero, threads)
            self._convolutions.append(PatchConvolution(stage, product))
            self._maps.append(
                padded_map(*stage.input_shape, stage.conv.pad, stage.padding_value + _ZERO)
            )

    def pool5(self, image: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Extract the last feature map: (227, 227, 3) uint8 RGB -> (6, 6, 256) int16."""
        check_input(image)
        padded = np.ascontiguousarray(image)
        for index, stage in enumerate(self._stages):
            sums = self._convolutions[index].sums(padded)
            if stage.sign is None:
                break
            padded, inside = self._maps[index + 1]
            _write_signs(sums, stage, inside)
        return (pool(sums, np.maximum) if stage.pooled else sums).astype(np.int16)


def _write_signs(sums: NDArray[np.int32], stage: Stage, inside: NDArray[np.uint8]) -> None:
    assert stage.sign is not None
    bits = finish_bits(sums >= stage.sign.threshold, stage)
    np.multiply(bits.view(np.uint8), 2 * _ZERO, out=inside)
