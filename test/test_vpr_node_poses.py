# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Places get the poses that are offered, and what is recognised is told and drawn with them."""

from __future__ import annotations

import contextlib
import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest

from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.mapping import Pose, ReferenceMap
from floppynet_vpr.mapping.places import MOST_PLACES

pytest.importorskip("rclpy", reason="needs ROS 2")

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from node_harness import PATIENCE_S, Client, StartNode, image_message, picture, view
from rclpy.qos import DurabilityPolicy, QoSProfile
from visualization_msgs.msg import Marker, MarkerArray

LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Robot:
    """Publishes where it is, then what it sees."""

    def __init__(
        self, client: Client, kind: type, topic: str, frame: str = "odom", used: bool = True
    ) -> None:
        """Begin; where its poses are `used`, the node listens to all that is said from now on."""
        self._client = client
        self._kind = kind
        self._frame = frame
        self._poses = client.node.create_publisher(kind, topic, 100)
        self._images = client.image_publisher()
        client.wait_for(lambda: self._poses.get_subscription_count() > 0, "a subscriber of poses")

        def heard() -> bool:  # best effort may lose the first
            self.at(0, 0.0)
            return bool(client.diagnostics) and "stamp of last pose" in client.diagnostics[-1]

        if used:
            client.wait_for(heard, "the node to have a pose")

    def at(self, number: int, x: float, degrees: float = 0.0, early_ms: int = 0) -> None:
        """Say that the robot is at `x` at second `number`, `early_ms` before."""
        message = self._kind()
        message.header.frame_id = self._frame
        message.header.stamp.sec = number
        if early_ms:
            message.header.stamp.sec -= 1
            message.header.stamp.nanosec = 10**9 - early_ms * 10**6
        pose = message.pose if self._kind is PoseStamped else message.pose.pose
        pose.position.x = x
        pose.orientation.z = 2 * math.sin(math.radians(degrees) / 2)  # twice a unit quaternion
        pose.orientation.w = 2 * math.cos(math.radians(degrees) / 2)
        self._poses.publish(message)

    def wait_until_known(self, number: int) -> None:
        """Wait until the node has the pose of that second: poses come on another topic."""
        stamp = f"{number}.000"
        self._client.wait_for_diagnostics(lambda v: v.get("stamp of last pose") == stamp)

    def sees(self, place: float, number: int) -> Any:
        """Show the view of a place at second `number`; returns the answer."""
        count = len(self._client.answers) + 1
        self._images.publish(image_message(view(place), number))
        return self._client.wait_for_answers(count)[-1]


def collect(client: Client, kind: type, topic: str, qos: QoSProfile | int = 10) -> list[Any]:
    """A list of what comes on a topic."""
    messages: list[Any] = []
    client.node.create_subscription(kind, topic, messages.append, qos)
    return messages


