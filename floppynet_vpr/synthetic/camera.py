# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The pin-hole camera that drives along the street.

Axes follow REP 103. World: x along the start of the street, y to its left, z up, metres, z = 0 on
the road. Optical frame: z forward, x right, y down, so that the image of an optical point (X, Y,
Z) is u = cx + f X / Z, v = cy + f Y / Z. The camera is level (no roll, no pitch): what moves
between two frames moves by parallax alone.
"""

from dataclasses import dataclass
from functools import cached_property
from math import cos, radians, sin, tan

import numpy as np
from numpy.typing import NDArray

NEAR_M = 0.3
"""Nothing nearer to the image plane than this is drawn."""


@dataclass(frozen=True)
class CameraPose:
    """Where the camera is (world axes, metres) and where it looks (yaw, radians to the left)."""

    x: float
    y: float
    z: float
    yaw: float

    @cached_property
    def position(self) -> NDArray[np.float64]:
        """The optical centre, (3,) float64, metres."""
        return np.array([self.x, self.y, self.z])

    @cached_property
    def rotation(self) -> NDArray[np.float64]:
        """The (3, 3) matrix that turns world directions into optical ones."""
        c, s = cos(self.yaw), sin(self.yaw)
        return np.array([[s, -c, 0.0], [0.0, 0.0, -1.0], [c, s, 0.0]])


@dataclass(frozen=True)
class PinholeCamera:
    """An ideal camera: image size in pixels, horizontal field of view in degrees, square pixels."""

    width: int = 640
    height: int = 480
    hfov_deg: float = 80.0

    @cached_property
    def focal_px(self) -> float:
        """The focal length in pixels."""
        return self.width / 2 / tan(radians(self.hfov_deg) / 2)

    @cached_property
    def intrinsics(self) -> NDArray[np.float64]:
        """The (3, 3) matrix K; pixel centres at integers, principal point in the middle."""
        cx, cy = (self.width - 1) / 2, (self.height - 1) / 2
        return np.array([[self.focal_px, 0.0, cx], [0.0, self.focal_px, cy], [0.0, 0.0, 1.0]])

    def project_optical(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Images (n, 2), in pixels, of points (n, 3) given in the optical frame."""
        return points[:, :2] * (self.focal_px / points[:, 2:3]) + self.intrinsics[:2, 2]


def to_optical(points: NDArray[np.float64], pose: CameraPose) -> NDArray[np.float64]:
    """World points (n, 3) in the optical frame of a camera at `pose`."""
    return (points - pose.position) @ pose.rotation.T


def clip_near(polygon: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of a convex polygon (n, 3), optical frame, from NEAR_M on; maybe (0, 3)."""
    depth, near = polygon[:, 2], NEAR_M
    if depth.min() >= near:
        return polygon
    if depth.max() < near:
        return polygon[:0]
    kept = []
    for i in range(len(polygon)):
        a, b = polygon[i - 1], polygon[i]
        if (a[2] >= near) != (b[2] >= near):
            kept.append(a + (b - a) * ((near - a[2]) / (b[2] - a[2])))
        if b[2] >= near:
            kept.append(b)
    return np.array(kept)
