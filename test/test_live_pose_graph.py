# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The pose graph of a drive is there while it is driven, for those who listen."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from geometry_msgs.msg import Pose
from nav_msgs.msg import Odometry
from node_harness import Client, StartNode
from std_msgs.msg import Header
from test_vpr_node_poses import LATCHED, Robot, collect
from visualization_msgs.msg import Marker, MarkerArray

from floppynet_vpr.graph.drive_graph import DriveGraph
from floppynet_vpr.graph.se3 import Transform
from floppynet_vpr.ros.live_pose_graph import create_telling

SETTINGS = {
    "mode": "both",
    "pose_source": "odometry",
    "matching": "rigid",
    "sequence": "none",
    "threshold": 0.5,
    "exclude_images": 0,
    "exclude_seconds": 0.0,
}


def drawn(arrays: list[MarkerArray]) -> dict[str, list[tuple[float, float]]]:
    """What is to be seen after the messages, by name space."""
    shown: dict[tuple[str, int], Marker] = {}
    for marker in (marker for array in arrays for marker in array.markers):
        if marker.action == Marker.DELETEALL:
            shown.clear()
        else:
            shown[marker.ns, marker.id] = marker
    points: dict[str, list[tuple[float, float]]] = {}
    for (space, _), marker in sorted(shown.items()):
        points.setdefault(space, []).extend((point.x, point.y) for point in marker.points)
    return points


def test_nodes_odometry_and_loops_are_drawn_for_early_and_late_listeners(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    node = start_node(**SETTINGS)
    early = collect(client, MarkerArray, "/vpr/pose_graph", LATCHED)
    robot = Robot(client, Odometry, "/odom")
    for second in range(1, 6):
        robot.at(second, 2.0 * second)
        robot.wait_until_known(second)
        robot.sees(5 * second, second)
    # It comes back to the second place, and odometry is off by 0.7 m.
    robot.at(6, 4.7)
    robot.wait_until_known(6)
    answer = robot.sees(10, 6)
    assert answer.detected
    nodes = [(x, 0.0) for x in (2.0, 4.0, 6.0, 8.0, 10.0, 4.7)]
    client.wait_for(lambda: bool(drawn(early).get("loops")), "a loop")
    late = collect(client, MarkerArray, "/vpr/pose_graph", LATCHED)
    client.wait_for(lambda: bool(drawn(late)) and drawn(late) == drawn(early), "all of it")
    ways = drawn(late)
    assert ways["nodes"] == nodes
    assert ways["loops"] == [(4.0, 0.0), (4.7, 0.0)]
    steps = list(zip(ways["odometry"][::2], ways["odometry"][1::2], strict=True))
    assert steps == list(zip(ways["nodes"], ways["nodes"][1:], strict=False))
    assert late[-1].markers[0].header.frame_id == "odom"
    assert node.stop() == 0
    assert "Traceback" not in node.log


@dataclass
class PoseGraphNode:
    """As pose_graph_tools_msgs has it."""

    robot_id: int = 0
    key: int = 0
    pose: Pose = field(default_factory=Pose)
    header: Header = field(default_factory=Header)


@dataclass
class PoseGraphEdge:
    """As pose_graph_tools_msgs has it."""

    ODOM: ClassVar[int] = 0
    LOOPCLOSE: ClassVar[int] = 1
    robot_from: int = 0
    robot_to: int = 0
    key_from: int = 0
    key_to: int = 0
    type: int = 0
    pose: Pose = field(default_factory=Pose)
    covariance: Any = None
    header: Header = field(default_factory=Header)


@dataclass
class PoseGraph:
    """As pose_graph_tools_msgs has it."""

    header: Header = field(default_factory=Header)
    nodes: list[PoseGraphNode] = field(default_factory=list)
    edges: list[PoseGraphEdge] = field(default_factory=list)


class Listened:
    """A publisher with as many listeners as the test says."""

    def __init__(self, kind: type, topic: str, depth: int) -> None:
        self.kind, self.topic = kind, topic
        self.listeners = 0
        self.sent: list[Any] = []

    def get_subscription_count(self) -> int:
        return self.listeners

    def publish(self, message: Any) -> None:
        assert type(message) is self.kind
        self.sent.append(message)


def test_back_ends_get_what_is_new_and_newcomers_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against a stand-in of pose_graph_tools_msgs with the fields of its definition."""
    offered: list[Listened] = []

    def create_publisher(*arguments: Any) -> Listened:
        offered.append(Listened(*arguments))
        return offered[-1]

    node: Any = SimpleNamespace(create_publisher=create_publisher)
    monkeypatch.setitem(sys.modules, "pose_graph_tools_msgs.msg", None)
    assert create_telling(node) is None
    messages = ModuleType("pose_graph_tools_msgs.msg")
    messages.__dict__.update(
        PoseGraph=PoseGraph, PoseGraphNode=PoseGraphNode, PoseGraphEdge=PoseGraphEdge
    )
    monkeypatch.setitem(sys.modules, "pose_graph_tools_msgs", ModuleType("pose_graph_tools_msgs"))
    monkeypatch.setitem(sys.modules, "pose_graph_tools_msgs.msg", messages)
    telling = create_telling(node)
    assert telling is not None
    (publisher,) = offered
    assert (publisher.kind, publisher.topic) == (PoseGraph, "~/pose_graph_tools")
    drive = DriveGraph(most=6)

    def told() -> tuple[list[int], list[tuple[int, int, int]]]:
        before = len(publisher.sent)
        telling.publish(drive.graph, drive, drive.forgotten, "odom")
        new = publisher.sent[before:]
        return (
            [node.key for message in new for node in message.nodes],
            [(e.key_from, e.key_to, e.type) for message in new for e in message.edges],
        )

    for step in range(3):
        drive.go_on(10**9 * step, Transform(float(step)))
    assert told() == ([], [])
    publisher.listeners = 1
    assert told() == ([0, 1, 2], [(0, 1, 0), (1, 2, 0)])
    assert told() == ([], [])
    here = drive.go_on(3 * 10**9 + 5, Transform(0.1))
    drive.close(0, here, 2 * np.eye(6), Transform())
    assert told() == ([3], [(2, 3, 0), (0, 3, 1)])
    message = publisher.sent[-1]
    assert (message.header.frame_id, message.header.stamp.sec) == ("odom", 3)
    assert message.nodes[0].header.stamp.nanosec == 5 and message.nodes[0].pose.position.x == 0.1
    assert list(message.edges[1].covariance[:8]) == [2, 0, 0, 0, 0, 0, 0, 2]
    assert message.edges[0].pose.position.x == pytest.approx(-1.9)
    for step in range(4, 9):  # the oldest are forgotten meanwhile
        drive.go_on(10**9 * step, Transform(float(step)))
    keys, edges = told()
    assert keys == [4, 5, 6, 7, 8] and edges[0] == (3, 4, 0)
    publisher.listeners = 2
    assert told()[0] == list(drive.keys)
