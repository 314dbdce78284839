# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From RGB to what a network of another kind wants as input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

INTERPOLATIONS: Final = {
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "nearest": cv2.INTER_NEAREST,
}


@dataclass(frozen=True)
class Preprocessing:
    """How an RGB image becomes a network's input.

    It is resized to `height` x `width`, straight ("stretch") or after cutting the middle out of the
    longer side ("crop"); channels are put in `colour` order, and value x becomes
    `(scale * x - mean) / std`, channel by channel in that order.
    """

    height: int
    width: int
    resize: str = "stretch"
    interpolation: str = "linear"
    colour: str = "RGB"
    order: str = "NCHW"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    dtype: str = "float32"

    def apply(self, rgb: NDArray[np.uint8]) -> NDArray[np.generic]:
        """Turn an (H, W, 3) uint8 RGB image into a batch of one."""
        whole = _middle(rgb, self.width / self.height) if self.resize == "crop" else rgb
        how = INTERPOLATIONS[self.interpolation]
        image: NDArray[Any] = cv2.resize(whole, (self.width, self.height), interpolation=how)
        if self.colour == "BGR":
            image = image[:, :, ::-1]
        elif self.colour == "grey":
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[:, :, None]
        if self.dtype == "float32":
            mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
            image = (image.astype(np.float32) * np.float32(self.scale) - mean) / std
        if self.order == "NCHW":
            image = image.transpose(2, 0, 1)
        return np.ascontiguousarray(image[None])


def _middle(rgb: NDArray[np.uint8], aspect: float) -> NDArray[np.uint8]:
    """Cut the largest part of the given width / height out of the middle."""
    height, width = rgb.shape[:2]
    rows, columns = min(height, round(width / aspect)), min(width, round(height * aspect))
    top, left = (height - rows) // 2, (width - columns) // 2
    return rgb[top : top + max(rows, 1), left : left + max(columns, 1)]
