# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Turns pixel arrays of any channel order, mosaic or depth into RGB uint8.

Raw messages, compressed messages and image files all end here, so that the same picture gives the
same RGB values whichever way it came. The colour arithmetic is OpenCV's, the one cv_bridge uses.
"""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.imaging.bit_depth import BitDepth

# OpenCV names a Bayer pattern by the second and third pixel of the second row, ROS by the first
# two rows from the top left corner: "rggb" in ROS is "BG" in OpenCV.
_TO_RGB: Final[dict[str, int | None]] = {
    "rgb": None,
    "bgr": cv2.COLOR_BGR2RGB,
    "rgba": cv2.COLOR_RGBA2RGB,
    "bgra": cv2.COLOR_BGRA2RGB,
    "mono": cv2.COLOR_GRAY2RGB,
    "bayer_rggb": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg": cv2.COLOR_BayerGB2RGB,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
}


def for_opencv(pixels: NDArray[Any]) -> NDArray[Any]:
    """Repeat a lone pixel of several channels, which OpenCV 4.5.4 (Ubuntu 22.04) fails at."""
    return np.repeat(pixels, 2, axis=1) if pixels.shape[:2] == (1, 1) else pixels


def convert_colour(pixels: NDArray[Any], code: int) -> NDArray[Any]:
    """Call `cv2.cvtColor` on pixels of any size; (H, W, ...) stay as many."""
    return np.asarray(cv2.cvtColor(for_opencv(pixels), code))[:, : pixels.shape[1]]


def to_rgb8(pixels: NDArray[Any], order: str, depth: BitDepth | None = None) -> NDArray[np.uint8]:
    """Convert pixels in one of the channel orders of this module to (H, W, 3) uint8 RGB.

    Pixels are (H, W, C) or, for "mono" and the mosaics, (H, W); uint8 or uint16, native byte order,
    with any stride between rows. The order is "rgb", "bgr", "rgba", "bgra" (alpha is dropped),
    "mono", "bayer_rggb" and its three sisters (bilinear, at least 3 x 3 pixels), "uyvy" or "yuyv"
    (uint8, even width). `depth` tells how many of their 16 bits the pixels use; None: all of them.
    uint8 "rgb" comes back as it is, not copied.
    """
    code = _TO_RGB[order]
    if code is None:
        return _to_8_bits(pixels, depth)
    if order.startswith("bayer_"):  # interpolated at full depth; the rest only changes places
        return _to_8_bits(convert_colour(pixels, code), depth)
    return convert_colour(_to_8_bits(pixels, depth), code)


def semi_planar_to_rgb8(
    luma: NDArray[np.uint8], chroma: NDArray[np.uint8], *, v_first: bool = False
) -> NDArray[np.uint8]:
    """Convert a luma plane and a plane of interleaved chroma pairs (NV12, NV21, NV24) to RGB.

    ITU-R BT.601, limited range, chroma repeated and not interpolated, as OpenCV does throughout.
    Luma is (H, W) uint8, chroma (ceil(H / 2), ceil(W / 2), 2) or (H, W, 2) uint8, `v_first` where
    its pairs are V, U (NV21). Returns (H, W, 3) uint8.
    """
    height, width = luma.shape
    if chroma.shape[:2] == luma.shape:
        # OpenCV has no 4:4:4 code: each pixel written twice is a 4:2:2 row with its own chroma.
        doubled = np.empty((height, width, 4), np.uint8)
        doubled[..., 0] = doubled[..., 2] = luma
        doubled[..., 1::2] = chroma[..., ::-1] if v_first else chroma
        return to_rgb8(doubled.reshape(height, 2 * width, 2), "yuyv")[:, ::2]
    if height % 2 or width % 2:
        luma = np.pad(luma, ((0, height % 2), (0, width % 2)), "edge")
    code = cv2.COLOR_YUV2RGB_NV21 if v_first else cv2.COLOR_YUV2RGB_NV12
    return np.asarray(cv2.cvtColorTwoPlane(luma, chroma, code), np.uint8)[:height, :width]


def _to_8_bits(pixels: NDArray[Any], depth: BitDepth | None) -> NDArray[np.uint8]:
    """Scale the bits in use to 8, round(v * 255 / (2^bits - 1)); 8 bits pass.

    Of all 16 that is what cv_bridge does.
    """
    if pixels.dtype == np.uint8:
        return pixels
    bits = 16 if depth is None else depth.bits(pixels)
    scaled = cv2.convertScaleAbs(for_opencv(pixels), alpha=255 / (2**bits - 1))
    return np.asarray(scaled, np.uint8)[:, : pixels.shape[1]]
