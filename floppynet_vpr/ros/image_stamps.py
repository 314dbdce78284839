# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""When images were taken, also where their stamps do not tell: zero, or always the same."""

from __future__ import annotations

import time
from collections.abc import Callable

_FROZEN_AFTER = 3
"""Images with one stamp from which on this is no image sent twice but a stamp that stands still."""


class ImageStamps:
    """Gives each image the time it was taken; to be asked in the order in which images came.

    A stamp of zero means that none was set: the image was taken when it arrived. Images with the
    stamp of the one before were taken as much later as they arrived later.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        """`now_ns` is the node's clock, which is 0 before simulated time has begun."""
        self._now_ns = now_ns
        self._stamp_ns = 0
        self._first_arrived = 0.0
        self._alike = 0
        self.problem = ""
        """What is wrong with the stamps; empty: nothing."""

    def taken_at(self, stamp_ns: int, arrived: float) -> int:
        """Give the nanoseconds at which an image was taken that `arrived` (`perf_counter`) then."""
        if not stamp_ns:
            self._alike, self._stamp_ns = 0, 0
            self.problem = "images carry no stamp (zero): the time of their arrival counts"
            now = self._now_ns() or time.time_ns()
            return now - round((time.perf_counter() - arrived) * 1e9)
        if stamp_ns != self._stamp_ns:
            self._alike, self._stamp_ns, self._first_arrived = 1, stamp_ns, arrived
            self.problem = ""
            return stamp_ns
        self._alike += 1
        if self._alike >= _FROZEN_AFTER:
            self.problem = (
                f"the stamps of images stand still at {stamp_ns / 1e9:.3f}: the time that passes "
                "between their arrivals is added"
            )
        return stamp_ns + round((arrived - self._first_arrived) * 1e9)
