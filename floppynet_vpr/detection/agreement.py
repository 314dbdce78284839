# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Verifies what is believed along the drive: do image and place agree cell by cell?

Another street of the same town may be as like the images as the right one, on the whole and for as
long as belief takes to grow. Then some cells are very much alike; of the right place most are more
alike than usual, by night and from another lane as well.
"""

from __future__ import annotations

from collections import deque

IMAGES = 16
"""Images over whose matches the agreeing cells are averaged."""

AGREEING = 14.5
"""Cells, of 36, that must agree on average.

Chosen on GardensPoint and on two synthetic streets, each driven on the map of itself and of the
other. Of right places 18 to 26 agree, of strange streets of the same makers 11 to 15.
"""

NOT_CHECKED = -1.0


class Agreement:
    """Averages how many cells agree with the place believed in most, image by image."""

    def __init__(self) -> None:
        """Start without images."""
        self._counts: deque[int] = deque(maxlen=IMAGES)

    def take(self, count: int | None, moved: bool) -> float:
        """Take the next image's cells that agree, None where that is not known; give the mean.

        While the camera has not `moved`, the image replaces the one before. -1: not known.
        """
        if count is None:
            return NOT_CHECKED
        if not moved and self._counts:
            self._counts.pop()
        self._counts.append(count)
        return sum(self._counts) / len(self._counts)
