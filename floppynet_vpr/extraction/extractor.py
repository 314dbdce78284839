# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What every extractor offers: descriptors, and those of the family the integers behind them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.arithmetic import length
from floppynet_vpr.errors import VprError
from floppynet_vpr.imaging.network_input import network_input
from floppynet_vpr.network.layers import INPUT_SHAPE
from floppynet_vpr.network.network import Network
from floppynet_vpr.network.weights import NetworkWeights

DESCRIPTOR_SIZE = 9216
"""Length of a descriptor: pool5 of 6 x 6 x 256, row-major."""


class ExtractionError(VprError):
    """An extractor that cannot be made, or an input that it cannot take."""


class Extractor(ABC):
    """Turns images into descriptors with one network; an instance serves one thread at a time."""

    def __init__(self, network: Network, description: str) -> None:
        """Keep the network; `description` names the backend for logs and diagnostics."""
        self.network = network
        self.description = description

    @abstractmethod
    def describe(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Extract the descriptor of any (H, W, 3) uint8 RGB image.

        Gives (d,) float32 of norm 1, d being the product of the network's `shape`; where the
        network gives zeros alone they stay zeros.
        """


class FamilyExtractor(Extractor):
    """Computes a network of the family.

    All extractors give the same pool5 integers, value for value, for the same input. An instance
    keeps working buffers.
    """

    def __init__(self, weights: NetworkWeights, description: str) -> None:
        super().__init__(weights, description)
        self.weights = weights

    @abstractmethod
    def pool5(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        """Extract the last feature map: (227, 227, 3) uint8 RGB -> (6, 6, 256) int16.

        Of a network of k > 1 bits it is int32: (2**k - 1)**2 times what the network was trained
        to compute, a common factor which the descriptor's norm takes away again.
        """

    def stage_calls(self, image: NDArray[np.uint8]) -> dict[str, Callable[[], object]]:
        """Give for each convolution a call that does it alone, with what follows it, on `image`.

        For measuring: a call may be repeated as long as no other method is called. Empty where
        the network is computed in one piece.
        """
        return {}

    def describe(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Extract the descriptor, (9216,) float32; see `Extractor`."""
        return normalise(self.pool5(network_input(rgb)))


def normalise(pool5: NDArray[Any]) -> NDArray[np.float32]:
    """L2-normalise a feature map (eq. 5), such as (6, 6, 256) integers -> (9216,) float32.

    The norm is that of the integers, exact before its square root for up to 4 bits. A map of
    zeros stays zeros.
    """
    values = pool5.reshape(-1).astype(np.float64)
    norm = length(values)
    return (values / norm if norm else values).astype(np.float32)


def check_input(image: NDArray[np.uint8]) -> None:
    """Raise `ExtractionError` unless `image` is a network input, (227, 227, 3) uint8."""
    if image.shape != INPUT_SHAPE or image.dtype != np.uint8:
        raise ExtractionError(
            f"the network takes {INPUT_SHAPE} uint8, not {image.shape} {image.dtype}: "
            "use describe() or imaging.network_input() for other images"
        )
