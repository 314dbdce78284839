# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The synthetic route: same street every time, real perspective, two laps that do not coincide."""

from dataclasses import replace
from itertools import pairwise
from math import cos, radians, sin, tan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from floppynet_vpr.synthetic.camera import (
    NEAR_M,
    CameraPose,
    PinholeCamera,
    clip_near,
    to_optical,
)
from floppynet_vpr.synthetic.depth_renderer import render_depth
from floppynet_vpr.synthetic.houses import HouseBuilder
from floppynet_vpr.synthetic.light import DAY
from floppynet_vpr.synthetic.renderer import StreetRenderer
from floppynet_vpr.synthetic.route import FIRST_LAP, SECOND_LAP, SyntheticRoute
from floppynet_vpr.synthetic.surfaces import Scene, Sky, Surface, Texture, Wall

BLACK_SKY = Sky(np.zeros((8, 8, 3), np.uint8), 1.0, 0.5, 4.0)


def short_route(seed: int = 7) -> SyntheticRoute:
    return SyntheticRoute(seed=seed, length_m=6.0)


@pytest.fixture(scope="module")
def laps() -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    route = short_route()
    first = [frame.rgb for frame in route.frames(FIRST_LAP)]
    return first, [frame.rgb for frame in route.frames(SECOND_LAP)]


def test_the_same_seed_gives_the_same_pixels(
    laps: tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]],
) -> None:
    again = [frame.rgb for frame in short_route().frames(SECOND_LAP)]
    assert all(np.array_equal(a, b) for a, b in zip(laps[1], again, strict=True))


def test_another_seed_gives_another_street() -> None:
    assert short_route(1).layout.buildings != short_route(2).layout.buildings


def test_frames_are_named_stamped_rgb_images() -> None:
    frames = list(short_route().frames(FIRST_LAP))
    assert [frame.name for frame in frames[:2]] == ["lap_1_0000", "lap_1_0001"]
    assert [frame.stamp_ns for frame in frames[:3]] == [0, 100_000_000, 200_000_000]
    assert len(frames) == len(short_route().positions_m(FIRST_LAP))
    for frame in frames:
        assert frame.rgb.shape == (480, 640, 3) and frame.rgb.dtype == np.uint8


def test_neighbouring_frames_differ_by_more_than_noise(
    laps: tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]],
) -> None:
    for lap, noise in zip(laps, (FIRST_LAP.light.noise, SECOND_LAP.light.noise), strict=True):
        for a, b in pairwise(lap):
            assert np.abs(a.astype(int) - b).mean() > noise


def test_the_second_lap_has_no_frame_and_no_place_of_the_first(
    laps: tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]],
) -> None:
    assert not any(np.array_equal(a, b) for a in laps[0] for b in laps[1])
    route = SyntheticRoute(length_m=150)
    apart = np.abs(route.positions_m(FIRST_LAP)[:, None] - route.positions_m(SECOND_LAP))
    assert np.mean(apart.min(axis=0) > 0.05) > 0.8


def test_every_place_of_the_second_lap_lies_on_the_first() -> None:
    route = SyntheticRoute(length_m=150)
    first, second = route.positions_m(FIRST_LAP), route.positions_m(SECOND_LAP)
    assert first[0] <= second[0] and second[-1] <= first[-1] + FIRST_LAP.step_m
    assert len(first) == 150 and len(second) > 100
    assert np.abs(first[:, None] - second).min(axis=0).max() <= FIRST_LAP.step_m


def test_the_second_lap_is_darker_and_drives_a_metre_to_the_right(
    laps: tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]],
) -> None:
    assert np.mean(laps[1]) < 0.7 * np.mean(laps[0])
    route = SyntheticRoute(length_m=150)
    still = [replace(lap, sway_m=0.0, start_m=0.0, step_m=1.0) for lap in (FIRST_LAP, SECOND_LAP)]
    ways = [np.array([[p.x, p.y] for p in route.poses(lap)]) for lap in still]
    assert np.linalg.norm(ways[0] - ways[1], axis=1) == pytest.approx(1.0, abs=0.01)


