# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Descriptors of drives that were never driven: alike from place to place, as real ones are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.extractor import DESCRIPTOR_SIZE

Descriptors = NDArray[np.float32]
WAYS = np.random.default_rng(99).normal(size=(24, DESCRIPTOR_SIZE))
"""What descriptors are made of here: 24 features."""


def street(count: int, seed: int = 0) -> Descriptors:
    """Descriptors of a drive: what is seen changes from place to place, in 24 ways."""
    rng = np.random.default_rng(seed)
    views = rng.normal(size=(count, 24))
    for index in range(1, count):
        views[index] = 0.8 * views[index - 1] + 0.6 * views[index]
    return unit(views @ WAYS + 2 * rng.normal(size=(count, DESCRIPTOR_SIZE)))


def unit(rows: NDArray[Any]) -> Descriptors:
    """Scale descriptors to norm 1."""
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
