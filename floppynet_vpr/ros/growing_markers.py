# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Points of which there are more and more, as markers of which only new ones are sent.

They go out in markers of 500. Of these only the ones that have grown are sent again, so that any
number of points costs next to nothing once it was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from geometry_msgs.msg import Point
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

POINT_METRES = 0.2
LINE_METRES = 0.05

_AT_ONCE = 500


class MarkerTopic:
    """A latched topic of markers: what is new goes to those who know the rest."""

    def __init__(self, node: Node, name: str) -> None:
        self._node = node
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._publisher = node.create_publisher(MarkerArray, name, latched)
        self._listeners = 0
        self._shown: tuple[object, ...] = ()

    def close(self) -> None:
        """Offer it no more."""
        self._node.destroy_publisher(self._publisher)

    def send(
        self, frame: str, version: object, draw: Callable[[Header, bool], list[Marker]]
    ) -> None:
        """While somebody listens, send what `draw` gives: everything, or only what is new.

        It is everything where somebody is new, and for another version or frame.
        """
        listeners, former = self._publisher.get_subscription_count(), self._listeners
        self._listeners = listeners
        if not listeners:
            return
        header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id=frame)
        anew = listeners > former or self._shown != (frame, version)
        self._shown = frame, version
        markers = [Marker(header=header, action=Marker.DELETEALL)] if anew else []
        markers += draw(header, anew)
        if markers:
            self._publisher.publish(MarkerArray(markers=markers))


class GrowingMarkers:
    """Things in the name space `space`, drawn as markers of a kind: points, or pairs of ends."""

    def __init__(self, space: str, kind: int, colour: ColorRGBA) -> None:
        """Start with nothing sent; `kind` is SPHERE_LIST or LINE_LIST."""
        self._space = space
        self._kind = kind
        self._colour = colour
        self.sent = 0
        """How many things were sent; 0 sends all of them again."""

    def new(
        self, header: Header, count: int, points: Callable[[int, int], Iterable[Point]]
    ) -> list[Marker]:
        """Markers of what is new among `count` things.

        `points` gives those of the things from a first one to before a last one.
        """
        markers = []
        if count > self.sent:
            first = self.sent // _AT_ONCE * _AT_ONCE
            for start in range(first, count, _AT_ONCE):
                drawn = list(points(start, min(start + _AT_ONCE, count)))
                if drawn:
                    markers.append(self.marker(header, start // _AT_ONCE, drawn))
            self.sent = count
        return markers

    def marker(self, header: Header, number: int, points: list[Point]) -> Marker:
        """One marker, of the points given."""
        marker = Marker(header=header, ns=self._space, id=number, type=self._kind)
        marker.action = Marker.ADD
        marker.pose.orientation.w = 1.0
        marker.color = self._colour
        marker.points = points
        if self._kind == Marker.LINE_LIST:
            marker.scale.x = LINE_METRES
        else:
            marker.scale.x = marker.scale.y = marker.scale.z = POINT_METRES
        return marker


def point_of(pose: Any) -> Point:
    """The position of anything that has x, y and z."""
    return Point(x=pose.x, y=pose.y, z=pose.z)
