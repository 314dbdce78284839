# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Depth beside the images: places know where their corners are, and who sees them learns whence."""

from __future__ import annotations

import array
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from floppynet_vpr.extraction.local_features import DEFAULT_FEATURES, extract_features
from floppynet_vpr.graph.se3 import Transform
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.synthetic.camera import CameraPose
from floppynet_vpr.synthetic.route import FIRST_LAP, Lap, SyntheticRoute

pytest.importorskip("rclpy", reason="needs ROS 2")

import rclpy
from node_harness import PATIENCE_S, Client, StartNode, image_message
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from floppynet_vpr.ros import camera_topics

DEPTH = "/camera/depth/image"
FRAME = "camera_optical_frame"
STREET = SyntheticRoute(length_m=28.0)
MAPPED = replace(FIRST_LAP, step_m=2.0, start_m=4.0)
DRIVEN = replace(FIRST_LAP, name="again", step_m=2.0, start_m=4.7, cars_moved=0.5)


class Shot(NamedTuple):
    """An image of the street, its depth, and where it was taken."""

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    pose: CameraPose


@cache
def lap_shots(lap: Lap) -> list[Shot]:
    poses = STREET.poses(lap)
    frames = STREET.frames_from(lap, poses)
    depths = STREET.depths_from(lap, poses)
    return [
        Shot(frame.rgb, depth, pose)
        for frame, depth, pose in zip(frames, depths, poses, strict=True)
    ]


def shots(lap: Lap, count: int) -> list[Shot]:
    return lap_shots(lap)[:count]


def seen(place: CameraPose, query: CameraPose) -> Transform:
    """The true pose of one camera as seen from another, both optical frames."""
    return Transform.of_matrix(
        place.rotation @ query.rotation.T, place.rotation @ (query.position - place.position)
    )


def depth_message(depth: NDArray[np.float32], number: int, floats: bool = True) -> Image:
    values = depth if floats else np.rint(np.nan_to_num(depth) * 1000).clip(0, 65535)
    data = values.astype("<f4" if floats else "<u2")
    message = Image(height=depth.shape[0], width=depth.shape[1])
    message.encoding = "32FC1" if floats else "16UC1"
    message.step = data.itemsize * depth.shape[1]
    message.data = array.array("B", data.tobytes())
    message.header.stamp.sec = number
    message.header.frame_id = FRAME
    return message


def info_message() -> CameraInfo:
    camera = STREET.camera
    message = CameraInfo(width=camera.width, height=camera.height, distortion_model="plumb_bob")
    message.d = [0.0] * 5
    message.k = camera.intrinsics.reshape(-1)
    message.p = np.column_stack([camera.intrinsics, np.zeros(3)]).reshape(-1)
    message.header.frame_id = FRAME
    return message


def tell_camera(client: Client, topic: str = "/camera_info") -> Any:
    """Publish CameraInfo until the node knows it."""
    publisher = client.image_publisher(topic, CameraInfo, ReliabilityPolicy.BEST_EFFORT)
    timer = client.node.create_timer(0.1, lambda: publisher.publish(info_message()))
    client.wait_for_diagnostics(lambda values: values["camera info"].endswith(": known"))
    client.node.destroy_timer(timer)
    return publisher


def send_depths(client: Client, publisher: Any, messages: list[Image]) -> None:
    """Publish depth and wait until the node has it: the first alone, which ends best effort."""
    for come, message in enumerate(messages, 1):
        publisher.publish(message)
        if come in (1, len(messages)):
            client.wait_for_diagnostics(
                lambda values, come=come: values["depth images"] == str(come)
            )


