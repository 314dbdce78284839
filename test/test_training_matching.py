# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Places as training validates them: with shifts, and along the drive."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs PyTorch: make test-training")

from floppynet_vpr.training.matching import recall_along_the_drive, tolerant_matches


def descriptors(maps: np.ndarray) -> np.ndarray:
    rows = maps.reshape(len(maps), -1).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def world(places: int, seed: int = 0) -> np.ndarray:
    """Cells of places, with room to look aside: (places, 8, 10, 256)."""
    return np.random.default_rng(seed).normal(size=(places, 8, 10, 256))


def seen(cells: np.ndarray, right: int = 0, down: int = 0) -> np.ndarray:
    return cells[:, 1 + down : 7 + down, 2 + right : 8 + right]


@pytest.mark.parametrize(("right", "down"), [(0, 0), (2, 0), (-2, 1), (1, -1), (0, 1)])
def test_places_seen_from_a_cell_or_two_away_are_found(right: int, down: int) -> None:
    cells = world(30)
    found = tolerant_matches(descriptors(seen(cells, right, down)), descriptors(seen(cells)))
    np.testing.assert_array_equal(found, np.arange(30))


def test_recall_along_the_drive_counts_places_found_before_the_first_wrong_one() -> None:
    cells = seen(world(60))
    drive = descriptors(cells)
    truth = np.eye(60, dtype=bool)
    assert recall_along_the_drive(drive, drive, truth) > 0.9
    # The same drive against truth that names other places: what is believed is wrong.
    assert recall_along_the_drive(drive, drive, np.roll(truth, 30, axis=1)) == 0
