# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What all ways of comparing an image with the places of a map have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection.background import Background, Needs
from floppynet_vpr.mapping import ReferenceMap


@dataclass(frozen=True)
class Compared:
    """An image compared with n places: distances, 0 to 2, (n,) float32, and (n, 2) int64 shifts.

    A shift is how many cells farther to the right and down the place shows what the image shows.
    """

    distances: NDArray[np.float32]
    shifts: NDArray[np.int64]


class Comparer(Protocol):
    """A way to compare images with the places of a map."""

    @property
    def background(self) -> Background:
        """What is usual in the map."""

    def seen(self, descriptor: NDArray[np.float32], needs: Needs) -> None:
        """Take a new image, (9216,) float32, into account for those that follow.

        `needs` are those that the background has to be ready for when the map has grown.
        """

    def reduced(self, reference: ReferenceMap) -> Comparer:
        """Compare with another map, of some of the places; what images have in common stays."""

    def nearest(
        self, descriptor: NDArray[np.float32], count: int, eligible: int
    ) -> NDArray[np.int64]:
        """Find the `count` places nearest to a (9216,) float32 descriptor, nearest first.

        Only the first `eligible` places of the map count; if they are fewer, all are given.
        """

    def standing(self, descriptor: NDArray[np.float32], eligible: int) -> NDArray[np.float32]:
        """By how many standard deviations each place is nearer than usual, (eligible,) float32.

        What is usual for this image, and the deviation from it, are the median and the median
        absolute deviation of its distances to all places or, in a large map, to a sample of them.
        There, places beyond those that a search compares stand at 0. So do all in a map of fewer
        than 20 places, which is too small to know what is usual.
        """

    def agreeing(self, descriptor: NDArray[np.float32], place: int, eligible: int) -> int | None:
        """How many cells of image and place agree; None where that is not known.

        The first `eligible` places of the map say what is usual.
        """

    def compare(self, descriptor: NDArray[np.float32], indices: NDArray[np.int64]) -> Compared:
        """Compare an image with the places `indices`."""
