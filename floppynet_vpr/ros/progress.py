# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a node at work says of itself now and then, so that its log is not silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from floppynet_vpr.ros.statistics import Snapshot

PERIOD_S = 60.0


class Progress:
    """Logs the first answer, and what was done in each minute in which images came."""

    def __init__(self, logger: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._since = clock()
        self._before: Snapshot | None = None
        self._first_told = False

    def look(self, seen: Snapshot, answer: str, places: int) -> None:
        """Take the counts as they are now, the last answer in words, and the map's size."""
        if seen.processed and not self._first_told:
            self._first_told = True
            self._logger.info(f"images are answered; the first answers: {answer}")
        now = self._clock()
        if now - self._since < PERIOD_S:
            return
        before, self._before = self._before, seen
        seconds, self._since = now - self._since, now
        received = seen.received - (before.received if before else 0)
        if received:
            answered = seen.processed - (before.processed if before else 0)
            detected = seen.detected - (before.detected if before else 0)
            dropped = seen.dropped - (before.dropped if before else 0)
            unusable = seen.unusable - (before.unusable if before else 0)
            self._logger.info(
                f"the last {seconds:.0f} s: {received} images, {answered} answered, "
                f"{dropped} dropped, {unusable} unusable; {detected} loop closures; the map has "
                f"{places} places"
            )
