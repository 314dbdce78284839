# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What extractors that go through a network array by array have in common."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.extractor import FamilyExtractor, check_input
from floppynet_vpr.extraction.stages import Stage
from floppynet_vpr.network.weights import NetworkWeights

Steps = dict[str, Callable[[NDArray[Any]], NDArray[Any]]]
"""Convolutions by name with what follows them: from the map before to the map behind."""


class SteppedExtractor(FamilyExtractor):
    """An extractor that takes an image through `_steps`."""

    def __init__(self, weights: NetworkWeights, description: str) -> None:
        super().__init__(weights, description)
        self._steps: Steps = {}

    def pool5(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        """Extract the last feature map; see `FamilyExtractor`."""
        check_input(image)
        values: NDArray[Any] = np.ascontiguousarray(image)
        for step in self._steps.values():
            values = step(values)
        return values

    def stage_calls(self, image: NDArray[np.uint8]) -> dict[str, Callable[[], object]]:
        """See `FamilyExtractor`."""
        calls: dict[str, Callable[[], object]] = {}
        values: NDArray[Any] = np.ascontiguousarray(image)
        for name, step in self._steps.items():
            calls[name] = partial(step, values)
            values = step(values).copy()
        return calls


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
