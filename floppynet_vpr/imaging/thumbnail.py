# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Small pictures of places, for people."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.imaging.pixels import convert_colour

MOST_BYTES = 4096
"""A thumbnail is not larger than this."""

_SIDES = (160, 120, 80)
_QUALITIES = (85, 75, 60, 45, 30)


def make_thumbnail(rgb: NDArray[np.uint8]) -> bytes:
    """Make a JPEG of at most 4,096 bytes of an RGB (h, w, 3) uint8 image.

    Its longer side has 160 pixels or, where not even low quality makes it small enough, fewer;
    images that are smaller are not enlarged. Empty where none fits: no camera takes such a picture.
    """
    for side in _SIDES:
        share = min(1.0, side / max(rgb.shape[:2]))
        height, width = (max(1, round(share * length)) for length in rgb.shape[:2])
        small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
        bgr = convert_colour(np.asarray(small, np.uint8), cv2.COLOR_RGB2BGR)
        for quality in _QUALITIES:
            _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if encoded.size <= MOST_BYTES:
                return encoded.tobytes()
    return b""


def read_thumbnail(encoded: bytes) -> NDArray[np.uint8] | None:
    """Give the RGB (h, w, 3) uint8 image of a thumbnail; None where these bytes are none."""
    found = cv2.imdecode(np.frombuffer(encoded or b"\0", np.uint8), cv2.IMREAD_COLOR)
    return None if found is None else convert_colour(np.asarray(found, np.uint8), cv2.COLOR_BGR2RGB)