@given(x=st.floats(2, 100), y=st.floats(-20, 20), z=st.floats(0, 15), yaw=st.floats(-0.3, 0.3))
def test_points_are_projected_by_the_pin_hole_model(
    x: float, y: float, z: float, yaw: float
) -> None:
    camera, pose = PinholeCamera(), CameraPose(-1.0, 0.5, 1.5, yaw)
    focal = 320 / tan(radians(40))
    forward = (x + 1) * cos(yaw) + (y - 0.5) * sin(yaw)
    leftward = -(x + 1) * sin(yaw) + (y - 0.5) * cos(yaw)
    if forward < NEAR_M:
        return
    expected = [319.5 - focal * leftward / forward, 239.5 - focal * (z - 1.5) / forward]
    image = camera.project_optical(to_optical(np.array([[x, y, z]]), pose))
    assert image[0] == pytest.approx(expected, abs=1e-6)


@given(st.lists(st.tuples(*[st.floats(-9, 9)] * 3), min_size=3, max_size=3))
def test_clipping_leaves_nothing_behind_the_near_plane(
    corners: list[tuple[float, float, float]],
) -> None:
    triangle = np.array(corners)
    clipped = clip_near(triangle)
    assert np.all(clipped[:, 2] >= NEAR_M - 1e-9)
    assert (len(clipped) == 0) == bool(np.all(triangle[:, 2] < NEAR_M))


def _bright_box(scene: Scene, pose: CameraPose) -> list[int]:
    """Left, top, right and bottom pixel of everything that is not black."""
    picture = StreetRenderer(PinholeCamera(), scene).render(pose, pose.x)
    rows, columns = np.nonzero(picture.max(axis=2) > 40)
    return [int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())]


@pytest.mark.parametrize("ahead", [0.0, 1.0, 2.5])
def test_a_wall_appears_where_hand_reckoning_puts_it(ahead: float) -> None:
    # A wall 8 m to 14 m ahead, 3 m to the right, from the road to 2.5 m: f = 381.36 pixels.
    corners = np.array([[14, -3, 2.5], [8, -3, 2.5], [8, -3, 0], [14, -3, 0]], float)[[1, 0, 3, 2]]
    white = Texture(np.full((64, 64, 3), 255, np.uint8))
    scene = Scene(BLACK_SKY, [], [Wall(corners, white, 14.0)])
    near, far = 8.0 - ahead, 14.0 - ahead
    expected = [
        319.5 + 381.36 * 3 / far,
        239.5 - 381.36 * (2.5 - 1.5) / near,
        min(319.5 + 381.36 * 3 / near, 639),
        min(239.5 + 381.36 * 1.5 / near, 479),
    ]
    box = _bright_box(scene, CameraPose(ahead, 0.0, 1.5, 0.0))
    assert box == pytest.approx(expected, abs=1.5)


def test_a_wall_that_reaches_behind_the_camera_is_cut_not_mirrored() -> None:
    corners = np.array([[-5, 3, 4], [20, 3, 4], [20, 3, 0], [-5, 3, 0]], float)
    scene = Scene(BLACK_SKY, [], [Wall(corners, Texture(np.full((8, 8, 3), 255, np.uint8)), 20.0)])
    left, _, right, _ = _bright_box(scene, CameraPose(0.0, 0.0, 1.5, 0.0))
    assert left == 0 and right == pytest.approx(319.5 - 381.36 * 3 / 20, abs=1.5)


def test_what_is_painted_on_a_wall_follows_the_homography() -> None:
    # A white spot in the middle of a black texture lies in the middle of the wall in the world,
    # which perspective does not put in the middle of the wall in the image.
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[97:103, 97:103] = 255
    corners = np.array([[6, 3, 4], [18, 3, 4], [18, 3, 0], [6, 3, 0]], float)
    scene = Scene(BLACK_SKY, [], [Wall(corners, Texture(picture), 18.0)])
    left, top, right, bottom = _bright_box(scene, CameraPose(0.0, 0.0, 1.5, 0.0))
    middle = [319.5 - 381.36 * 3 / 12, 239.5 - 381.36 * (2.0 - 1.5) / 12]
    assert [(left + right) / 2, (top + bottom) / 2] == pytest.approx(middle, abs=1.5)


