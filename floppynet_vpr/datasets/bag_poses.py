# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Poses from a bag: a topic that carries them, or the frames of tf."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from floppynet_vpr.datasets.bag_files import open_bag
from floppynet_vpr.datasets.bags_reading import ODOMETRY
from floppynet_vpr.errors import VprError
from floppynet_vpr.stamps import nanoseconds

POSE_TYPES: Final = (
    ODOMETRY,
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/PoseWithCovarianceStamped",
    "geometry_msgs/msg/TransformStamped",
)
"""Messages that carry a pose."""

TF: Final = "tf2_msgs/msg/TFMessage"

Row = tuple[float, float, float, float, float, float, float]
"""x, y, z in metres and a quaternion x, y, z, w."""


class StampedPose(NamedTuple):
    """A pose and when it was, nanoseconds."""

    stamp_ns: int
    row: Row


def read_poses(path: Path, topic: str | None = None) -> tuple[str, list[StampedPose]]:
    """Read the poses of a topic, None for the only one of nav_msgs/Odometry; returns its name, too.

    Raises VprError when the bag cannot be read, or has no such topic, several, or an empty one.
    """
    with open_bag(path) as bag:
        types = {c.topic: c.msgtype for c in bag.connections if c.msgtype in POSE_TYPES}
    listing = ", ".join(sorted(types)) or "none"
    if topic is None:
        odometry = [name for name, msgtype in types.items() if msgtype == ODOMETRY]
        if len(odometry) != 1:
            raise VprError(
                f"the bag {path} has {len(odometry)} topics of nav_msgs/Odometry: "
                f"name one with poses (there are: {listing}), or frames of tf"
            )
        wanted = odometry[0]
    else:
        named = {name.lstrip("/"): name for name in types}
        if topic.lstrip("/") not in named:
            raise VprError(f"the bag {path} has no poses on {topic}; it has them on: {listing}")
        wanted = named[topic.lstrip("/")]
    poses = [
        StampedPose(nanoseconds(message.header.stamp) or received_ns, _row(message))
        for _, received_ns, message in read_messages(path, topic=wanted)
    ]
    if not poses:
        raise VprError(f"topic {wanted} of the bag {path} has no messages")
    return wanted, poses


def posed_frame(path: Path, topic: str) -> str:
    """The frame whose poses a topic holds, as its first message says; empty where it does not."""
    for _, _, message in read_messages(path, topic=topic):
        return str(getattr(message, "child_frame_id", "")).strip("/")
    return ""


def read_transforms(path: Path) -> tuple[dict[str, str], dict[str, list[StampedPose]]]:
    """Read all of tf: each frame's parent, and its poses there by the frame's name.

    Of a frame in tf_static the last pose is the only one. Raises VprError when the bag cannot be
    read, has no tf, or gives a frame two parents.
    """
    parents: dict[str, str] = {}
    poses: dict[str, list[StampedPose]] = defaultdict(list)
    for topic, received_ns, message in read_messages(path, msgtype=TF):
        for one in message.transforms:
            parent, child = one.header.frame_id.strip("/"), one.child_frame_id.strip("/")
            if parents.setdefault(child, parent) != parent:
                raise VprError(
                    f"in the bag {path} the frame {child} has two parents, {parents[child]} and "
                    f"{parent}: tf is no tree there"
                )
            stamp_ns = nanoseconds(one.header.stamp) or received_ns
            if topic.endswith("tf_static"):
                poses[child].clear()
            poses[child].append(StampedPose(stamp_ns, _row(one)))
    if not parents:
        raise VprError(f"the bag {path} has no tf")
    return parents, dict(poses)


def read_messages(
    path: Path, *, topic: str | None = None, msgtype: str | None = None
) -> Iterator[tuple[str, int, Any]]:
    """The messages of a topic or a type: topic, time of recording in nanoseconds, what is said.

    Raises VprError where the bag or a message is damaged.
    """
    from rosbags.typesys import Stores, get_typestore

    deserialize = get_typestore(Stores.ROS2_HUMBLE).deserialize_cdr
    with open_bag(path) as bag:
        wanted = [c for c in bag.connections if topic == c.topic or msgtype == c.msgtype]
        for connection, received_ns, data in bag.messages(wanted):
            try:
                message = deserialize(bag.cdr(connection, data), connection.msgtype)
            except Exception as error:  # the library raises what its parts raise
                raise VprError(
                    f"a message of topic {connection.topic} of {path} is damaged: {error}"
                ) from error
            yield connection.topic, received_ns, message


def _row(message: Any) -> Row:
    """The pose in a message of one of `POSE_TYPES`."""
    if hasattr(message, "transform"):
        place, turn = message.transform.translation, message.transform.rotation
    else:
        pose = message.pose if hasattr(message.pose, "position") else message.pose.pose
        place, turn = pose.position, pose.orientation
    return place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w
