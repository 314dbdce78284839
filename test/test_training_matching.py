# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Places as training validates them: with shifts, and along the drive."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs PyTorch: make test-training")

from floppynet_vpr.training.matching import recall_along_the_drive, tolerant_distances


def descriptors(maps: np.ndarray) -> np.ndarray:
    rows = maps.reshape(len(maps), -1).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def world(places: int, seed: int = 0) -> np.ndarray:
    """Cells of places, with room to look aside: (places, 8, 10, 256)."""
    return np.random.default_rng(seed).normal(size=(places, 8, 10, 256))


def seen(cells: np.ndarray, right: int = 0, down: int = 0) -> np.ndarray:
    return cells[:, 1 + down : 7 + down, 2 + right : 8 + right]


@pytest.mark.parametrize(("right", "down"), [(0, 0), (2, 0), (-2, 1), (1, -1), (0, 1)])
def test_a_map_moved_by_cells_is_found_at_a_small_cost(right: int, down: int) -> None:
    cells = world(30)
    distances = tolerant_distances(descriptors(seen(cells, right, down)), descriptors(seen(cells)))
    np.testing.assert_array_equal(distances.argmin(1), np.arange(30))
    # Cells that meet are the same but for the means: 1 - cosine is nearly 0.
    assert distances.diagonal().max() < 0.1
    others = distances[~np.eye(30, dtype=bool)]
    assert others.min() > 0.7


def test_a_step_costs_five_percent_and_further_than_two_cells_is_not_looked() -> None:
    rng = np.random.default_rng(1)
    # Nothing is alike: the nearest of all shifts is near 1, and never below the unshifted one's.
    one, other = (descriptors(rng.normal(size=(20, 6, 6, 256))) for _ in range(2))
    plain = 1 - descriptors(one - one.mean(0)) @ descriptors(other - other.mean(0)).T
    found = tolerant_distances(one, other)
    assert np.all(found <= plain + 1e-6)
    shifted_only = plain - found > 1e-6
    assert not shifted_only.all()  # a shift has to be worth its cost
    cells = np.random.default_rng(2).normal(size=(20, 6, 12, 256))
    near, far = (
        tolerant_distances(descriptors(cells[:, :, by : by + 6]), descriptors(cells[:, :, :6]))
        for by in (2, 3)
    )
    assert near.diagonal().max() < 0.1 and far.diagonal().min() > 0.7


def test_the_drives_means_are_taken_away() -> None:
    cells = world(30)
    by_day, by_night = seen(cells) + 5.0, seen(cells) - 3.0
    distances = tolerant_distances(descriptors(by_night), descriptors(by_day))
    np.testing.assert_array_equal(distances.argmin(1), np.arange(30))


def test_recall_along_the_drive_counts_places_found_before_the_first_wrong_one() -> None:
    cells = seen(world(60))
    drive = descriptors(cells)
    truth = np.eye(60, dtype=bool)
    assert recall_along_the_drive(drive, drive, truth) > 0.9
    # The same drive against truth that names other places: what is believed is wrong.
    assert recall_along_the_drive(drive, drive, np.roll(truth, 30, axis=1)) == 0
