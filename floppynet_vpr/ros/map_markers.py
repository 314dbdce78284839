# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Places and loop closures as markers for RViz, sent only while somebody looks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from geometry_msgs.msg import Point
from rclpy.node import Node
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker

from floppynet_vpr.mapping import Pose
from floppynet_vpr.ros.growing_markers import GrowingMarkers, MarkerTopic, point_of
from floppynet_vpr.ros.map_in_use import MapInUse

_CLOSURES = 1000
_PLACE_COLOUR = ColorRGBA(r=0.1, g=0.45, b=0.9, a=1.0)
_CLOSURE_COLOUR = ColorRGBA(r=0.1, g=0.8, b=0.2, a=1.0)


class MapMarkers(MarkerTopic):
    """Publishes ~/markers: places with poses as points, the last 1,000 loop closures as lines."""

    def __init__(self, node: Node, map_in_use: MapInUse) -> None:
        """Offer the topic; it is latched (transient local)."""
        super().__init__(node, "~/markers")
        self._map = map_in_use
        self._closures: deque[tuple[Pose, Pose]] = deque(maxlen=_CLOSURES)
        self._closed = 0
        self._places = GrowingMarkers("places", Marker.SPHERE_LIST, _PLACE_COLOUR)
        self._lines = GrowingMarkers("loop closures", Marker.LINE_LIST, _CLOSURE_COLOUR)
        self._sent_closures = 0

    def loop_closure(self, here: Pose, place: Pose) -> None:
        """Remember a loop closure from where the robot was to the place it recognised."""
        self._closures.append((here, place))
        self._closed += 1

    def publish(self, frame: str) -> None:
        """Send what is new to those who know the rest, everything when somebody is new."""
        self.send(frame, self._map.version[0], self._new_markers)

    def _new_markers(self, header: Header, anew: bool) -> list[Marker]:
        if anew:
            self._places.sent = self._sent_closures = 0
        places = self._map.places

        def points(first: int, end: int) -> Iterator[Point]:
            return (point_of(place.pose) for place in places[first:end] if place.pose is not None)

        markers = self._places.new(header, len(places), points)
        if self._closed > self._sent_closures:
            self._sent_closures = self._closed
            ends = [point_of(pose) for pair in list(self._closures) for pose in pair]
            markers.append(self._lines.marker(header, 0, ends))
        return markers
