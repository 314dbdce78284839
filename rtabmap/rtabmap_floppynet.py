# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Makes rtabmap recognise places with this package's network: its PyDescriptor file.

rtabmap calls `init` once with the value of PyDescriptor/Dim, then `extract` for each image. It does
not survive an exception from `init`, and reports one from `extract` in its log with the traceback:
so whatever was wrong at the start is raised by `extract`.
"""

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction import Extractor, create_extractor
from floppynet_vpr.extraction.extractor import DESCRIPTOR_SIZE

_extractor: Extractor | None = None
_trouble = "init was not called"


def init(dim: int) -> None:
    """Load the network; `dim` has to be the length of its descriptor, 9216."""
    global _extractor, _trouble
    _extractor, _trouble = None, ""
    if dim != DESCRIPTOR_SIZE:
        _trouble = f"PyDescriptor/Dim is {dim}: set it to {DESCRIPTOR_SIZE}"
        return
    try:
        _extractor = create_extractor()
    except Exception as error:
        _trouble = str(error)


def extract(image: NDArray[np.int8]) -> NDArray[np.float32]:
    """Describe an image, (H, W, 1) grey or (H, W, 3) BGR, whose bytes rtabmap calls signed.

    Returns (1, 9216) float32 of norm 1. Raises RuntimeError for what was wrong in `init`.
    """
    if _extractor is None:
        raise RuntimeError(_trouble)
    pixels = image.view(np.uint8)
    rgb = pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels[:, :, ::-1]
    return _extractor.describe(np.ascontiguousarray(rgb))[None]
