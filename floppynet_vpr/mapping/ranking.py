# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Products and order in which equal places stay equal, and the lower id comes first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def products(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply each of (n, d) rows with its own or the one other vector of (n, d) or (d,).

    Row by row: a matrix product or einsum rounds a row differently depending on its neighbours,
    and equal descriptors would no longer be equally far.
    """
    return np.matmul(rows[:, None, :], others[..., None])[:, 0, 0]


def smallest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Find the indices of the `count` smallest values, ascending, ties by the lower index."""
    if count < len(values):
        limit = np.partition(values, count - 1)[count - 1]
        candidates = np.flatnonzero(values <= limit)
    else:
        candidates = np.arange(len(values))
    return candidates[np.argsort(values[candidates], kind="stable")[:count]].astype(np.int64)
