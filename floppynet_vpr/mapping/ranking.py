# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The order of places: equal ones stay in the order of their ids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def smallest(values: NDArray[np.float32] | NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Find the indices of the `count` smallest values, ascending, ties by the lower index."""
    if count < len(values):
        limit = np.partition(values, count - 1)[count - 1]
        candidates = np.flatnonzero(values <= limit)
    else:
        candidates = np.arange(len(values))
    return candidates[np.argsort(values[candidates], kind="stable")[:count]].astype(np.int64)
