# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Tells from the images alone whether the camera has moved on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.arithmetic import length

_SHARE = 0.7


class MotionGate:
    """Lets an image pass when it differs enough from the last one that passed.

    Enough is 0.7 of the distance (eq. 6) from one place of the map to the next: however fast the
    camera takes images, those that pass are about as far apart as the places of the map, and while
    it stands still none passes. The distance is that at the place the camera is believed to be at
    or, where that is larger or nothing is believed, the median of the map: in a tunnel, where all
    images are alike, images pass as the map's did.
    """

    def __init__(self) -> None:
        """Let the first image pass."""
        self._last: NDArray[np.float32] | None = None

    def passes(
        self,
        descriptor: NDArray[np.float32],
        usual_step: float,
        step_here: Callable[[], float],
        belief: float,
    ) -> bool:
        """Judge a (9216,) float32 descriptor.

        `usual_step` is the median distance between places, `step_here` that at the place believed
        in, computed when it matters, `belief` (0 to 1) the belief in being in the map.
        """
        if self._last is not None:
            change = length(descriptor - self._last)
            if change < _SHARE * usual_step:
                step = usual_step + belief * (min(step_here(), usual_step) - usual_step)
                if change < _SHARE * step:
                    return False
        self._last = descriptor
        return True
