# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""When a recognition is sure enough to tell a robot where it is: several images in a row agree."""

from __future__ import annotations

from collections import deque
from itertools import islice

from floppynet_vpr.detection.detector import Candidate, Detection
from floppynet_vpr.detection.sequences import WINDOW

STANDS_OUT = 3.0
"""By how many standard deviations places must stand out in their images, on average.

A robot that is carried off is believed to drive on where it was for up to a dozen images: in five
in a row those places stood out by 1.0 on average and 2.8 at most, right ones by 5.2.
"""

_NEAR = 2 * WINDOW
_MOST = 1000


class SureMatches:
    """Counts images in a row that recognise the same stretch of a session."""

    def __init__(self) -> None:
        """Start with none."""
        self.count = 0
        self._last: Candidate | None = None
        self._standing: deque[float] = deque(maxlen=_MOST)

    def take(self, detection: Detection) -> None:
        """Take the next image's verdict.

        A loop closure whose place has a pose goes on with those before where its place is at most
        8 places of the same session from the last one; else it is the first. Without one there is
        none.
        """
        best = detection.candidates[0] if detection.detected else None
        if best is None or best.place.pose is None:
            self.forget()
            return
        if not self._goes_on(best):
            self.forget()
        self.count += 1
        self._last = best
        self._standing.appendleft(detection.standing)

    def objection(self, images: int) -> str:
        """Why the last `images` images (at most 1,000) are not sure; empty: they are."""
        if self.count < images:
            return f"{self.count} in a row recognised it, not yet {images}"
        standing = sum(islice(self._standing, images)) / images
        if standing < STANDS_OUT:
            return (
                f"it is believed for what was seen before: in these images it stands out by "
                f"{standing:.1f} standard deviations, which should be {STANDS_OUT:g}"
            )
        return ""

    def forget(self) -> None:
        """Start anew."""
        self.count, self._last = 0, None
        self._standing.clear()

    def _goes_on(self, best: Candidate) -> bool:
        last = self._last
        return (
            last is not None
            and last.place.session.uid == best.place.session.uid
            and abs(last.index - best.index) <= _NEAR
        )
