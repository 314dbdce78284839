# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a camera does with rays of light, as sensor_msgs/CameraInfo tells it.

All frames are optical (REP 103): z forward, x right, y down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError

_DISTORTED: Final = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14)}
_FISHEYE: Final = "equidistant"


@dataclass(frozen=True, eq=False)
class CameraModel:
    """A calibrated camera: image size, (3, 3) float64 matrix, distortion of OpenCV's models.

    An empty `distortion` is none; `fisheye` says which model it is of.
    """

    width: int
    height: int
    matrix: NDArray[np.float64]
    distortion: NDArray[np.float64]
    fisheye: bool = False

    @classmethod
    def of_info(
        cls,
        width: int,
        height: int,
        model: str,
        d: Sequence[float],
        k: Sequence[float],
        p: Sequence[float],
        rectified: bool = False,
    ) -> CameraModel:
        """Take the fields of a sensor_msgs/CameraInfo.

        `rectified` images are seen by P without distortion, others by K and D. Raises VprError for
        a camera that is not calibrated, or of a distortion that is not known here.
        """
        matrix = np.array([p[:3], p[4:7], p[8:11]] if rectified else np.reshape(k, (3, 3)))
        matrix = matrix.astype(np.float64)
        if not (np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0):
            raise VprError(
                f"the camera is not calibrated (its CameraInfo has {'P' if rectified else 'K'} "
                "without a focal length): calibrate it, or have its driver publish its calibration"
            )
        if width < 1 or height < 1:
            raise VprError(f"the CameraInfo is of an image of {width}x{height} pixels")
        distortion = np.array([] if rectified else d, np.float64)
        if not distortion.any():
            return cls(width, height, matrix, np.empty(0))
        fisheye = model == _FISHEYE
        counts = (4,) if fisheye else _DISTORTED.get(model, ())
        if len(distortion) not in counts or not np.isfinite(distortion).all():
            raise VprError(
                f"the CameraInfo has {len(distortion)} distortion coefficients of the model "
                f"'{model}', known are: equidistant (4), "
                + ", ".join(f"{name} ({min(sizes)} or more)" for name, sizes in _DISTORTED.items())
                + "; use rectified images"
            )
        return cls(width, height, matrix, distortion, fisheye)

    @property
    def focal_px(self) -> float:
        """The mean of the focal lengths across and down, pixels."""
        return float(self.matrix[0, 0] + self.matrix[1, 1]) / 2

    def require_size(self, rgb: NDArray[np.uint8]) -> None:
        """Raise VprError for an image that is not of the size that the camera's images are."""
        height, width = rgb.shape[:2]
        if (width, height) != (self.width, self.height):
            raise VprError(
                f"the CameraInfo is of images of {self.width}x{self.height} pixels, these have "
                f"{width}x{height}: name the CameraInfo of these images"
            )

    def directions(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """X/Z and Y/Z, (n, 2), of the rays through pixels (n, 2) whose centres are integers."""
        points = np.asarray(pixels, np.float64).reshape(-1, 1, 2)
        if not len(points):
            return np.empty((0, 2))
        undistort = cv2.fisheye.undistortPoints if self.fisheye else cv2.undistortPoints
        distortion = self.distortion if len(self.distortion) else np.zeros(5)
        found = undistort(points, self.matrix, distortion)
        return np.asarray(found, np.float64).reshape(-1, 2)

    def bearing(self, right: float, down: float) -> tuple[float, float]:
        """The angles, radians, from the middle of the view to what lies so far beside it.

        `right` and `down` are shares of the image's width and height. Distortion, which is little
        near the middle, is left out.
        """
        return (
            math.atan(right * self.width / float(self.matrix[0, 0])),
            math.atan(down * self.height / float(self.matrix[1, 1])),
        )
