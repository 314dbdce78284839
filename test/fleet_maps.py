# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Maps for the tests of fleets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping import Pose, ReferenceMap

FINGERPRINT = "ab" * 32


def descriptors(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Random descriptors, (count, 9216) float32 of norm 1."""
    values = np.random.default_rng(seed).normal(size=(count, 9216)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def make_map(
    count: int = 12,
    name: str = "summer",
    robot: str = "robot_1",
    seed: int = 0,
    storage: str = "binary",
    features: int = 0,
) -> ReferenceMap:
    """A map of one session, every other place with a pose."""
    reference = ReferenceMap("floppynet", FINGERPRINT, storage, features)
    add_session(reference, count, name, robot, seed)
    return reference


def add_session(
    reference: ReferenceMap, count: int, name: str, robot: str = "", seed: int = 0
) -> None:
    """Add a session to a map."""
    reference.begin_session(name, robot, frame="map", fixed=True)
    reference.extend(
        descriptors(count, seed),
        [f"{name} {number}" for number in range(count)],
        [10**9 * number + 5 for number in range(count)],
        [Pose(number, 0.5, -1) if number % 2 else None for number in range(count)],
    )
