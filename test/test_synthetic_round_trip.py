# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The street around a block: it ends where it began, and is driven with odometry that drifts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from floppynet_vpr.errors import VprError
from floppynet_vpr.synthetic.camera import PinholeCamera
from floppynet_vpr.synthetic.centerline import Centerline
from floppynet_vpr.synthetic.light import DAY, RAIN, Sensor
from floppynet_vpr.synthetic.renderer import StreetRenderer
from floppynet_vpr.synthetic.round_trip import LAPS, Drift, RoundTrip
from floppynet_vpr.synthetic.route import FIRST_LAP, SyntheticRoute

CAMERA = PinholeCamera(160, 120)


def block(length_m: float = 240.0) -> SyntheticRoute:
    return SyntheticRoute(length_m=length_m, camera=CAMERA, closed=True)


@given(st.integers(60, 500).map(lambda count: 4.0 * count))
def test_the_line_around_a_block_ends_where_and_as_it_began(length_m: float) -> None:
    line = Centerline.around_block(length_m)
    ends = np.array([0.0, length_m])
    assert line.points(ends, 3.0)[0] == pytest.approx(line.points(ends, 3.0)[1], abs=1e-6)
    assert np.diff(line.heading(ends)) == pytest.approx(2 * np.pi)
    along = np.arange(0.0, length_m, 0.5)
    turned = np.diff(line.heading(along)) / 0.5
    assert turned.min() > -1e-9  # always to the left, never backwards
    assert 1 / turned.max() == pytest.approx(length_m / (4 * np.pi), rel=0.01)


def test_beyond_its_end_the_street_goes_on_as_it_began() -> None:
    route = block()
    renderer = StreetRenderer(CAMERA, route.scene(FIRST_LAP))
    # Just after the change from one count of the metres to the other, and a lap further on.
    pose = route.poses(replace(FIRST_LAP, start_m=12.0))[0]
    assert route.station(11.5) == 11.5 + 240 and route.station(12.0 + 240) == 12.0
    here, there = renderer.render(pose, 12.0), renderer.render(pose, 12.0 + 240.0)
    assert here.std() > 20
    assert np.abs(here.astype(int) - there).mean() < 0.5


def test_no_two_houses_of_a_closed_street_stand_in_each_other() -> None:
    layout = block().layout
    for side in (1, -1):
        row = sorted((h.start_m, h.end_m) for h in layout.buildings if h.side == side)
        starts, ends = [start for start, _ in row], [end for _, end in row]
        assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
        assert ends[-1] <= starts[0] + 240.0


def test_a_block_that_cannot_be_is_refused() -> None:
    for length_m in (100.0, 241.0):
        with pytest.raises(VprError, match="multiple of 4 m from 240 on"):
            block(length_m)


def test_rain_falls_anew_in_every_frame_and_never_by_day() -> None:
    picture = np.full((120, 160, 3), 60, np.uint8)
    still = replace(RAIN, noise=0.0)
    wet, dry = Sensor(still, 160, 120, 7), Sensor(replace(still, rain=0.0), 160, 120, 7)
    first, second = wet.expose(picture, 0), wet.expose(picture, 1)
    assert np.array_equal(first, wet.expose(picture, 0))
    assert (first != second).any()
    assert first.mean() > dry.expose(picture, 0).mean() + 1
    assert DAY.rain == 0


def test_a_round_trip_goes_on_without_a_jump_and_changes_lanes() -> None:
    trip = RoundTrip(block())
    truth = trip.truth()
    assert len(trip) == len(truth) == 720 == len(trip.along_m())
    steps = np.hypot(*np.diff(truth[:, :2], axis=0).T)
    assert steps.min() > 0.9 and steps.max() < 1.1
    # In the first lap half a metre to the left of the middle, in the second as far to the right.
    apart = np.hypot(*(truth[100, :2] - truth[340, :2]))
    assert apart == pytest.approx(1.0, abs=0.35)


def test_odometry_drifts_as_much_as_is_said() -> None:
    trip = RoundTrip(block())
    truth, told = trip.truth(), trip.odometry(Drift(0.02, 0.1))
    assert told[0] == pytest.approx(truth[0])
    lengths = [np.hypot(*np.diff(way[:, :2], axis=0).T).sum() for way in (truth, told)]
    assert lengths[1] / lengths[0] == pytest.approx(1.02, abs=0.003)
    turns = [np.unwrap(2 * np.arctan2(way[:, 5], way[:, 6]))[-1] for way in (truth, told)]
    assert np.degrees(turns[1] - turns[0]) == pytest.approx(0.1 * lengths[0], rel=0.1)
    exact = trip.odometry(Drift(0.0, 0.0))
    assert exact == pytest.approx(truth, abs=1e-9)


def test_frames_of_all_laps_are_stamped_one_after_the_other() -> None:
    laps = tuple(replace(lap, step_m=120.0) for lap in LAPS[:2])
    frames = list(RoundTrip(block(), laps).frames())
    assert [frame.stamp_ns for frame in frames] == [0, 10**8, 2 * 10**8, 3 * 10**8]
    assert [frame.name for frame in frames] == [
        "by_day_0000", "by_day_0001", "at_dusk_0000", "at_dusk_0001",
    ]  # fmt: skip
