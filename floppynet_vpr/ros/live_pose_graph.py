# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The pose graph of the drive while it is driven, for RViz and for other back-ends."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from functools import partial
from typing import Any

from geometry_msgs.msg import Point
from rclpy.node import Node
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker

from floppynet_vpr.detection.match_error import MatchError, way_at
from floppynet_vpr.graph import pose_graph
from floppynet_vpr.graph.drive_graph import DriveGraph
from floppynet_vpr.graph.pose_graph import LOOP, ODOMETRY, Edge
from floppynet_vpr.graph.se3 import Transform
from floppynet_vpr.mapping import Pose
from floppynet_vpr.mapping.keyframes import degrees_between, metres_between
from floppynet_vpr.ros.growing_markers import GrowingMarkers, MarkerTopic, point_of
from floppynet_vpr.ros.messages import pose_graph_message
from floppynet_vpr.ros.recognition import Recognised, Recognition
from floppynet_vpr.stamps import nanoseconds

MOST_NODES = 5000
"""Nodes that are kept; the oldest go first."""

_NODE_COLOUR = ColorRGBA(r=0.95, g=0.6, b=0.1, a=1.0)
_ODOMETRY_COLOUR = ColorRGBA(r=0.6, g=0.6, b=0.6, a=1.0)
_LOOP_COLOUR = ColorRGBA(r=0.9, g=0.1, b=0.5, a=1.0)


class LivePoseGraph:
    """Keeps the graph, and publishes ~/pose_graph and ~/pose_graph_tools while somebody listens.

    Nodes are the places that the drive adds to the map; of a drive that adds none, images as far
    apart as the keyframe settings say. Places of the map that are recognised become nodes as well.
    Everything is in the frame of the poses: loops with places of other frames are left out.
    """

    def __init__(self, node: Node, parts: Recognition) -> None:
        """Offer the topics, the second one where pose_graph_tools_msgs is installed."""
        self._parts = parts
        self._error = MatchError()
        self._lock = threading.Lock()
        self._drive = DriveGraph(most=MOST_NODES)
        self._keys: dict[int, int] = {}
        self._last: tuple[int, Pose] | None = None
        self._drawing = _Drawing(node)
        self._telling = create_telling(node)

    def close(self) -> None:
        """Offer the topics no more."""
        self._drawing.close()
        if self._telling is not None:
            self._telling.close()

    def take(self, header: Header, result: Recognised) -> None:
        """Take what came of an image with this header (worker's thread)."""
        pose, stamp_ns = result.pose, nanoseconds(header.stamp)
        if pose is None:
            return
        with self._lock:
            if self._last is not None and stamp_ns < self._last[0]:
                self._begin_anew()  # the clock was set back: another drive
            if not self._is_node(pose, result):
                return
            self._last = stamp_ns, pose
            here = self._drive.go_on(stamp_ns, _transform(pose))
            if result.added is not None:
                self._keys[result.added.id] = here
            if result.detection.detected:
                self._close_loop(here, result)

    def publish(self) -> None:
        """Send what is new, while somebody listens (executor's thread)."""
        with self._lock:
            graph = pose_graph.PoseGraph(
                list(self._drive.graph.nodes), list(self._drive.graph.edges)
            )
            drive, first = self._drive, self._drive.forgotten
        frame = self._parts.poses.frame
        self._drawing.publish(graph, (drive, first), frame)
        if self._telling is not None:
            self._telling.publish(graph, drive, first, frame)

    def _begin_anew(self) -> None:
        self._drive = DriveGraph(most=MOST_NODES)
        self._keys = {}
        self._last = None

    def _is_node(self, pose: Pose, result: Recognised) -> bool:
        """Whether an image becomes a node: with the map growing, if it is a keyframe."""
        if self._parts.mapping is not None:
            return result.keyframe
        limits = self._parts.settings.keyframe_limits
        if self._last is None or not (limits.metres or limits.degrees):
            return True
        _, last = self._last
        return (0 < limits.metres <= metres_between(last, pose)) or (
            0 < limits.degrees <= degrees_between(last, pose)
        )

    def _close_loop(self, here: int, result: Recognised) -> None:
        best, places = result.detection.candidates[0], result.reference.places
        frame = self._parts.poses.frame
        if best.place.pose is None or self._parts.map.frame_of(best.place, frame) != frame:
            return
        known = self._keys.get(best.place.id, -1)
        if known not in self._drive.keys:  # of an earlier drive, or forgotten since
            known = self._drive.stand(best.place.stamp_ns, _transform(best.place.pose))
            self._keys[best.place.id] = known
        if len(self._keys) > 2 * MOST_NODES:
            kept = self._drive.keys
            self._keys = {place: key for place, key in self._keys.items() if key in kept}
        if here in self._drive.keys:
            _, spacing = way_at(places, best.index)
            covariance = self._error.covariance(spacing, best.shift[0])
            self._drive.close(known, here, covariance, Transform())


