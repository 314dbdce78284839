# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Counts and times of the frames that pass through the node."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass

import numpy as np

_WINDOW = 200


@dataclass(frozen=True)
class FrameTimes:
    """Seconds that one frame took: the descriptor, the search, and all from arrival on."""

    extract: float
    search: float
    total: float


@dataclass(frozen=True)
class Snapshot:
    """The state of the counts; times are milliseconds over the last frames, (median, p99)."""

    received: int
    processed: int
    dropped: int
    bad: dict[str, int]
    rate_hz: float
    milliseconds: dict[str, tuple[float, float]]
    since_last_image: float
    detected: int = 0

    @property
    def unusable(self) -> int:
        """Images that could not be used, of whatever kind."""
        return sum(self.bad.values())

    @property
    def facts(self) -> dict[str, object]:
        """All of it by name, for people."""
        facts: dict[str, object] = {
            "images received": self.received,
            "images processed": self.processed,
            "images dropped": self.dropped,
            "loop closures": self.detected,
            "images unusable": self.unusable,
            **{f"unusable: {kind}": count for kind, count in self.bad.items()},
            "rate (Hz)": f"{self.rate_hz:.2f}",
        }
        for stage, (middle, high) in self.milliseconds.items():
            facts[f"{stage} median (ms)"] = f"{middle:.2f}"
            facts[f"{stage} p99 (ms)"] = f"{high:.2f}"
        return facts


class FrameStatistics:
    """Gathers what happens to frames; all methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = self._dropped = self._processed = self._detected = 0
        self._bad: Counter[str] = Counter()
        self._times: deque[FrameTimes] = deque(maxlen=_WINDOW)
        self._finished: deque[float] = deque(maxlen=_WINDOW)
        self._last_image = time.monotonic()

    def image_received(self, dropped_older: bool) -> None:
        """Count an image that came in, and the older one dropped for it if there was one."""
        with self._lock:
            self._received += 1
            self._dropped += dropped_older
            self._last_image = time.monotonic()

    def image_bad(self, kind: str) -> bool:
        """Count an image that could not be used; returns whether it is the first of its kind."""
        with self._lock:
            self._bad[kind] += 1
            return self._bad[kind] == 1

    def frame_processed(self, times: FrameTimes, detected: bool) -> int:
        """Count a frame that was answered; returns how many were before it."""
        with self._lock:
            self._detected += detected
            self._times.append(times)
            self._finished.append(time.monotonic())
            self._processed += 1
            return self._processed - 1

    def snapshot(self) -> Snapshot:
        """Return the counts and times up to now."""
        with self._lock:
            now = time.monotonic()
            rate = 0.0
            recent = [moment for moment in self._finished if now - moment < 5]
            if len(recent) > 1:
                rate = (len(recent) - 1) / (recent[-1] - recent[0])
            return Snapshot(
                self._received,
                self._processed,
                self._dropped,
                dict(self._bad),
                rate,
                {
                    stage: _median_and_p99([getattr(times, stage) for times in self._times])
                    for stage in ("extract", "search", "total")
                },
                now - self._last_image,
                self._detected,
            )


def _median_and_p99(seconds: list[float]) -> tuple[float, float]:
    if not seconds:
        return 0.0, 0.0
    middle, high = np.percentile(seconds, (50, 99)) * 1e3
    return float(middle), float(high)
