# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The pose of an image is found by its stamp, between the poses before and after it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from floppynet_vpr.mapping import Pose
from floppynet_vpr.mapping.keyframes import degrees_between
from floppynet_vpr.ros.pose_history import PoseHistory, interpolated

SECOND = 1_000_000_000


def turned(degrees: float, x: float = 0.0) -> Pose:
    half = math.radians(degrees) / 2
    return Pose(x, 0.0, 0.0, qz=math.sin(half), qw=math.cos(half))


def history(*poses: tuple[float, float]) -> PoseHistory:
    """Poses by (seconds, x)."""
    kept = PoseHistory()
    for seconds, x in poses:
        kept.add(int(seconds * SECOND), Pose(x, 0.0, 0.0))
    return kept


def x_at(kept: PoseHistory, seconds: float, tolerance: float = 0.1) -> float | None:
    pose = kept.at(int(seconds * SECOND), tolerance)
    return None if pose is None else pose.x


def test_without_poses_there_is_none() -> None:
    assert x_at(history(), 0) is None


def test_between_two_poses_it_is_interpolated_by_time() -> None:
    kept = history((1.0, 10.0), (1.1, 20.0))
    assert x_at(kept, 1.0) == 10.0
    assert x_at(kept, 1.025) == pytest.approx(12.5)
    assert x_at(kept, 1.1) == 20.0


def test_beyond_the_last_or_in_a_gap_the_nearest_within_the_tolerance_counts() -> None:
    kept = history((1.0, 10.0), (3.0, 30.0))
    assert x_at(kept, 3.09) == 30.0
    assert x_at(kept, 0.91) == 10.0
    assert x_at(kept, 1.05) == 10.0
    assert x_at(kept, 2.0) is None
    assert x_at(kept, 3.2) is None


def test_a_late_pose_changes_nothing_and_a_clock_set_back_starts_anew() -> None:
    kept = history((1.0, 10.0), (1.1, 11.0), (1.05, 99.0), (1.1, 99.0))
    assert x_at(kept, 1.05) == pytest.approx(10.5)
    kept.add(0, Pose(5.0, 0.0, 0.0))
    assert x_at(kept, 0.0) == 5.0
    assert x_at(kept, 1.1) is None


def test_only_the_last_poses_are_kept() -> None:
    kept = history(*((0.01 * index, index) for index in range(5000)))
    assert x_at(kept, 49.99) == 4999
    assert x_at(kept, 10.0) is None


@given(st.floats(-179, 179), st.floats(-170, 170), st.floats(0, 1), st.booleans())
def test_orientations_turn_evenly_the_shorter_way(
    start: float, turn: float, share: float, negated: bool
) -> None:
    one, other = turned(start), turned(start + turn, 2.0)
    if negated:  # the same rotation
        other = Pose(2.0, 0.0, 0.0, -other.qx, -other.qy, -other.qz, -other.qw)
    pose = interpolated(one, other, share)
    assert pose.x == pytest.approx(2 * share)
    assert math.hypot(pose.qx, pose.qy, pose.qz, pose.qw) == pytest.approx(1)
    assert degrees_between(one, pose) == pytest.approx(share * abs(turn), abs=1e-3)
