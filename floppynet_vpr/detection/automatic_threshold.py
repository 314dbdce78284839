# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A threshold for matches of single images that needs no labels: it sets itself while driving.

Other light or another season makes images differ more from all places of the map, the right one
included. So the threshold that the map suggests by itself (`Background.threshold`) is shifted by
how much farther the images are from its places than these are from each other: the running mean,
over the last 100 images, of an image's median distance to 32 places spread over the map, less the
median distance between places.
"""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection.background import Background
from floppynet_vpr.mapping import ReferenceMap

_IMAGES = 100
_PLACES = 32


class AutomaticThreshold:
    """Watches the images and knows the threshold (distance of eq. 6, 0 to 2) that suits them."""

    def __init__(self, reference: ReferenceMap) -> None:
        """Start with no image."""
        self._reference = reference
        self._images = 0
        self._usual = 0.0

    def reduced(self, reference: ReferenceMap) -> AutomaticThreshold:
        """Go on with another map of the same images."""
        reduced = copy(self)
        reduced._reference = reference
        return reduced

    def watch(self, descriptor: NDArray[np.float32], background: Background) -> None:
        """Take the next image's descriptor, (9216,) float32."""
        sample = background.sample
        chosen = sample[:: -(-len(sample) // _PLACES)] if len(sample) else sample
        if len(chosen):
            median = float(np.median(self._reference.distances(descriptor, chosen)))
            self._images = min(self._images + 1, _IMAGES)
            self._usual += (median - self._usual) / self._images

    def value(self, background: Background) -> float | None:
        """The threshold now, above 0; None in a map that is too small or too uniform for one."""
        threshold = background.threshold
        if threshold is None:
            return None
        if self._images:
            threshold += self._usual - background.usual
        return threshold if threshold > 0 else None
