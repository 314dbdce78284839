# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The way of a robot is read from a bag: from topics of every type with poses, and from tf."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="needs rosbags (the extra bags)")

from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_typestore

from floppynet_vpr.errors import VprError
from floppynet_vpr.graph.bag_trajectories import trajectory_of_tf, trajectory_of_topic
from floppynet_vpr.graph.se3 import Transform

STORE = get_typestore(Stores.ROS2_HUMBLE)
TYPES: dict[str, Any] = dict(STORE.types)
SECOND = 10**9


def make(name: str, *values: Any) -> Any:
    return TYPES[name](*values)


def header(stamp_ns: int, frame: str = "odom") -> Any:
    stamp = make("builtin_interfaces/msg/Time", *divmod(stamp_ns, SECOND))
    return make("std_msgs/msg/Header", stamp, frame)


def pose_of(pose: Transform) -> Any:
    return make(
        "geometry_msgs/msg/Pose",
        make("geometry_msgs/msg/Point", *pose.values[:3]),
        make("geometry_msgs/msg/Quaternion", *pose.values[3:]),
    )


def transform_of(stamp_ns: int, parent: str, child: str, pose: Transform) -> Any:
    return make(
        "geometry_msgs/msg/TransformStamped",
        header(stamp_ns, parent),
        child,
        make(
            "geometry_msgs/msg/Transform",
            make("geometry_msgs/msg/Vector3", *pose.values[:3]),
            make("geometry_msgs/msg/Quaternion", *pose.values[3:]),
        ),
    )


def stamped(msgtype: str, stamp_ns: int, pose: Transform) -> Any:
    """A message of a type that carries a pose."""
    if msgtype == "geometry_msgs/msg/TransformStamped":
        return transform_of(stamp_ns, "odom", "base_link", pose)
    if msgtype == "geometry_msgs/msg/PoseStamped":
        return make(msgtype, header(stamp_ns), pose_of(pose))
    sure = make("geometry_msgs/msg/PoseWithCovariance", pose_of(pose), np.zeros(36))
    if msgtype == "geometry_msgs/msg/PoseWithCovarianceStamped":
        return make(msgtype, header(stamp_ns), sure)
    zero = make("geometry_msgs/msg/Vector3", 0.0, 0.0, 0.0)
    still = make("geometry_msgs/msg/Twist", zero, zero)
    unsure = make("geometry_msgs/msg/TwistWithCovariance", still, np.zeros(36))
    return make(msgtype, header(stamp_ns), "base_link", sure, unsure)


def write(path: Path, *messages: tuple[str, str, int, Any]) -> Path:
    """A bag of messages: topic, type, time of recording, message."""
    with Writer(path, version=8) as writer:
        connections: dict[str, Any] = {}
        for topic, msgtype, stamp_ns, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, msgtype, typestore=STORE)
            writer.write(connections[topic], stamp_ns, STORE.serialize_cdr(message, msgtype))
    return path


QUARTER = Transform(1.0, 2.0, 0.0, 0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5))


@pytest.mark.parametrize(
    "msgtype",
    [
        "nav_msgs/msg/Odometry",
        "geometry_msgs/msg/PoseStamped",
        "geometry_msgs/msg/PoseWithCovarianceStamped",
        "geometry_msgs/msg/TransformStamped",
    ],
)
def test_every_type_with_poses_gives_a_way(tmp_path: Path, msgtype: str) -> None:
    bag = write(
        tmp_path / "bag",
        ("/here", msgtype, 9 * SECOND, stamped(msgtype, SECOND, Transform())),
        ("/here", msgtype, 9 * SECOND, stamped(msgtype, 2 * SECOND, QUARTER)),
    )
    name, way = trajectory_of_topic(bag, "here")
    assert name == "/here"
    assert way.stamps_ns == (SECOND, 2 * SECOND)
    assert way.poses[1].values == pytest.approx(QUARTER.values)


