# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Places and loop closures as markers for RViz, sent only while somebody looks.

Places go out in markers of 500. Of these only the ones that have grown are sent again, so that a
map of any size costs next to nothing once it was sent.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from geometry_msgs.msg import Point
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from floppynet_vpr.mapping import Pose
from floppynet_vpr.ros.map_in_use import MapInUse

_PLACES = 500
_CLOSURES = 1000
_POINT_METRES = 0.2
_LINE_METRES = 0.05
_PLACE_COLOUR = ColorRGBA(r=0.1, g=0.45, b=0.9, a=1.0)
_CLOSURE_COLOUR = ColorRGBA(r=0.1, g=0.8, b=0.2, a=1.0)


class MapMarkers:
    """Publishes ~/markers: places with poses as points, the last 1,000 loop closures as lines."""

    def __init__(self, node: Node, map_in_use: MapInUse) -> None:
        """Offer the topic; it is latched (transient local)."""
        self._node = node
        self._map = map_in_use
        self._publisher = node.create_publisher(
            MarkerArray,
            "~/markers",
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL),
        )
        self._closures: deque[tuple[Pose, Pose]] = deque(maxlen=_CLOSURES)
        self._closed = 0
        self._listeners = 0
        self._sent: tuple[object, ...] = ()
        self._sent_places = 0
        self._sent_closures = 0

    def close(self) -> None:
        """Offer it no more."""
        self._node.destroy_publisher(self._publisher)

    def loop_closure(self, here: Pose, place: Pose) -> None:
        """Remember a loop closure from where the robot was to the place it recognised."""
        self._closures.append((here, place))
        self._closed += 1

    def publish(self, frame: str) -> None:
        """Send what is new to those who know the rest, everything when somebody is new."""
        listeners = self._publisher.get_subscription_count()
        current = (self._map.version[0], frame)
        anew = listeners > self._listeners or current != self._sent
        self._listeners = listeners
        if not listeners:
            self._sent = ()
            return
        header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id=frame)
        markers = self._new_markers(header, anew)
        self._sent = current
        if markers:
            self._publisher.publish(MarkerArray(markers=markers))

    def _new_markers(self, header: Header, anew: bool) -> list[Marker]:
        markers = []
        if anew:
            markers.append(Marker(header=header, action=Marker.DELETEALL))
            self._sent_places = self._sent_closures = 0
        places = self._map.places
        count = len(places)
        if count > self._sent_places:
            first = self._sent_places // _PLACES * _PLACES
            for start in range(first, count, _PLACES):
                poses = [place.pose for place in places[start : min(start + _PLACES, count)]]
                points = [_point(pose) for pose in poses if pose is not None]
                if points:
                    markers.append(_places_marker(header, start // _PLACES, points))
            self._sent_places = count
        if self._closed > self._sent_closures:
            self._sent_closures = self._closed
            ends = [_point(pose) for pair in list(self._closures) for pose in pair]
            markers.append(_closures_marker(header, ends))
        return markers


def _places_marker(header: Header, number: int, points: list[Point]) -> Marker:
    marker = _marker(header, "places", number, Marker.SPHERE_LIST, _PLACE_COLOUR, points)
    marker.scale.x = marker.scale.y = marker.scale.z = _POINT_METRES
    return marker


def _closures_marker(header: Header, ends: list[Point]) -> Marker:
    marker = _marker(header, "loop closures", 0, Marker.LINE_LIST, _CLOSURE_COLOUR, ends)
    marker.scale.x = _LINE_METRES
    return marker


def _marker(
    header: Header, space: str, number: int, kind: int, colour: Any, points: list[Point]
) -> Marker:
    marker = Marker(header=header, ns=space, id=number, type=kind, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    marker.color = colour
    marker.points = points
    return marker


def _point(pose: Pose) -> Point:
    return Point(x=pose.x, y=pose.y, z=pose.z)
