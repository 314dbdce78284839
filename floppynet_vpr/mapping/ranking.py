# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The order of places: equal ones stay in the order of their ids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SAMPLED = 16


def smallest(values: NDArray[np.float32] | NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Find the indices of the `count` smallest values, ascending, ties by the lower index."""
    if count < len(values):
        limit = np.partition(values, count - 1)[count - 1]
        candidates = np.flatnonzero(values <= limit)
    else:
        candidates = np.arange(len(values))
    return candidates[np.argsort(values[candidates], kind="stable")[:count]].astype(np.int64)


def smallest_set(values: NDArray[np.float32] | NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Find the indices that `smallest` finds, but in ascending order of their own.

    Of many values a sixteenth tells which of them can be among the smallest.
    """
    if count >= len(values):
        return np.arange(len(values))
    sample = values[::_SAMPLED]
    expected = 2 * (count // _SAMPLED) + _SAMPLED
    if expected < len(sample) // 2:
        few = np.flatnonzero(values <= np.partition(sample, expected)[expected])
        if len(few) >= count:
            return few[_smallest_set(values[few], count)]
    return _smallest_set(values, count)


def _smallest_set(values: NDArray[np.float32] | NDArray[np.int32], count: int) -> NDArray[np.int64]:
    limit = np.partition(values, count - 1)[count - 1]
    chosen = values < limit
    equal = np.flatnonzero(values == limit)
    chosen[equal[: count - np.count_nonzero(chosen)]] = True
    return np.flatnonzero(chosen)