def test_the_only_odometry_is_found_and_several_are_named(tmp_path: Path) -> None:
    msgtype = "nav_msgs/msg/Odometry"
    message = stamped(msgtype, SECOND, QUARTER)
    one = write(tmp_path / "one", ("/wheel/odom", msgtype, SECOND, message))
    assert trajectory_of_topic(one)[0] == "/wheel/odom"
    two = write(
        tmp_path / "two", ("/a", msgtype, SECOND, message), ("/b", msgtype, SECOND, message)
    )
    with pytest.raises(VprError, match=r"2 topics of nav_msgs/Odometry.*/a, /b"):
        trajectory_of_topic(two)
    with pytest.raises(VprError, match="no poses on /c; it has them on: /a, /b"):
        trajectory_of_topic(two, "/c")


def test_a_quaternion_of_zeros_is_named_with_its_topic(tmp_path: Path) -> None:
    msgtype = "geometry_msgs/msg/PoseStamped"
    message = stamped(msgtype, SECOND, Transform(0, 0, 0, 0, 0, 0, 0))
    bag = write(tmp_path / "bag", ("/here", msgtype, SECOND, message))
    with pytest.raises(VprError, match=r"topic /here .* is no pose"):
        trajectory_of_topic(bag, "/here")


def tf(stamp_ns: int, parent: str, child: str, pose: Transform) -> Any:
    return make("tf2_msgs/msg/TFMessage", [transform_of(stamp_ns, parent, child, pose)])


def tf_bag(path: Path) -> Path:
    """A map, in which odometry drifts, in which the base drives, on which the camera sits.

    The camera is said to be elsewhere first, and what odometry is off by only at 1 s and 5 s.
    """
    msgtype = "tf2_msgs/msg/TFMessage"
    camera = Transform(0.3, 0.0, 0.5, -0.5, 0.5, -0.5, 0.5)
    messages = [
        ("/tf_static", msgtype, 1, tf(1, "base_link", "camera", Transform(9.0))),
        ("/tf_static", msgtype, 2, tf(2, "base_link", "camera", camera)),
    ]
    for second in range(7):
        stamp = second * SECOND
        drive = Transform(float(second), 0.0, 0.0)
        messages.append(("/tf", msgtype, stamp, tf(stamp, "odom", "base_link", drive)))
        if second in (1, 5):
            messages.append(("/tf", msgtype, stamp, tf(stamp, "/map", "odom", QUARTER)))
    return write(path, *messages)


def test_tf_is_followed_through_moving_and_fixed_frames(tmp_path: Path) -> None:
    bag = tf_bag(tmp_path / "bag")
    way = trajectory_of_tf(bag, "map", "camera")
    assert way.stamps_ns == tuple(second * SECOND for second in range(1, 6))
    # A quarter turn to the left: x of the drive becomes y, the camera 0.3 m further on, 0.5 m up.
    assert way.poses[2].position == pytest.approx([1.0, 2.0 + 3.3, 0.5])
    assert way.poses[2].rotation @ [0, 0, 1] == pytest.approx([0, 1, 0])  # it looks along the drive
    back = trajectory_of_tf(bag, "camera", "map")
    assert (back.poses[2] @ way.poses[2]).values[:3] == pytest.approx((0, 0, 0), abs=1e-12)


def test_frames_that_tf_does_not_connect_are_named(tmp_path: Path) -> None:
    bag = tf_bag(tmp_path / "bag")
    with pytest.raises(VprError, match="does not connect map and lidar; its frames are: base_link"):
        trajectory_of_tf(bag, "map", "lidar")
    with pytest.raises(VprError, match="camera never moves as seen from base_link"):
        trajectory_of_tf(bag, "base_link", "camera")
    poses = "geometry_msgs/msg/PoseStamped"
    late = write(
        tmp_path / "late",
        ("/tf", "tf2_msgs/msg/TFMessage", 1, tf(1, "map", "odom", QUARTER)),
        ("/tf", "tf2_msgs/msg/TFMessage", 2, tf(2, "map", "odom", QUARTER)),
        ("/tf", "tf2_msgs/msg/TFMessage", 3, tf(3, "odom", "base_link", QUARTER)),
        ("/tf", "tf2_msgs/msg/TFMessage", 4, tf(4, "odom", "base_link", QUARTER)),
    )
    with pytest.raises(VprError, match="from map to base_link is at no time complete"):
        trajectory_of_tf(late, "map", "base_link")
    other = write(tmp_path / "other", ("/p", poses, 1, stamped(poses, 1, QUARTER)))
    with pytest.raises(VprError, match="has no tf"):
        trajectory_of_tf(other, "map", "camera")
