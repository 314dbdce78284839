# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Resizes a picture to what the network reads.

The paper's preprocessing is a bilinear resize straight to the input size, aspect ratio ignored and
no low-pass filter before it; the published weights were trained and are evaluated that way.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.imaging.payload import ImageError
from floppynet_vpr.imaging.pixels import for_opencv

INPUT_SIZE: Final = 227
"""Height and width of the network's input, in pixels."""


def network_input(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize an RGB picture, (H, W, 3) uint8 with any strides, to the network's input.

    Returns (227, 227, 3) uint8, C-contiguous; a contiguous picture of that size as it is. Raises
    ImageError for another shape or dtype.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ImageError(
            "size", f"the network reads (H, W, 3) uint8 RGB, not {rgb.shape} {rgb.dtype}"
        )
    if rgb.shape[:2] == (INPUT_SIZE, INPUT_SIZE):
        return np.ascontiguousarray(rgb)
    resized = cv2.resize(for_opencv(rgb), (INPUT_SIZE, INPUT_SIZE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)
