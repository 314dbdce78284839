# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A frame becomes a place when it shows something new, or the camera has moved far enough."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from floppynet_vpr.mapping.keyframes import (
    KeyframeGate,
    KeyframeLimits,
    degrees_between,
    metres_between,
)
from floppynet_vpr.mapping.places import Pose

SECOND = 1_000_000_000


def turned(degrees: float, x: float = 0.0) -> Pose:
    half = math.radians(degrees) / 2
    return Pose(x, 0.0, 0.0, qz=math.sin(half), qw=math.cos(half))


def passed(limits: KeyframeLimits, frames: list[tuple[float, float, Pose | None]]) -> list[int]:
    """Which frames (angle of the descriptor, seconds, pose) pass."""
    gate = KeyframeGate(limits)
    return [
        index
        for index, (angle, seconds, pose) in enumerate(frames)
        if gate.passes(
            np.array([math.cos(angle), math.sin(angle)], np.float32), int(seconds * SECOND), pose
        )
    ]


def test_frames_whose_poses_are_lost_become_places_once_a_second() -> None:
    frames = [(10 * index, index / 10) for index in range(100)]  # 10 a second, all different
    for limits, expected in (
        (KeyframeLimits(distance=0.3, metres=0.5), list(range(0, 100, 10))),
        (KeyframeLimits(distance=0.3), list(range(100))),  # poses are not asked for
    ):
        gate = KeyframeGate(limits)
        assert [
            index
            for index, (angle, seconds) in enumerate(frames)
            if gate.passes(
                np.array([math.cos(angle), math.sin(angle)], np.float32),
                round(seconds * SECOND),
                lost=True,
            )
        ] == expected


def test_without_limits_every_frame_passes() -> None:
    assert passed(KeyframeLimits(), [(0, 0, None)] * 5) == [0, 1, 2, 3, 4]


def test_a_frame_is_compared_with_the_last_that_passed() -> None:
    slowly = [(0.06 * index, 0.1 * index, None) for index in range(11)]
    assert passed(KeyframeLimits(distance=0.2), slowly) == [0, 4, 8]
    assert passed(KeyframeLimits(seconds=0.5), slowly) == [0, 5, 10]
    assert passed(KeyframeLimits(distance=0.2, seconds=0.5), slowly) == [0, 5, 10]


def test_a_clock_that_jumps_back_does_not_stop_the_map() -> None:
    assert passed(KeyframeLimits(seconds=1), [(0, 100, None), (0, 3, None), (0, 3.5, None)]) == [
        0,
        1,
    ]


def test_driving_on_or_turning_is_enough_where_poses_are_known() -> None:
    limits = KeyframeLimits(metres=1.0, degrees=30.0)
    poses = [turned(0), turned(0, 0.9), turned(40, 0.9), turned(40, 1.8), turned(40, 2.0), None]
    assert passed(limits, [(0, 0, pose) for pose in poses]) == [0, 2, 4, 5]


@given(st.floats(0, 180), st.floats(-5, 5))
def test_angles_and_metres_are_those_of_the_motion(degrees: float, metres: float) -> None:
    assert degrees_between(turned(10), turned(10 + degrees)) == pytest.approx(degrees, abs=1e-5)
    assert metres_between(turned(0), turned(5, metres)) == abs(metres)