def test_the_corner_of_a_known_facade_is_where_the_truth_says() -> None:
    route = SyntheticRoute(seed=7, length_m=40)
    house = next(h for h in route.layout.buildings if h.side < 0 and h.start_m > 10)
    plain = replace(house, pitched=False, shop=None)
    surfaces: list[Surface] = HouseBuilder(route.line, DAY).build(plain)
    fronts = [s for s in surfaces if isinstance(s, Wall) and s.along_m > house.start_m + 0.1]
    truth = HouseBuilder(route.line, DAY).corners(
        plain, house.start_m, house.end_m, (6.8 + house.setback_m,) * 2, (house.height_m, 0.0)
    )
    for pose in route.poses(FIRST_LAP)[:6:2]:
        image = PinholeCamera().project_optical(to_optical(truth, pose))
        bright = StreetRenderer(PinholeCamera(), Scene(BLACK_SKY, [], list(fronts))).render(pose, 0)
        columns = np.nonzero(bright.max(axis=(0, 2)) > 40)[0]
        edges = np.clip([image[:, 0].min(), image[:, 0].max()], 0, 639)
        assert [columns.min(), columns.max()] == pytest.approx(edges, abs=1.5)
        assert to_optical(truth, pose)[:, 2].min() > 0


def test_the_line_is_as_long_as_it_says_and_starts_along_x() -> None:
    line = SyntheticRoute(length_m=150).line
    stations = np.arange(0.0, 150.0, 0.5)
    steps = np.diff(line.points(stations, 0.0), axis=0)
    assert np.linalg.norm(steps, axis=1).sum() == pytest.approx(149.5, rel=1e-3)
    assert line.points(np.zeros(1), 0.0)[0] == pytest.approx([0, 0])
    assert line.points(np.zeros(1), 2.0)[0] == pytest.approx([0, 2])
    assert steps[0] / np.linalg.norm(steps[0]) == pytest.approx([1, 0], abs=0.01)


def test_the_depth_of_the_street_is_that_of_its_pixels_seen_from_anywhere() -> None:
    route = short_route()
    poses, scene = route.poses(FIRST_LAP)[:6], route.scene(FIRST_LAP)
    here, there = (render_depth(route.camera, scene, poses[i], float(i)) for i in (2, 5))
    k = route.camera.intrinsics
    # The road, from the height of the camera.
    rows = np.arange(470, 480)
    expected = route.camera.focal_px * FIRST_LAP.camera_m / (rows - k[1, 2])
    assert here[rows, 320] == pytest.approx(expected, rel=1e-5)
    assert np.isnan(here).mean() > 0.02, "the sky has no depth"
    # What one picture's depth says is where the other picture's says, but for what hides it.
    y, x = np.mgrid[0:480:5, 0:640:5]
    z = here[y, x]
    seen = np.isfinite(z)
    rays = np.stack([(x - k[0, 2]) / k[0, 0], (y - k[1, 2]) / k[1, 1], np.ones(x.shape)], axis=-1)
    world = (rays * z[..., None])[seen] @ poses[2].rotation + poses[2].position
    inside = to_optical(world, poses[5])
    image = np.rint(route.camera.project_optical(inside)).astype(int)
    shown = (inside[:, 2] > NEAR_M) & ((image >= 0) & (image < [640, 480])).all(axis=1)
    apart = np.abs(there[image[shown, 1], image[shown, 0]] / inside[shown, 2] - 1)
    assert shown.sum() > 1000
    assert np.mean(apart < 0.02) > 0.85
    assert np.nanmedian(apart) < 0.002
