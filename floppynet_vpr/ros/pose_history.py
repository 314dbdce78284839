# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The poses of the last seconds, from which that of an image is found by its stamp."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from dataclasses import astuple

from floppynet_vpr.graph.se3 import Transform, interpolate
from floppynet_vpr.mapping import Pose
from floppynet_vpr.stamps import SECOND_NS

CLOCK_JUMP_S = 1.0
"""A stamp older than the newest by more than this means that the clock was set back."""

_KEPT = 2000


class PoseHistory:
    """Stamped poses, kept in order of time; all methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._poses: deque[tuple[int, Pose]] = deque(maxlen=_KEPT)

    @property
    def newest_ns(self) -> int:
        """The stamp of the newest pose; 0 without one."""
        with self._lock:
            return self._poses[-1][0] if self._poses else 0

    def add(self, stamp_ns: int, pose: Pose) -> None:
        """Take a pose.

        A stamp more than a second older than the newest means that the clock was set back, by a
        bag that starts anew or a simulator: the poses before are forgotten.
        """
        with self._lock:
            if self._poses and stamp_ns <= self._poses[-1][0]:
                if self._poses[-1][0] - stamp_ns <= CLOCK_JUMP_S * SECOND_NS:
                    return  # late or sent twice: its neighbours say as much
                self._poses.clear()
            self._poses.append((stamp_ns, pose))

    def at(self, stamp_ns: int, tolerance: float) -> Pose | None:
        """Find the pose at a stamp, None without a pose within `tolerance` seconds of it.

        Between two poses that both are, it is interpolated; else it is the nearer one.
        """
        reach = tolerance * SECOND_NS
        with self._lock:
            index = bisect_left(self._poses, stamp_ns, key=lambda entry: entry[0])
            near = [
                self._poses[i]
                for i in (index - 1, index)
                if 0 <= i < len(self._poses) and abs(self._poses[i][0] - stamp_ns) <= reach
            ]
        if len(near) < 2:
            return near[0][1] if near else None
        (before_ns, before), (after_ns, after) = near
        return interpolated(before, after, (stamp_ns - before_ns) / (after_ns - before_ns))


def interpolated(one: Pose, other: Pose, share: float) -> Pose:
    """The pose `share` (0 to 1) of the way from one to the other: straight on, turning evenly."""
    between = interpolate(Transform(*astuple(one)), Transform(*astuple(other)), share)
    return Pose(*between.values)
