# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From where exactly does the query see a place whose corners' points are known?

Corners of the query that are found among those of the place tell in which directions the place's
points are seen. PnP with MAGSAC++ (Barath et al., 2020) finds the pose from which most are, least
squares of the pixels between make it exact, and how these curve around it tells how sure it is. No
depth is needed of the query, only the model of its camera.

It is no transform rather than a doubtful one: too few corners that agree, corners in one plane that
fit two poses alike, or corners so far or so close together that the pose could move unnoticed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection.verification import match_features
from floppynet_vpr.extraction.local_features import LocalFeatures, full_positions
from floppynet_vpr.imaging.camera_model import CameraModel

LEAST_INLIERS: Final = 15
"""Corners that a transform takes, and half of those that were found again."""

QUERY_FEATURES: Final = 800
"""Corners looked for in a query; more than a place has, to find these again."""

_PIXELS: Final = 3.0
_CONFIDENCE: Final = 0.999
_ROUNDS: Final = 300
_LEAST_NOISE_PX: Final = 0.5
# Corners err together, those of one thing seen from aside the same way. On the synthetic street
# transforms are off by twice what independent errors would make.
_TOGETHER: Final = 4.0
_MOST_SIGMA_M: Final = 0.5
_MOST_SIGMA_RAD: Final = math.radians(3)
_STEPS: Final = 10
_FLAT: Final = 0.02
_CLEARLY_WORSE: Final = 2.0


@dataclass(frozen=True, eq=False)
class RelativePose:
    """The pose of the query's camera as seen from the place's, both optical frames (REP 103).

    `rotation` (3, 3) and `translation` (3,) metres, float64, take points of the query's camera to
    the place's. `covariance` is (6, 6) float64, of the translation in metres and the rotation about
    x, y, z in radians, along the axes of the query's camera. `inliers` corners agree.
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    covariance: NDArray[np.float64]
    inliers: int

    @property
    def place_covariance(self) -> NDArray[np.float64]:
        """The covariance along the axes of the place's camera, as in PoseWithCovariance."""
        turn = np.kron(np.eye(2), self.rotation)
        return np.asarray(turn @ self.covariance @ turn.T)


_Pose = tuple[NDArray[np.float64], NDArray[np.float64]]
"""A rotation (3, 3) and a shift (3,), metres, that take points of the place to the query."""


class _Corners(NamedTuple):
    """Points (n, 3) of a place and where the query sees them, (n, 2) pixels from its axis."""

    points: NDArray[np.float64]
    seen: NDArray[np.float64]
    focal_px: float

    def of(self, chosen: NDArray[np.bool_]) -> _Corners:
        """Those chosen alone."""
        return _Corners(self.points[chosen], self.seen[chosen], self.focal_px)


def relative_pose(
    query: LocalFeatures, place: LocalFeatures, camera: CameraModel
) -> RelativePose | None:
    """Find the pose of a query, seen by `camera`, relative to a place; None where it is not sure.

    Equal features give an equal pose, on whatever thread and in whatever order.
    """
    if place.points is None:
        return None
    pairs = match_features(query, place)
    points = place.points[pairs[:, 1]]
    known = np.isfinite(points).all(axis=1)
    pixels = full_positions(query, camera.width, camera.height)[pairs[known, 0]]
    return locate(camera.directions(pixels), points[known], camera.focal_px)


def locate(
    directions: NDArray[np.float64], places: NDArray[np.floating], focal_px: float
) -> RelativePose | None:
    """Find from where `places` (n, 3) are seen in directions (n, 2), X/Z and Y/Z; some are wrong.

    None where that is not sure. `focal_px` says what a pixel is.
    """
    if len(places) < LEAST_INLIERS:
        return None
    points = np.ascontiguousarray(places, np.float64)
    seen = np.ascontiguousarray(directions * focal_px, np.float64)
    corners = _Corners(points, seen, focal_px)
    matrix = np.diag([focal_px, focal_px, 1.0])
    try:
        found, turn, shift, agree = cv2.solvePnPRansac(
            points,
            seen,
            matrix,
            None,
            iterationsCount=_ROUNDS,
            reprojectionError=_PIXELS,
            confidence=_CONFIDENCE,
            flags=cv2.USAC_MAGSAC,
        )
    except cv2.error:
        # OpenCV gives up in this way where points define no pose.
        return None
    if not found or agree is None or len(agree) < LEAST_INLIERS:
        return None
    # `x = rotation point + shift` is the point in the query's camera.
    pose = _turned(turn), np.asarray(shift, np.float64).reshape(3)
    inlying = np.zeros(len(points), bool)
    inlying[np.asarray(agree).ravel()] = True
    for _ in range(2):  # the exact pose has other inliers than the one of a few points
        pose = _refined(pose, corners.of(inlying))
        inlying = _agreeing(pose, corners)
        if np.count_nonzero(inlying) < max(LEAST_INLIERS, len(points) / 2):
            return None
    if _is_twofold(points[inlying], seen[inlying], matrix):
        return None
    covariance = _covariance(pose, corners.of(inlying))
    if covariance is None:
        return None
    rotation, moved = pose
    count = int(np.count_nonzero(inlying))
    return RelativePose(rotation.T, -rotation.T @ moved, covariance, count)


