# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Local features of an image, small enough to be kept with every place of a map.

A descriptor says what a place looks like on the whole; local features say where its corners are. By
them two images can be checked for showing the same things from two positions of the camera. They
are ORB features (Rublee et al., 2011) of the image reduced to at most 640 pixels a side: they take
a few milliseconds, 36 bytes each, and are free to use.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.imaging.pixels import convert_colour

LONGEST_SIDE = 640
"""Pixels; larger images are reduced to it, smaller ones are left as they are."""

DEFAULT_FEATURES = 300
"""Features of a place, where somebody wants them but does not say how many."""

MOST_FEATURES = 5000
_FAST_THRESHOLD = 10
_LEAST_SIDE = 63  # ORB leaves 31 pixels free on every side
_SUBPIXELS = 16
_ONE = np.dtype([("position", "<u2", 2), ("bits", "u1", 32)])
_COUNT_BYTES = 2


@dataclass(frozen=True)
class LocalFeatures:
    """Where an image has its corners and how they look, the strongest first.

    `positions` is (n, 2) float32, x and y in pixels of the reduced image; `bits` is (n, 32) uint8.
    `points`, where depth was known, is (n, 3) float32: the corners in the camera's optical frame
    (z forward, x right, y down), metres, not a number where not known.
    """

    positions: NDArray[np.float32]
    bits: NDArray[np.uint8]
    points: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.positions)


_NONE = LocalFeatures(np.empty((0, 2), np.float32), np.empty((0, 32), np.uint8))


def extract_features(image: NDArray[np.uint8], count: int) -> LocalFeatures:
    """Find the `count` strongest features of an RGB (h, w, 3) or grey (h, w) uint8 image.

    An image that is small or shows nothing gives fewer, down to none.
    """
    grey = convert_colour(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    size = _reduced(grey.shape[1], grey.shape[0])
    if size != (grey.shape[1], grey.shape[0]):
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    if min(grey.shape) < _LEAST_SIDE:
        return _NONE
    finder = cv2.ORB.create(count, fastThreshold=_FAST_THRESHOLD)
    points, bits = finder.detectAndCompute(grey, None)
    if bits is None:
        return _NONE
    strength = np.array([point.response for point in points])
    chosen = np.argsort(-strength, kind="stable")[:count]
    positions = np.array([points[index].pt for index in chosen], np.float32)
    return LocalFeatures(positions, np.ascontiguousarray(bits[chosen], np.uint8))


def _reduced(width: int, height: int) -> tuple[int, int]:
    """The width and height that an image is reduced to before its corners are looked for."""
    share = min(1.0, LONGEST_SIDE / max(width, height))
    return max(1, round(width * share)), max(1, round(height * share))


def full_positions(features: LocalFeatures, width: int, height: int) -> NDArray[np.float64]:
    """The positions (n, 2) of features in the image as it was taken, of this width and height."""
    # Pixel centres are integers: the reduced image begins half a pixel of its own before its first.
    scale = np.array([width, height]) / _reduced(width, height)
    return np.asarray((features.positions.astype(np.float64) + 0.5) * scale - 0.5)


def row_bytes(slots: int) -> int:
    """Tell how many bytes a row with room for so many features takes; none takes 0."""
    return _COUNT_BYTES + slots * _ONE.itemsize if slots else 0


def slots_of(size: int) -> int:
    """Tell for how many features a row of `size` bytes has room; raises VprError if for none."""
    slots, rest = divmod(size - _COUNT_BYTES, _ONE.itemsize)
    if rest or not 0 < slots <= MOST_FEATURES:
        raise VprError(f"a row of {size} bytes holds no local features")
    return slots


def pack_features(features: LocalFeatures | None, slots: int) -> NDArray[np.uint8]:
    """Make a row of an image's strongest features, (row_bytes(slots),) uint8.

    It begins with their number, uint16; each takes x and y, uint16 in sixteenths of a pixel, and
    its 32 bytes. The rest is 0. None packs as no feature.
    """
    row = np.zeros(row_bytes(slots), np.uint8)
    if features is not None:
        count = min(len(features), slots)
        row[:_COUNT_BYTES] = np.array([count], "<u2").view(np.uint8)
        filled = row[_COUNT_BYTES:].view(_ONE)[:count]
        filled["position"] = np.rint(features.positions[:count] * _SUBPIXELS)
        filled["bits"] = features.bits[:count]
    return row


def unpack_features(row: NDArray[np.uint8]) -> LocalFeatures:
    """Read a row that `pack_features` made."""
    row = np.ascontiguousarray(row)
    filled = row[_COUNT_BYTES:].view(_ONE)[: int(row[:_COUNT_BYTES].view("<u2")[0])]
    positions = filled["position"].astype(np.float32) / np.float32(_SUBPIXELS)
    return LocalFeatures(positions, np.ascontiguousarray(filled["bits"]))