class _Drawing(MarkerTopic):
    """~/pose_graph: nodes as points, odometry and loops as lines; latched."""

    def __init__(self, node: Node) -> None:
        super().__init__(node, "~/pose_graph")
        self._points = GrowingMarkers("nodes", Marker.SPHERE_LIST, _NODE_COLOUR)
        self._lines = {
            ODOMETRY: GrowingMarkers("odometry", Marker.LINE_LIST, _ODOMETRY_COLOUR),
            LOOP: GrowingMarkers("loops", Marker.LINE_LIST, _LOOP_COLOUR),
        }

    def publish(self, graph: pose_graph.PoseGraph, version: tuple[object, ...], frame: str) -> None:
        """Send what is new to those who know the rest, everything when somebody is new."""

        def points(first: int, end: int) -> Iterator[Point]:
            return (point_of(node.pose) for node in graph.nodes[first:end])

        def ends(edges: Sequence[Edge], first: int, end: int) -> Iterator[Point]:
            for edge in edges[first:end]:
                yield point_of(graph.nodes[edge.start].pose)
                yield point_of(graph.nodes[edge.end].pose)

        def draw(header: Header, anew: bool) -> list[Marker]:
            if anew:
                for part in (self._points, *self._lines.values()):
                    part.sent = 0
            markers = self._points.new(header, len(graph.nodes), points)
            for kind, lines in self._lines.items():
                edges = [edge for edge in graph.edges if edge.kind == kind]
                markers += lines.new(header, len(edges), partial(ends, edges))
            return markers

        self.send(frame, version, draw)


class _Telling:
    """~/pose_graph_tools: nodes and edges for back-ends, as pose_graph_tools_msgs/PoseGraph."""

    def __init__(self, node: Node, kinds: Any) -> None:
        self._node = node
        self._kinds = kinds
        # Every message has what is new: none may be lost.
        self._publisher = node.create_publisher(kinds.PoseGraph, "~/pose_graph_tools", 100)
        self._listeners = 0
        self._sent: tuple[object, int] = None, 0

    def close(self) -> None:
        self._node.destroy_publisher(self._publisher)

    def publish(self, graph: pose_graph.PoseGraph, drive: object, first: int, frame: str) -> None:
        """Send what is new to those who know the rest, everything when somebody is new."""
        listeners, former = self._publisher.get_subscription_count(), self._listeners
        self._listeners = listeners
        if not listeners:
            return
        anew = listeners > former or self._sent[0] is not drive
        known = 0 if anew else max(0, self._sent[1] - first)
        self._sent = drive, first + len(graph.nodes)
        if known < len(graph.nodes):
            self._publisher.publish(pose_graph_message(self._kinds, graph, first, known, frame))


def create_telling(node: Node) -> _Telling | None:
    """Offer ~/pose_graph_tools; None where pose_graph_tools_msgs is not installed."""
    try:
        kinds = importlib.import_module("pose_graph_tools_msgs.msg")
    except ImportError:
        return None
    return _Telling(node, kinds)


def _transform(pose: Pose) -> Transform:
    return Transform(*astuple(pose))