def test_a_match_with_a_place_of_known_depth_says_from_where_it_is_seen(
    tmp_path: Path, start_node: StartNode, client: Client
) -> None:
    path = tmp_path / "street.fvm"
    mapped, driven = shots(MAPPED, 12), shots(DRIVEN, 8)
    mapper = start_node(mode="mapping", depth=DEPTH, save_map_to=path, keyframe_distance=0.0)
    images, depths = client.image_publisher(), client.image_publisher(DEPTH)
    tell_camera(client)
    messages = [depth_message(shot.depth, n, bool(n % 2)) for n, shot in enumerate(mapped, 1)]
    send_depths(client, depths, messages)
    for number, shot in enumerate(mapped, 1):
        images.publish(image_message(shot.rgb, number))
        client.wait_for_answers(number)
    values = client.wait_for_diagnostics(lambda values: values["places added"] == "12")
    assert values["places without depth"] == "0"
    assert values["depth"] == f"{DEPTH} (reliable)"
    assert mapper.stop() == 0

    reference = ReferenceMap.load(path)
    assert reference.features == DEFAULT_FEATURES and reference.has_points
    for place in range(12):
        features = reference.features_of(place)
        assert features is not None and features.points is not None
        assert np.isfinite(features.points).all(axis=1).mean() > 0.4

    # The camera that comes again needs no depth.
    client.answers.clear()
    start_node(map=path, sequence="none", threshold=2.0)
    again = client.image_publisher()
    tell_camera(client)
    for number, shot in enumerate(driven, 1):
        again.publish(image_message(shot.rgb, number))
        client.wait_for_answers(number)
    told = 0
    for answer, shot in zip(client.answers, driven, strict=True):
        best, *others = answer.candidates
        assert not any(other.has_transform for other in others)
        assert best.bearing_right == pytest.approx(
            math.atan(best.shift_right * 640 / STREET.camera.focal_px)
        )
        if not best.has_transform:
            assert best.transform_inliers == 0
            continue
        told += 1
        true = seen(mapped[best.place_id % 2**24].pose, shot.pose)
        at, turn = best.transform.translation, best.transform.rotation
        found = Transform(at.x, at.y, at.z, turn.x, turn.y, turn.z, turn.w)
        wrong = true.inverse() @ found
        assert wrong.metres < 0.3 and math.degrees(wrong.radians) < 1.0
        covariance = best.transform_covariance.reshape(6, 6)
        assert np.allclose(covariance, covariance.T)
        assert 0 < np.linalg.eigvalsh(covariance)[0] < 0.25
        assert best.transform_inliers >= 15
    assert told >= 6


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda message: setattr(message, "encoding", "8UC1"), "depth of encoding '8UC1'"),
        (
            lambda message: setattr(message.header, "frame_id", "infra_optical_frame"),
            "it is in the frame infra_optical_frame, the images are in camera_optical_frame",
        ),
        (None, "the depth has 320x240 pixels, the camera's image 640x480"),
    ],
)
def test_depth_that_does_not_fit_is_told_once_and_places_are_made_without(
    spoil: Any, why: str, start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "street.fvm"
    node = start_node(mode="mapping", depth=DEPTH, save_map_to=path, keyframe_distance=0.0)
    images, depths = client.image_publisher(), client.image_publisher(DEPTH)
    tell_camera(client)
    two = shots(MAPPED, 2)
    messages = [
        depth_message(shot.depth if spoil else shot.depth[::2, ::2], number)
        for number, shot in enumerate(two, 1)
    ]
    for message in messages if spoil else ():
        spoil(message)
    send_depths(client, depths, messages)
    for number, shot in enumerate(two, 1):
        images.publish(image_message(shot.rgb, number))
        client.wait_for_answers(number)
    client.wait_for_diagnostics(
        lambda values: why in values["summary"] and values["places without depth"] == "2"
    )
    node.wait_for_log(why)
    assert node.stop() == 0
    assert node.log.count(why) == 1
    reference = ReferenceMap.load(path)
    assert len(reference) == 2 and reference.features and not reference.has_points


def test_an_image_that_comes_first_waits_for_its_depth(
    ros_context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_topics, "_LONGEST_WAIT_S", PATIENCE_S)
    node = rclpy.create_node("waits", context=ros_context)
    topics = camera_topics.CameraTopics(node, "raw", "reliable", "", DEPTH)
    shot, image = shots(MAPPED, 1)[0], Image()
    image.header.stamp.sec, image.header.frame_id = 7, FRAME
    features = extract_features(shot.rgb, 50)
    topics._on_info(info_message())
    model = topics.model(image.header, shot.rgb)
    with ThreadPoolExecutor() as pool:
        located = pool.submit(topics.locate, features, image.header, model)
        topics._on_depth(depth_message(shot.depth, 6))
        topics._on_depth(depth_message(shot.depth, 7))
        points = located.result(PATIENCE_S).points
    assert points is not None and np.isfinite(points).any() and not topics.missed
    node.destroy_node()


def test_images_are_answered_where_no_depth_and_no_camera_info_come(
    start_node: StartNode, client: Client
) -> None:
    node = start_node(mode="both", depth=DEPTH, keyframe_distance=0.0)
    images = client.image_publisher()
    first, second = shots(MAPPED, 2)
    images.publish(image_message(first.rgb, 1))
    client.wait_for_answers(1)
    node.wait_for_log("no CameraInfo has come on /camera_info")
    tell_camera(client)
    images.publish(image_message(second.rgb, 2))
    client.wait_for_answers(2)
    node.wait_for_log(f"no depth has come: nobody publishes {DEPTH} (sensor_msgs/msg/Image)")
    client.wait_for_diagnostics(lambda values: values["places without depth"] == "2")


def test_without_camera_info_a_bearing_is_not_a_number(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    from floppynet_vpr.extraction import create_extractor

    extractor = create_extractor()
    reference = ReferenceMap.for_weights(extractor.weights)
    (shot,) = shots(MAPPED, 1)
    reference.add(extractor.describe(shot.rgb), "")
    reference.save(tmp_path / "plain.fvm")
    start_node(map=tmp_path / "plain.fvm", sequence="none", threshold=2.0)
    client.image_publisher().publish(image_message(shot.rgb, 1))
    (candidate,) = client.wait_for_answers(1)[0].candidates
    assert math.isnan(candidate.bearing_right) and math.isnan(candidate.bearing_down)
    assert not candidate.has_transform and not np.any(candidate.transform_covariance)
