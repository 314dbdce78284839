# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Discounts places that look a little like everything: a blank wall, a dark road."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SHARE = np.float32(0.5)
_PRIOR_IMAGES = 10
_MOST_IMAGES = 100


class Commonness:
    """How far each place stands out on average of the images of this drive.

    A place that the camera passes stands out for a moment. One that stands out all the time tells
    nothing: on a drive that never comes through the map such places are what is matched.
    """

    def __init__(self) -> None:
        """Start without images."""
        self._mean = np.empty(0, np.float32)
        self._images = 0

    def reduced(self, kept: NDArray[np.int64]) -> Commonness:
        """Know the same of the places `kept`, ascending, alone."""
        reduced = Commonness()
        reduced._mean = self._mean[kept[kept < len(self._mean)]]
        reduced._images = self._images
        return reduced

    def less(self, standing: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take half of that average, as known so far, from (places,) float32 `standing`.

        The average is drawn to 0 with the weight of 10 images.
        """
        self._grow(len(standing))
        known = np.float32(self._images / (self._images + _PRIOR_IMAGES))
        return standing - _SHARE * known * self._mean[: len(standing)]

    def watch(self, standing: NDArray[np.float32]) -> None:
        """Take an image for which the camera has moved on; of more than 100, old ones fade."""
        self._grow(len(standing))
        self._images = min(self._images + 1, _MOST_IMAGES)
        mean = self._mean[: len(standing)]
        mean += (standing - mean) / np.float32(self._images)

    def _grow(self, count: int) -> None:
        if count > len(self._mean):
            self._mean = np.pad(self._mean, (0, count - len(self._mean)))
