# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Where in space the corners of an image are, by an image of depth and the camera's model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction.local_features import LocalFeatures, full_positions
from floppynet_vpr.imaging.camera_model import CameraModel
from floppynet_vpr.imaging.depth_image import depth_at


def with_points(
    features: LocalFeatures, depth: NDArray[np.float32], camera: CameraModel
) -> LocalFeatures:
    """Add the points of an image's features, in the camera's optical frame.

    `depth` is (H, W) float32 in metres, of the pixels of the image; what it does not know is not a
    number. Raises VprError where image, depth and camera differ in size.
    """
    if depth.shape != (camera.height, camera.width):
        raise VprError(
            f"the depth has {depth.shape[1]}x{depth.shape[0]} pixels, the camera's image "
            f"{camera.width}x{camera.height}: align depth to the colour image in its driver"
        )
    pixels = full_positions(features, camera.width, camera.height)
    z = depth_at(depth, pixels)
    directions = camera.directions(pixels)
    points = np.column_stack([directions * z[:, None], z]).astype(np.float32)
    return replace(features, points=points)
