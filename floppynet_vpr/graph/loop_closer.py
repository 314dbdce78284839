# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From images and odometry to loop closures and a pose graph, without ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection import DetectorOptions
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction import Extractor, create_extractor, load_network
from floppynet_vpr.extraction.external_network import ExternalNetwork
from floppynet_vpr.graph.optimisation import Optimised, optimise
from floppynet_vpr.graph.places import DEFAULT_OPTIONS, Match, Places
from floppynet_vpr.graph.pose_graph import (
    LOOP,
    ODOMETRY,
    Edge,
    Node,
    PoseGraph,
    diagonal_covariance,
)
from floppynet_vpr.graph.se3 import Transform
from floppynet_vpr.mapping.keyframes import KeyframeLimits
from floppynet_vpr.network.weights import NetworkWeights

_STEP_M: Final = 0.01
_STEP_RAD: Final = 0.001
"""What odometry is off by however short the way, as standard deviations."""


@dataclass(frozen=True)
class LoopCloserOptions:
    """How a pose graph is made.

    `places`: which images become places, and so nodes. `detector`: how loop closures are detected.
    `drift` and `turn_deg`: by what share of the way, and how many degrees, odometry is off on 10 m,
    as standard deviations; they grow with the root of the way. Of a turn it is off by the share
    `drift`, too. `loop_places`, `loop_metres` and
    `loop_deg`: by how many places along the way, how many metres to any side and how many degrees
    the robot may be off the place recognised.
    """

    places: KeyframeLimits = field(default=KeyframeLimits(metres=1.0, degrees=15.0))
    detector: DetectorOptions = DEFAULT_OPTIONS
    drift: float = 0.02
    turn_deg: float = 1.0
    loop_places: float = 2.0
    loop_metres: float = 1.0
    loop_deg: float = 5.0


@dataclass(frozen=True)
class Step:
    """What came of an image.

    `matches`: the nodes that it may show, best first; `closes`: the first of them, where that is a
    loop closure; `node`: what it became, if it showed something new.
    """

    matches: tuple[Match, ...]
    closes: Match | None
    node: Node | None


class LoopCloser:
    """Takes the images of a drive, one by one, and makes a pose graph of it.

    `graph` has a node for each place, edges of odometry from one to the next, and an edge for each
    place that was recognised: as if the robot had stood there again, with a covariance that says
    how far off that may be.
    """

    def __init__(
        self,
        weights: NetworkWeights | ExternalNetwork | None = None,
        options: LoopCloserOptions | None = None,
    ) -> None:
        """Start a drive, with the network that the package carries unless told otherwise.

        Other networks come from `extraction.load_network`.
        """
        self.options = options or LoopCloserOptions()
        self.graph = PoseGraph()
        self._weights = weights or load_network()
        self._places = Places(self._weights, self.options.detector, self.options.places)
        self._extractor: Extractor | None = None

    def add(
        self, rgb: NDArray[np.uint8], stamp_ns: int, odometry: Transform, name: str = ""
    ) -> Step:
        """Take an (H, W, 3) uint8 RGB image, when it was taken, and where by odometry.

        Raises VprError for an image that was taken before the last place.
        """
        if self._extractor is None:
            self._extractor = create_extractor(self._weights)
        return self.add_described(self._extractor.describe(rgb), stamp_ns, odometry, name)

    def add_described(
        self, descriptor: NDArray[np.float32], stamp_ns: int, odometry: Transform, name: str = ""
    ) -> Step:
        """Take an image as `add`, by its (d,) float32 descriptor of norm 1."""
        nodes = self.graph.nodes
        if nodes and stamp_ns < nodes[-1].stamp_ns:
            raise VprError(
                f"an image of {stamp_ns / 1e9:.3f} s comes after a place of "
                f"{nodes[-1].stamp_ns / 1e9:.3f} s: images are taken in the order of their stamps"
            )
        answer = self._places.ask(descriptor, stamp_ns, odometry)
        closes = answer.matches[0] if answer.detected else None
        if not answer.new:
            return Step(answer.matches, closes, None)
        node = self.graph.add_node(stamp_ns, odometry)
        if node.id:
            self._link(nodes[-2], node)
        if closes is not None:
            self.graph.add_edge(
                Edge(closes.node, node.id, Transform(), self._loop_covariance(closes.node), LOOP)
            )
        self._places.add(descriptor, name or f"{stamp_ns / 1e9:.3f}", stamp_ns, node.id)
        return Step(answer.matches, closes, node)

    def optimise(self) -> Optimised:
        """Move the nodes to where they fit odometry and loop closures best; see `optimise`."""
        return optimise(self.graph)

    def _link(self, before: Node, node: Node) -> None:
        moved = before.pose.inverse() @ node.pose
        tens = moved.metres / 10
        covariance = diagonal_covariance(
            math.hypot(_STEP_M, 10 * self.options.drift * math.sqrt(tens)),
            math.hypot(
                _STEP_RAD,
                math.radians(self.options.turn_deg) * math.sqrt(tens),
                self.options.drift * moved.radians,
            ),
        )
        self.graph.add_edge(Edge(before.id, node.id, moved, covariance, ODOMETRY))

    def _loop_covariance(self, node: int) -> NDArray[np.float64]:
        """How far from a place one may be where it is recognised.

        Along the way (x) anywhere up to `loop_places` off is alike, which has a standard deviation
        of the whole by the root of 3.
        """
        options, nodes = self.options, self.graph.nodes
        near = nodes[max(node - 1, 0)], nodes[min(node + 1, len(nodes) - 1)]
        spacing = (near[0].pose.inverse() @ near[1].pose).metres / max(near[1].id - near[0].id, 1)
        covariance = diagonal_covariance(options.loop_metres, math.radians(options.loop_deg))
        covariance[0, 0] += (options.loop_places * spacing) ** 2 / 3
        return covariance
