# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps a map that grows while it is used from matching what has only just been seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping import Place
from floppynet_vpr.stamps import SECOND_NS


class RecentPlaces:
    """Knows which places were added a short while ago.

    Places that were in the map from the start are never recent. Of the others, those at the end of
    the map are that were added within the last `images` images or whose stamps are less than
    `seconds` from the image's, in either direction. Stamps that jump back by more than that begin
    another pass of the same clock, as of a bag in a loop; those of places added before tell
    nothing.
    """

    def __init__(self, known: int) -> None:
        """Start with a map of `known` places."""
        self._known = known
        self._added_at: list[int] = []
        self._images = 0
        self._former = 0
        self._last_ns = 0

    def reduced(self, kept: NDArray[np.int64]) -> RecentPlaces:
        """Know the same of the places `kept`, ascending, alone."""
        reduced = RecentPlaces(int((kept < self._known).sum()))
        numbers = kept[reduced._known :] - self._known
        # Places that no image has seen yet are counted as new by the next one.
        reduced._added_at = [self._added_at[n] for n in numbers.tolist() if n < len(self._added_at)]
        reduced._images = self._images
        reduced._former = int((kept < self._former).sum())
        reduced._last_ns = self._last_ns
        return reduced

    def know(self, count: int) -> None:
        """Count the first `count` places, those of the map as it is now, as never recent."""
        self._known = count
        self._added_at.clear()

    def eligible(self, places: Sequence[Place], stamp_ns: int, images: int, seconds: float) -> int:
        """Count the places, from the first, that the next image may be matched to."""
        new = len(places) - self._known - len(self._added_at)
        self._added_at.extend([self._images] * new)
        self._images += 1
        count = len(places)
        if stamp_ns < self._last_ns - seconds * SECOND_NS:
            self._former = count
        self._last_ns = stamp_ns
        while count > self._known:
            age = self._images - self._added_at[count - 1 - self._known]
            apart = abs(stamp_ns - places[count - 1].stamp_ns)
            if age > images and (count <= self._former or apart >= seconds * SECOND_NS):
                break
            count -= 1
        return count
