# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What all ways of matching sequences share: evidence in, belief out.

A camera that moves along the way of the map passes its places one after the other. So a place is
believed when the images before it, too, fitted the places before it. Every way of doing that takes
the same evidence, the log-odds of each place to be the one in the image, and gives the same belief:
a probability for each place, the rest of 1 being that of none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.arithmetic import log
from floppynet_vpr.mapping.spans import span_of, spans

SPEEDS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
"""Places of the map passed from one image to the next, in either direction."""

WINDOW = 4
"""Places on either side that count as the same place when beliefs are added up."""

_LEAST, _MOST = -3.0, 6.0
_MIDDLE = 1.0
_WEIGHT = 0.3


class SequenceModel(Protocol):
    """Keeps track of where in the map the camera is."""

    def update(
        self, log_odds: NDArray[np.float32], moved: bool, borders: Sequence[int] = ()
    ) -> NDArray[np.float32]:
        """Take the evidence of the next image, return the belief; both (places,) float32.

        `moved` is whether the camera has moved on since the last image; if not, this image's
        evidence replaces that one's, for it shows the same thing once more. There may be more
        places than the time before, never fewer. `borders` are the places, ascending, that are no
        neighbours of the one before (`ReferenceMap.breaks`): no camera moves across.
        """

    def reduced(self, kept: NDArray[np.int64]) -> SequenceModel:
        """Believe the same of the places `kept`, ascending, alone; this one must not be used more.

        What was believed of the others is nowhere.
        """


def log_odds(standing: NDArray[np.float32]) -> NDArray[np.float32]:
    """The evidence of an image for each place, by how far the place stands out.

    `standing` is how many standard deviations a place is nearer to the image than places are on
    the whole. For two normal distributions two deviations apart, the logarithm of their ratio is
    2 x with x = standing - 1. So that no single image decides, x is not below -3, and beyond 6 it
    grows only as 6 + ln(x - 5). It counts 0.3, because images that follow each other are alike and
    tell far less than two that have nothing in common.
    """
    x = np.maximum(standing - np.float32(_MIDDLE), np.float32(_LEAST))
    beyond = np.flatnonzero(x > np.float32(_MOST))
    x[beyond] = np.float32(_MOST) + log(1 + x[beyond] - np.float32(_MOST))
    return np.float32(_WEIGHT) * x


def within_window(
    belief: NDArray[np.float32], places: NDArray[np.int64], borders: Sequence[int] = ()
) -> NDArray[np.float32]:
    """Add up the belief of each of `places` and its neighbours, `WINDOW` on either side; 0 to 1."""
    sums = []
    for place in places.tolist():
        first, last = span_of(place, borders, len(belief))
        near = belief[max(first, place - WINDOW) : min(last, place + WINDOW + 1)]
        sums.append(near.sum(dtype=np.float64))
    return np.clip(np.array(sums), 0, 1).astype(np.float32)


def neighbours(borders: Sequence[int], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many places there are before and after each one up to the next border, (count,) int64."""
    places = np.arange(count)
    edges = np.array(spans(borders, count), np.int64)
    lengths = edges[:, 1] - edges[:, 0]
    return places - np.repeat(edges[:, 0], lengths), np.repeat(edges[:, 1], lengths) - places - 1


def velocities() -> NDArray[np.float32]:
    """All velocities, ascending: each speed backwards and forwards, (2 x speeds,) float32."""
    return np.array([*(-speed for speed in reversed(SPEEDS)), *SPEEDS], np.float32)
