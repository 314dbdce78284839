# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Which frames of two traverses show the same place, (queries, references) bool."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def same_place_by_index(queries: int, references: int, tolerance: int) -> NDArray[np.bool_]:
    """Truth of two traverses taken in step: frame i shows place j if |i - j| <= `tolerance`."""
    return same_place_by_position(np.arange(queries), np.arange(references), tolerance)


def same_place_by_position(
    query_positions: ArrayLike, reference_positions: ArrayLike, tolerance: float
) -> NDArray[np.bool_]:
    """Truth of two traverses with known positions: the same place if not farther than `tolerance`.

    Positions are (n,) along a route or (n, d) in space; their unit is the tolerance's.
    """
    query, reference = _columns(query_positions), _columns(reference_positions)
    truth = np.empty((len(query), len(reference)), bool)
    for row, at in zip(truth, query, strict=True):
        # A position that is a decimal fraction is not exactly a float: 3.4 - 1.4 > 2.
        np.less_equal(np.linalg.norm(reference - at, axis=1), tolerance + 1e-9, out=row)
    return truth


def _columns(positions: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(positions, np.float64)
    return array[:, None] if array.ndim == 1 else array
