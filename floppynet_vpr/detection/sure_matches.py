# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""When a recognition is sure enough to tell a robot where it is: several images in a row agree."""

from __future__ import annotations

from floppynet_vpr.detection.detector import Candidate, Detection
from floppynet_vpr.detection.sequences import WINDOW

_NEAR = 2 * WINDOW
"""Places that the robot may have come on from one image to the next."""


class SureMatches:
    """Counts images in a row that surely recognise the same stretch of a session."""

    def __init__(self) -> None:
        """Start with none."""
        self.count = 0
        self._last: Candidate | None = None

    def take(self, detection: Detection) -> int:
        """Take the next image's verdict; returns how many in a row were sure, this one included.

        Sure is a loop closure whose place has a pose. It goes on with those before where its place
        is at most 8 places of the same session from the last one; else it is the first.
        """
        best = detection.candidates[0] if detection.detected else None
        if best is None or best.place.pose is None:
            self.forget()
            return 0
        self.count = self.count + 1 if self._goes_on(best) else 1
        self._last = best
        return self.count

    def forget(self) -> None:
        """Start anew."""
        self.count, self._last = 0, None

    def _goes_on(self, best: Candidate) -> bool:
        last = self._last
        return (
            last is not None
            and last.place.session.uid == best.place.session.uid
            and abs(last.index - best.index) <= _NEAR
        )
