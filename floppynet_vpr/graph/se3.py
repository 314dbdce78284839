# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Rigid motions in space: position and unit quaternion, composed and inverted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError

_ALIKE = 0.9995


@dataclass(frozen=True, slots=True)
class Transform:
    """A pose, or the motion from one frame to another: metres, and a unit quaternion (x, y, z, w).

    `a @ b` is b seen from the frame in which a is given; `a.inverse() @ b` is b seen from a.
    """

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    qx: float = 0.0
    qy: float = 0.0
    qz: float = 0.0
    qw: float = 1.0

    @classmethod
    def of(cls, values: Sequence[float]) -> Transform:
        """Take x, y, z, qx, qy, qz, qw as read from somewhere, with a quaternion of any length.

        Raises VprError where these are not seven finite numbers, or the quaternion is zero.
        """
        position, quaternion = values[:3], values[3:]
        size = math.hypot(*quaternion)
        if len(values) != 7 or not all(map(math.isfinite, values)) or size < 1e-6:
            text = ", ".join(f"{value:g}" for value in values)
            raise VprError(f"({text}) is no pose: it takes x, y, z and a quaternion x, y, z, w")
        # A quaternion that is one but for the last digit stays as it was written.
        if abs(size - 1) < 1e-15:
            size = 1.0
        return cls(*position, *(value / size for value in quaternion))

    @classmethod
    def of_matrix(cls, rotation: NDArray[np.float64], position: NDArray[np.float64]) -> Transform:
        """Take a rotation (3, 3) and a position (3,), metres."""
        # The eigenvector for the largest eigenvalue of K (Bar-Itzhack 2000) is the quaternion.
        a, b, c = rotation
        k = np.array(
            [
                [a[0] - b[1] - c[2], 0, 0, 0],
                [a[1] + b[0], b[1] - a[0] - c[2], 0, 0],
                [a[2] + c[0], b[2] + c[1], c[2] - a[0] - b[1], 0],
                [c[1] - b[2], a[2] - c[0], b[0] - a[1], a[0] + b[1] + c[2]],
            ]
        )
        quaternion = np.linalg.eigh(k)[1][:, -1]
        quaternion *= 1.0 if quaternion[3] >= 0 else -1.0
        return cls.of([*position.tolist(), *quaternion.tolist()])

    @property
    def adjoint(self) -> NDArray[np.float64]:
        """The (6, 6) float64 matrix that takes small motions to this motion's parent frame.

        They are rows of a shift and a rotation vector: A exp(m) = exp(adjoint m) A.
        """
        x, y, z = self.position
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        found = np.asarray(np.kron(np.eye(2), self.rotation), np.float64)
        found[:3, 3:] = cross @ self.rotation
        return found

    @property
    def values(self) -> tuple[float, float, float, float, float, float, float]:
        """Position and quaternion in one row: x, y, z, qx, qy, qz, qw."""
        return self.x, self.y, self.z, self.qx, self.qy, self.qz, self.qw

    @property
    def position(self) -> NDArray[np.float64]:
        """The position, (3,) float64, metres."""
        return np.array([self.x, self.y, self.z])

    @property
    def rotation(self) -> NDArray[np.float64]:
        """The rotation as a (3, 3) float64 matrix."""
        x, y, z, w = self.qx, self.qy, self.qz, self.qw
        return np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )

    @property
    def metres(self) -> float:
        """The length of the way."""
        return math.hypot(self.x, self.y, self.z)

    @property
    def radians(self) -> float:
        """The angle of the rotation, 0 to pi."""
        # The sine as well as the cosine: neither alone is exact near both 0 and pi.
        return 2 * math.atan2(math.hypot(self.qx, self.qy, self.qz), abs(self.qw))

    def __matmul__(self, other: Transform) -> Transform:
        """Compose: first this motion, then the other, given in the frame that this one leads to."""
        ax, ay, az, aw = self.qx, self.qy, self.qz, self.qw
        bx, by, bz, bw = other.qx, other.qy, other.qz, other.qw
        quaternion = (
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        )
        # Of unit quaternions the product is one, but for rounding that would add up.
        size = math.hypot(*quaternion)
        x, y, z = self._turned(other.x, other.y, other.z)
        return Transform(self.x + x, self.y + y, self.z + z, *(q / size for q in quaternion))

    def inverse(self) -> Transform:
        """The motion that undoes this one."""
        back = Transform(0.0, 0.0, 0.0, -self.qx, -self.qy, -self.qz, self.qw)
        x, y, z = back._turned(-self.x, -self.y, -self.z)
        return Transform(x, y, z, back.qx, back.qy, back.qz, back.qw)

    def _turned(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        """Turn a vector: v + 2 w (q x v) + 2 q x (q x v)."""
        qx, qy, qz, qw = self.qx, self.qy, self.qz, self.qw
        cx, cy, cz = 2 * (qy * z - qz * y), 2 * (qz * x - qx * z), 2 * (qx * y - qy * x)
        return (
            x + qw * cx + qy * cz - qz * cy,
            y + qw * cy + qz * cx - qx * cz,
            z + qw * cz + qx * cy - qy * cx,
        )


def interpolate(one: Transform, other: Transform, share: float) -> Transform:
    """The pose `share` (0 to 1) of the way from one to the other: straight on, turning evenly."""
    first, second = one.values, other.values
    cosine = sum(a * b for a, b in zip(first[3:], second[3:], strict=True))
    # q and -q are the same rotation: take the shorter way round.
    sign, cosine = (-1.0, -cosine) if cosine < 0 else (1.0, cosine)
    weights = (1 - share, sign * share)
    if cosine < _ALIKE:
        angle = math.acos(cosine)
        weights = math.sin((1 - share) * angle), sign * math.sin(share * angle)
    quaternion = [
        weights[0] * a + weights[1] * b for a, b in zip(first[3:], second[3:], strict=True)
    ]
    position = [a + share * (b - a) for a, b in zip(first[:3], second[:3], strict=True)]
    return Transform.of([*position, *quaternion])