@pytest.mark.parametrize(("source", "kind", "topic"), [
    ("odometry", Odometry, "/wheels"),
    ("pose", PoseStamped, "/gps"),
])  # fmt: skip
def test_places_get_poses_and_the_recognised_one_is_told_and_drawn(
    source: str, kind: type, topic: str, start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    matched = collect(client, PoseStamped, "/vpr/matched_pose")
    arrays = collect(client, MarkerArray, "/vpr/markers", LATCHED)
    path = tmp_path / "home.fvm"
    remap = f"{'odom' if source == 'odometry' else 'pose'}:={topic}"
    settings = {"mode": "both", "save_map_to": path, "threshold": 0.5, "exclude_images": 0}
    settings |= {"matching": "rigid", "sequence": "none"}
    node = start_node("-r", remap, pose_source=source, exclude_seconds=0.0, **settings)
    robot = Robot(client, kind, topic)
    robot.at(1, 9.98, early_ms=50)
    robot.at(1, 10.0)
    robot.at(2, 20.0, 80.0, early_ms=50)
    robot.at(3, 30.0, 90.0)
    robot.wait_until_known(3)
    assert not robot.sees(0, 1).detected
    assert not robot.sees(5, 2).detected  # the pose after it is too late to count
    assert not robot.sees(9, 7).detected  # no pose near
    robot.at(8, 40.0)
    robot.wait_until_known(8)
    answer = robot.sees(5, 8)
    assert answer.detected
    best = answer.candidates[0]
    assert (best.place_id % MOST_PLACES, best.has_pose) == (1, True)
    assert best.pose.position.x == 20.0
    assert best.pose.orientation.z == pytest.approx(math.sin(math.radians(40)))
    client.wait_for(lambda: bool(matched), "the matched pose")
    assert matched[0].pose == best.pose
    assert matched[0].header.frame_id == "odom"
    assert matched[0].header.stamp == answer.header.stamp

    def drawn() -> dict[str, Marker]:
        return {marker.ns: marker for array in arrays for marker in array.markers}

    client.wait_for(lambda: "loop closures" in drawn(), "a loop closure in the markers")
    ends = drawn()["loop closures"].points
    assert [point.x for point in ends] == [40.0, 20.0]
    client.wait_for(lambda: len(drawn()["places"].points) == 2, "two places with poses")
    assert [point.x for point in drawn()["places"].points] == [10.0, 20.0]
    assert drawn()["places"].header.frame_id == "odom"
    told = client.wait_for_diagnostics(lambda values: True)
    assert told["pose source"] == f"{source} {topic}"
    assert node.stop() == 0
    poses = [place.pose for place in ReferenceMap.load(path).places]
    assert [None if pose is None else pose.x for pose in poses] == [10.0, 20.0, None]


def test_driving_on_or_turning_makes_places_where_poses_are_known(
    start_node: StartNode, client: Client
) -> None:
    start_node(mode="mapping", pose_source="odometry", keyframe_metres=1.0, keyframe_degrees=30.0)
    robot = Robot(client, Odometry, "/odom")
    for number, (x, degrees) in enumerate([(0, 0), (0.9, 0), (1.0, 0), (1.0, 29), (1.0, 31)], 1):
        robot.at(number, x, degrees)
    robot.wait_until_known(5)
    for number in range(1, 6):
        robot.sees(number, number)
    told = client.wait_for_diagnostics(lambda values: values["images processed"] == "5")
    assert told["places added"] == "3"


def test_poses_in_another_frame_or_without_sense_are_named_and_not_used(
    start_node: StartNode, client: Client
) -> None:
    node = start_node(mode="mapping", pose_source="odometry", map_frame="map")
    robot = Robot(client, Odometry, "/odom", frame="odom", used=False)

    def publish_until_told(robot: Robot, x: float, told: str) -> None:
        def is_told() -> bool:  # best effort may lose the first
            robot.at(1, x)
            return told in node.log

        client.wait_for(is_told, told)

    publish_until_told(robot, 1.0, "poses of odometry /odom are in frame 'odom', not 'map'")
    robot.sees(1, 1)
    told = client.wait_for_diagnostics(lambda values: values["images processed"] == "1")
    assert "odometry /odom has given none yet" in told["summary"]
    node.wait_for_log("an image without a pose: odometry /odom has given none yet")
    senseless = Robot(client, Odometry, "/odom", frame="map", used=False)

    publish_until_told(senseless, math.nan, "is not finite or has no orientation")
    assert node.process.poll() is None


def test_a_drive_that_goes_on_with_a_map_keeps_its_own_odometry_apart(
    start_node: StartNode, client: Client, ros_domain: int, tmp_path: Path
) -> None:
    """What was at 5 m of yesterday's odometry is not at 5 m of today's."""
    path = tmp_path / "home.fvm"
    settings = {"mode": "both", "save_map_to": path, "pose_source": "odometry", "threshold": 0.5}
    settings |= {"matching": "rigid", "sequence": "none"}
    node = start_node(session_name="monday", **settings)
    robot = Robot(client, Odometry, "/odom")
    for number in range(1, 4):
        robot.at(number, 5.0 * number)
    robot.wait_until_known(3)
    for number in range(1, 4):
        robot.sees(4 * number, number)
    assert node.stop() == 0
    # The first client would for a while take the node that ended for one that listens.
    with contextlib.closing(Client(ros_domain)) as today:
        node = start_node(session_name="tuesday", **settings)
        matched = collect(today, PoseStamped, "/vpr/matched_pose")
        robot = Robot(today, Odometry, "/odom")
        for number, x in ((11, 0.0), (12, 1.0)):
            robot.at(number, x)
        robot.wait_until_known(12)
        assert not robot.sees(20, 11).detected
        answer = robot.sees(8, 12)
        assert answer.detected
        assert answer.candidates[0].session == "monday"
        today.wait_for(lambda: bool(matched), "the matched pose")
        assert matched[0].header.frame_id == "odom/monday"
        assert matched[0].pose.position.x == 10.0
        assert node.stop() == 0
    reference = ReferenceMap.load(path)
    assert [session.name for session in reference.sessions] == ["monday", "tuesday"]
    assert reference.borders == [3], "nobody is followed across"
    monday, tuesday = reference.sessions
    assert (monday.frame, tuesday.frame) == ("odom", "odom")
    assert not monday.shares_frame(tuesday)


def test_markers_come_late_too_and_show_what_is_left_after_forgetting(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    from std_srvs.srv import Trigger

    extractor = create_extractor()
    reference = ReferenceMap.for_weights(extractor.weights)
    for number in range(3):
        reference.add(extractor.describe(picture(number)), "", 0, Pose(float(number), 1.0, 0.0))
    reference.save(tmp_path / "way.fvm")
    start_node(map=tmp_path / "way.fvm", map_frame="site")
    for _ in range(2):
        arrays = collect(client, MarkerArray, "/vpr/markers", LATCHED)
        client.wait_for(lambda a=arrays: bool(a), "markers")  # type: ignore[misc]
    markers = [marker for marker in arrays[-1].markers if marker.ns == "places"]
    assert [point.x for point in markers[0].points] == [0.0, 1.0, 2.0]
    assert markers[0].header.frame_id == "site"
    count = len(arrays)
    assert client.call(Trigger, "/vpr/reset_map").success
    client.wait_for(lambda: len(arrays) > count, "markers of the empty map")
    assert [marker.action for marker in arrays[-1].markers] == [Marker.DELETEALL]


@pytest.mark.skipif(importlib.util.find_spec("tf2_ros") is not None, reason="tf2_ros is installed")
def test_tf_without_tf2_is_refused_with_what_to_install(start_node: StartNode) -> None:
    node = start_node(mode="mapping", pose_source="tf")
    assert node.process.wait(PATIENCE_S) == 1
    assert "tf2_ros is not installed: install it" in node.log
    assert "Traceback" not in node.log


def test_where_poses_are_lost_places_are_made_once_a_second(
    start_node: StartNode, client: Client
) -> None:
    start_node(mode="mapping", pose_source="odometry", keyframe_metres=0.5, keyframe_distance=0.0)
    publisher = client.image_publisher()
    for number in range(20):
        message = image_message(view(number), 100 + number // 10)
        message.header.stamp.nanosec = number % 10 * 10**8
        publisher.publish(message)
        client.wait_for_answers(number + 1)
    told = client.wait_for_diagnostics(lambda values: values["images processed"] == "20")
    assert told["places added"] == "2"
    assert "images become places only every 1 s" in told["summary"]
