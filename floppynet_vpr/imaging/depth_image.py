# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Images of depth (REP 118): how far along the optical axis each pixel's surface is."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.imaging.payload import ImageError

DEPTH_ENCODINGS: Final = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}
"""What depth may be encoded as; 16 bits are millimetres, floating point is metres."""

_SATURATED: Final = 65535
_EDGE: Final = 0.1


def decode_depth(message: Any) -> NDArray[np.float32]:
    """Decode a sensor_msgs/Image of depth, of a bag or from a topic: (H, W) float32, metres.

    What a sensor does not know (0, the largest number, not finite) is not a number. Raises
    ImageError for another encoding or where the fields contradict each other.
    """
    height, width, step, encoding = message.height, message.width, message.step, message.encoding
    kind = DEPTH_ENCODINGS.get(encoding)
    if kind is None:
        raise ImageError(
            "encoding",
            f"depth of encoding {encoding!r} is not supported: 16UC1 (millimetres) or 32FC1 "
            "(metres)",
        )
    item = np.dtype(f"{'>' if message.is_bigendian else '<'}{kind}")
    payload = np.frombuffer(message.data, np.uint8)
    if height < 1 or width < 1:
        raise ImageError("empty", f"the depth has no pixels: height {height}, width {width}")
    if step < width * item.itemsize or payload.size != height * step:
        raise ImageError(
            "size",
            f"depth of {width}x{height} pixels {encoding} at step {step} does not take the "
            f"{payload.size} bytes that it has",
        )
    rows = payload.reshape(height, step)[:, : width * item.itemsize]
    found = np.ascontiguousarray(rows).view(item)
    metres = found.astype(np.float32)
    if kind == "u2":
        metres /= 1000
        metres[found == _SATURATED] = np.nan
    metres[~(np.isfinite(metres) & (metres > 0))] = np.nan
    return metres


def depth_at(depth: NDArray[np.float32], pixels: NDArray[np.floating]) -> NDArray[np.float32]:
    """Read the depth (n,) float32 of pixels (n, 2), x and y; not a number where it is not sure.

    A corner on the edge of a thing is seen at once before it and behind it: where the eight pixels
    around differ by more than a tenth, or one of them is not known, the depth is not.
    """
    height, width = depth.shape
    x, y = np.rint(np.asarray(pixels, np.float64)).astype(np.int64).reshape(-1, 2).T
    inside = (x >= 1) & (x < width - 1) & (y >= 1) & (y < height - 1)
    x, y = np.where(inside, x, 1), np.where(inside, y, 1)
    if height < 3 or width < 3:
        return np.full(len(x), np.nan, np.float32)
    around = np.stack([depth[y + j, x + i] for j in (-1, 0, 1) for i in (-1, 0, 1)])
    here = depth[y, x]
    # A comparison with what is not a number is false, and so is the whole.
    sure = inside & (around.max(axis=0) - around.min(axis=0) <= _EDGE * here)
    return np.where(sure, here, np.float32(np.nan)).astype(np.float32)
