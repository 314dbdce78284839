# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From where a place is seen: exactly where the points are, and not at all where it is not sure."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from floppynet_vpr.detection.relative_pose import LEAST_INLIERS, RelativePose, locate, relative_pose
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction.feature_points import with_points
from floppynet_vpr.extraction.local_features import LocalFeatures
from floppynet_vpr.graph.se3 import Transform
from floppynet_vpr.imaging.camera_model import CameraModel
from floppynet_vpr.imaging.depth_image import decode_depth, depth_at
from floppynet_vpr.imaging.payload import ImageError

FOCAL = 380.0
K = [FOCAL, 0.0, 319.5, 0.0, FOCAL, 239.5, 0.0, 0.0, 1.0]
P = [400.0, 0.0, 320.0, 0.0, 0.0, 400.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
CAMERA = CameraModel.of_info(640, 480, "plumb_bob", [0.0] * 5, K, P)

small = st.floats(-0.25, 0.25)
metres = st.floats(-1.5, 1.5)


def scene(seed: int, count: int) -> NDArray[np.float64]:
    """Points of a street before a camera: all over the picture, 4 to 25 m away."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(4, 25, count)
    return np.column_stack(
        [rng.uniform(-0.7, 0.7, count) * z, rng.uniform(-0.5, 0.3, count) * z, z]
    )


def seen_from(points: NDArray[np.float64], pose: Transform) -> NDArray[np.float64]:
    """In which directions points are seen by a camera with this pose."""
    inside = (points - pose.position) @ pose.rotation
    return inside[:, :2] / inside[:, 2:]


def pose_of(turn: tuple[float, float, float], at: tuple[float, float, float]) -> Transform:
    matrix = np.asarray(cv2.Rodrigues(np.array(turn))[0], np.float64)
    return Transform.of_matrix(matrix, np.array(at))


def off(found: RelativePose, pose: Transform) -> Transform:
    return pose.inverse() @ Transform.of_matrix(found.rotation, found.translation)


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 1000),
    st.integers(20, 120),
    st.tuples(small, small, small),
    st.tuples(metres, metres, metres),
)
def test_a_pose_is_recovered_exactly_from_points_without_noise(
    seed: int, count: int, turn: tuple[float, float, float], at: tuple[float, float, float]
) -> None:
    points, pose = scene(seed, count), pose_of(turn, at)
    directions = seen_from(points, pose)
    found = locate(directions, points, FOCAL)
    assert found is not None and found.inliers == count
    assert off(found, pose).metres < 1e-6 and off(found, pose).radians < 1e-7
    assert np.linalg.eigvalsh(found.covariance)[0] > 0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.tuples(small, small, small), st.tuples(metres, metres, metres))
def test_a_third_of_wrong_pairs_does_not_move_it(
    seed: int, turn: tuple[float, float, float], at: tuple[float, float, float]
) -> None:
    points, pose = scene(seed, 90), pose_of(turn, at)
    directions = seen_from(points, pose)
    directions[:30] = np.random.default_rng(seed).uniform(-0.8, 0.8, (30, 2))
    found = locate(directions, points, FOCAL)
    assert found is not None and 60 <= found.inliers < 66
    assert off(found, pose).metres < 0.02 and off(found, pose).radians < 0.002


def test_the_covariance_covers_independent_errors_and_is_on_the_safe_side() -> None:
    rng, within = np.random.default_rng(3), []
    for seed in range(60):
        points = scene(seed, 80)
        pose = pose_of(tuple(rng.normal(0, 0.1, 3)), tuple(rng.normal(0, 0.5, 3)))
        directions = seen_from(points, pose) + rng.normal(0, 0.8 / FOCAL, (80, 2))
        found = locate(directions, points, FOCAL)
        assert found is not None
        wrong = off(found, pose)
        values = [wrong.x, wrong.y, wrong.z, 2 * wrong.qx, 2 * wrong.qy, 2 * wrong.qz]
        within.append(np.abs(values) / np.sqrt(np.diag(found.covariance)))
    sizes = np.sqrt((np.array(within) ** 2).mean(axis=0))
    # Twice the deviation of independent errors, in each of the six.
    assert (sizes > 0.35).all() and (sizes < 0.65).all()


def test_the_covariance_of_the_message_is_along_the_axes_of_the_place() -> None:
    points, pose = scene(1, 60), pose_of((0.0, math.pi / 2, 0.0), (0.0, 0.0, 0.0))
    covariance = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    # Seen from the place, the x axis of a camera turned to the right points backwards.
    found = RelativePose(pose.rotation, pose.position, covariance, len(points))
    assert np.diag(found.place_covariance) == pytest.approx([3.0, 2.0, 1.0, 6.0, 5.0, 4.0])


def flat(slope: float, count: int = 60) -> NDArray[np.float64]:
    rng = np.random.default_rng(5)
    across, up = rng.uniform(-1, 1, (2, count))
    return np.column_stack([across, up, 10 + slope * across])


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(scene(0, LEAST_INLIERS - 1), id="too few"),
        pytest.param(flat(0.0), id="a small wall straight ahead, which fits two poses"),
        pytest.param(scene(0, 60) * 400, id="so far away that a metre does not show"),
        pytest.param(
            np.column_stack([np.linspace(-1, 1, 60), np.zeros(60), np.full(60, 5.0)]),
            id="all on one line",
        ),
        pytest.param(np.tile([[1.0, 0.5, 8.0]], (60, 1)), id="all the same"),
    ],
)
def test_points_that_do_not_tell_the_pose_give_none(points: NDArray[np.float64]) -> None:
    noise = np.random.default_rng(1).normal(0, 0.5 / FOCAL, (len(points), 2))
    directions = seen_from(points, pose_of((0.0, 0.05, 0.0), (0.2, 0.0, 0.1))) + noise
    assert locate(directions, points, FOCAL) is None


def test_pairs_by_mere_chance_give_no_pose() -> None:
    rng = np.random.default_rng(2)
    for seed in range(20):
        assert locate(rng.uniform(-0.8, 0.8, (60, 2)), scene(seed, 60), FOCAL) is None


def test_corners_and_depth_give_the_pose_of_the_camera() -> None:
    points, pose = scene(4, 80), pose_of((0.0, 0.1, 0.02), (0.4, -0.1, 0.9))
    bits = np.random.default_rng(4).integers(0, 256, (80, 32), np.uint8)

    def pixels(at: Transform) -> NDArray[np.float32]:
        return (seen_from(points, at) * FOCAL + [319.5, 239.5]).astype(np.float32)

    place = LocalFeatures(pixels(Transform()), bits, points.astype(np.float32))
    query = LocalFeatures(pixels(pose), bits)
    found = relative_pose(query, place, CAMERA)
    assert found is not None and off(found, pose).metres < 1e-3
    assert relative_pose(query, LocalFeatures(place.positions, bits), CAMERA) is None
    unknown = points.astype(np.float32)
    unknown[LEAST_INLIERS - 1 :] = np.nan
    assert relative_pose(query, LocalFeatures(place.positions, bits, unknown), CAMERA) is None


# The camera


@given(st.floats(10, 630), st.floats(10, 470), st.floats(0.5, 60))
def test_a_pixel_with_depth_is_the_point_that_is_imaged_there(u: float, v: float, z: float) -> None:
    distorted = CameraModel.of_info(640, 480, "plumb_bob", [-0.1, 0.02, 1e-3, -1e-3, 0], K, P)
    point = np.array([[*distorted.directions(np.array([[u, v]]))[0] * z, z]])
    back, _ = cv2.projectPoints(
        point, np.zeros(3), np.zeros(3), distorted.matrix, distorted.distortion
    )
    assert np.ravel(back) == pytest.approx([u, v], abs=0.02)


def test_rectified_images_are_seen_by_p_and_others_by_k() -> None:
    fields: Any = (640, 480, "plumb_bob", [-0.1, 0.0, 0.0, 0.0, 0.0], K, P)
    assert CameraModel.of_info(*fields, rectified=True).matrix[0, 0] == 400
    assert not len(CameraModel.of_info(*fields, rectified=True).distortion)
    assert CameraModel.of_info(*fields).matrix[0, 0] == FOCAL
    assert len(CameraModel.of_info(*fields).distortion) == 5


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"k": [0.0] * 9}, "not calibrated"),
        ({"k": [math.nan] * 9}, "not calibrated"),
        ({"model": "mystery", "d": [0.1] * 5}, "5 distortion coefficients of the model 'mystery'"),
        ({"d": [0.1] * 3}, "3 distortion coefficients"),
        ({"width": 0}, "0x480"),
    ],
)
def test_a_camera_info_that_is_of_no_use_is_refused_with_the_reason(
    changes: dict[str, Any], told: str
) -> None:
    fields = {"width": 640, "height": 480, "model": "plumb_bob", "d": [0.0] * 5, "k": K, "p": P}
    with pytest.raises(VprError, match=told):
        CameraModel.of_info(**{**fields, **changes})


def test_a_fisheye_is_undistorted_by_its_own_model() -> None:
    camera = CameraModel.of_info(640, 480, "equidistant", [0.1, 0.0, 0.0, 0.0], K, P)
    seen = camera.directions(np.array([[319.5, 239.5], [500.0, 300.0]]))
    image, _ = cv2.fisheye.projectPoints(
        np.column_stack([seen, np.ones(2)])[None],
        np.zeros((1, 1, 3)),
        np.zeros((1, 1, 3)),
        camera.matrix,
        camera.distortion,
    )
    assert image[0] == pytest.approx(np.array([[319.5, 239.5], [500.0, 300.0]]), abs=0.01)


def test_the_bearing_is_the_angle_beside_the_middle_of_the_view() -> None:
    right, down = CAMERA.bearing(32 / 227, -32 / 227)
    assert right == pytest.approx(math.atan(640 * 32 / 227 / FOCAL))
    assert down == pytest.approx(-math.atan(480 * 32 / 227 / FOCAL))
    assert CAMERA.bearing(0.0, 0.0) == (0.0, 0.0)


# Depth


def depth_message(*fields: Any) -> SimpleNamespace:
    names = ("height", "width", "encoding", "is_bigendian", "step", "data")
    return SimpleNamespace(**dict(zip(names, fields, strict=True)))


def test_millimetres_and_metres_of_either_byte_order_are_the_same_depth() -> None:
    metres = np.array([[0.0, 1.5, 2.25], [65.535, 0.001, 12.0]], np.float32)
    whole = np.rint(metres * 1000)
    known = np.array([[False, True, True], [False, True, True]])
    expected = np.where(known, metres, np.nan).astype(np.float32)
    for big, order in ((False, "<"), (True, ">")):
        rows = np.pad(whole.astype(f"{order}u2").view(np.uint8), ((0, 0), (0, 3)))
        found = decode_depth(depth_message(2, 3, "16UC1", big, 9, rows.tobytes()))
        assert found == pytest.approx(expected, nan_ok=True)
        floats = np.where(known, metres, [[np.inf, 0, 0], [-1.0, 0, 0]]).astype(f"{order}f4")
        found = decode_depth(depth_message(2, 3, "32FC1", big, 12, floats.tobytes()))
        assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ((2, 2, "rgb8", False, 6, bytes(12)), "16UC1"),
        ((2, 2, "16UC1", False, 4, bytes(7)), "7 bytes"),
        ((2, 2, "32FC1", False, 4, bytes(8)), "8 bytes"),
        ((0, 2, "16UC1", False, 4, b""), "no pixels"),
    ],
)
def test_depth_that_contradicts_itself_is_refused(fields: Any, told: str) -> None:
    with pytest.raises(ImageError, match=told):
        decode_depth(depth_message(*fields))


def test_depth_is_not_known_at_edges_and_holes_and_outside() -> None:
    depth = np.full((20, 20), 5.0, np.float32)
    depth[:, 10:] = 9.0
    depth[3, 3] = np.nan
    pixels = np.array([[5, 15], [9.4, 15], [10, 15], [15, 15], [4, 4], [0, 5], [30, 5]])
    assert depth_at(depth, pixels).tolist() == pytest.approx(
        [5.0, math.nan, math.nan, 9.0, math.nan, math.nan, math.nan], nan_ok=True
    )


def test_depth_of_another_size_than_the_images_is_refused() -> None:
    features = LocalFeatures(np.zeros((1, 2), np.float32), np.zeros((1, 32), np.uint8))
    with pytest.raises(VprError, match="320x240 pixels, the camera's image 640x480"):
        with_points(features, np.ones((240, 320), np.float32), CAMERA)