def _turned(vector: NDArray[Any]) -> NDArray[np.float64]:
    """The matrix of a rotation vector."""
    return np.asarray(cv2.Rodrigues(vector)[0], np.float64)


def _residuals(pose: _Pose, corners: _Corners) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where points are imaged less where they are seen, (n, 2) pixels; in the camera, (n, 3)."""
    rotation, shift = pose
    inside = corners.points @ rotation.T + shift
    depth = np.maximum(inside[:, 2:], 1e-3)
    return corners.focal_px * inside[:, :2] / depth - corners.seen, inside


def _jacobian(inside: NDArray[np.float64], focal_px: float) -> NDArray[np.float64]:
    """How pixels move, (n, 2, 6), as the camera's points are shifted and turned by a little."""
    x, y, z = inside[:, 0], inside[:, 1], np.maximum(inside[:, 2], 1e-3)
    found = np.zeros((len(inside), 2, 6))
    found[:, 0, 0] = found[:, 1, 1] = 1 / z
    found[:, 0, 2], found[:, 1, 2] = -x / z**2, -y / z**2
    found[:, 0, 3], found[:, 1, 3] = -x * y / z**2, -1 - (y / z) ** 2
    found[:, 0, 4], found[:, 1, 4] = 1 + (x / z) ** 2, x * y / z**2
    found[:, 0, 5], found[:, 1, 5] = -y / z, x / z
    return focal_px * found


def _refined(pose: _Pose, corners: _Corners) -> _Pose:
    """Make a pose fit all points best (Gauss-Newton)."""
    for _ in range(_STEPS):
        off, inside = _residuals(pose, corners)
        jacobian = _jacobian(inside, corners.focal_px).reshape(-1, 6)
        step = np.linalg.lstsq(jacobian, -off.ravel(), rcond=None)[0]
        turn = _turned(step[3:])
        rotation, shift = pose
        pose = turn @ rotation, turn @ shift + step[:3]
        if np.abs(step).max() < 1e-10:
            break
    return pose


def _agreeing(pose: _Pose, corners: _Corners) -> NDArray[np.bool_]:
    off, inside = _residuals(pose, corners)
    return np.asarray((inside[:, 2] > 0) & ((off**2).sum(axis=1) < _PIXELS**2))


def _covariance(pose: _Pose, corners: _Corners) -> NDArray[np.float64] | None:
    """How sure a pose is, (6, 6) along the axes of the query's camera; None where it is not.

    The pixels' variance is that of the residuals. Moving the camera is moving its points the other
    way, which has the same covariance.
    """
    off, inside = _residuals(pose, corners)
    jacobian = _jacobian(inside, corners.focal_px).reshape(-1, 6)
    variance = float((off**2).sum()) / (off.size - 6)
    try:
        spread = np.linalg.inv(jacobian.T @ jacobian)
    except np.linalg.LinAlgError:
        return None
    covariance = _TOGETHER * max(variance, _LEAST_NOISE_PX**2) * spread
    axes = np.linalg.eigvalsh(covariance[:3, :3])[-1], np.linalg.eigvalsh(covariance[3:, 3:])[-1]
    # What is not a number is not sure either.
    if not (0 < axes[0] <= _MOST_SIGMA_M**2 and 0 < axes[1] <= _MOST_SIGMA_RAD**2):
        return None
    return np.asarray((covariance + covariance.T) / 2)


def _is_twofold(
    points: NDArray[np.float64], seen: NDArray[np.float64], matrix: NDArray[np.float64]
) -> bool:
    """Tell whether points in one plane fit a second pose nearly as well as the best."""
    sizes = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if sizes[2] > _FLAT * sizes[1]:
        return False
    try:
        found = cv2.solvePnPGeneric(points, seen, matrix, None, flags=cv2.SOLVEPNP_IPPE)
    except cv2.error:
        return True
    errors = np.ravel(found[3])
    if len(errors) < 2:
        return False
    return bool(errors.max() < _CLEARLY_WORSE * max(float(errors.min()), _LEAST_NOISE_PX))
