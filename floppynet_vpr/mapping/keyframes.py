# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Which frames of a drive become places: those that show something new, or are far enough on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.arithmetic import length
from floppynet_vpr.mapping.places import Pose

LOST_SECONDS = 1.0
"""Where poses should be known but are not, a frame becomes a place after so long at the soonest."""

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class KeyframeLimits:
    """How much a frame must differ from the last place to become one; 0 asks for nothing.

    `distance`: of the descriptors (eq. 6, 0 to 2); `seconds`: of the stamps, in either direction.
    Both must be reached. Where both frames have poses and `metres` or `degrees` is above 0, one of
    these two must be reached as well: the camera has driven on, or turned.
    """

    distance: float = 0.0
    seconds: float = 0.0
    metres: float = 0.0
    degrees: float = 0.0


class KeyframeGate:
    """Lets frames pass that differ enough from the last one that passed.

    `limits` may be replaced at any time.
    """

    def __init__(self, limits: KeyframeLimits) -> None:
        """Let the first frame pass."""
        self.limits = limits
        self._last: tuple[NDArray[np.float32], int, Pose | None] | None = None

    def passes(
        self,
        descriptor: NDArray[np.float32],
        stamp_ns: int,
        pose: Pose | None = None,
        lost: bool = False,
    ) -> bool:
        """Judge a frame by its (9216,) float32 descriptor, its stamp and, if known, its pose.

        `lost`: the pose should be known but is not. How far the camera has come cannot be judged
        then, so that only time keeps the frames of a standing or slow camera from becoming places.
        """
        if self._last is not None and not self._differs(
            *self._last, descriptor, stamp_ns, pose, lost
        ):
            return False
        self._last = descriptor, stamp_ns, pose
        return True

    def _differs(
        self,
        last: NDArray[np.float32],
        last_ns: int,
        last_pose: Pose | None,
        descriptor: NDArray[np.float32],
        stamp_ns: int,
        pose: Pose | None,
        lost: bool,
    ) -> bool:
        limits = self.limits
        if length(descriptor - last) < limits.distance:
            return False
        if abs(stamp_ns - last_ns) < limits.seconds * _NANOSECONDS:
            return False
        asked = limits.metres > 0 or limits.degrees > 0
        if asked and lost:
            return abs(stamp_ns - last_ns) >= LOST_SECONDS * _NANOSECONDS
        if pose is None or last_pose is None or not asked:
            return True
        return (0 < limits.metres <= metres_between(last_pose, pose)) or (
            0 < limits.degrees <= degrees_between(last_pose, pose)
        )


def metres_between(one: Pose, other: Pose) -> float:
    """The straight distance between two positions."""
    return math.dist((one.x, one.y, one.z), (other.x, other.y, other.z))


def degrees_between(one: Pose, other: Pose) -> float:
    """The angle of the rotation from one orientation to the other, 0 to 180."""
    cosine = one.qx * other.qx + one.qy * other.qy + one.qz * other.qz + one.qw * other.qw
    return math.degrees(2 * math.acos(min(1.0, abs(cosine))))
