# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The float fallback: the same network as a float32 graph in onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.extractor import FamilyExtractor, check_input
from floppynet_vpr.extraction.onnx_session import onnx_session, runtime_name
from floppynet_vpr.network.onnx_graph import INPUT_NAME, OUTPUT_NAME, onnx_model
from floppynet_vpr.network.weights import NetworkWeights


class OnnxExtractor(FamilyExtractor):
    """Extracts with onnxruntime on the CPU; every sum is an exact integer, see `onnx_graph`."""

    def __init__(self, weights: NetworkWeights, threads: int = 1) -> None:
        """Build the graph from `weights`; raises ImportError where onnxruntime is absent."""
        super().__init__(weights, f"{runtime_name()}, float32")
        self._session = onnx_session(onnx_model(weights), threads)

    def pool5(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        """Extract the last feature map; see `Extractor`."""
        check_input(image)
        (maps,) = self._session.run([OUTPUT_NAME], {INPUT_NAME: image[np.newaxis]})
        return np.asarray(maps[0])
