# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From images and odometry to loop closures and a pose graph, without ROS."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection import DetectorOptions
from floppynet_vpr.detection.match_error import MatchError
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction import Extractor, create_extractor
from floppynet_vpr.graph.drive_graph import DRIFT, TURN_DEG, DriveGraph
from floppynet_vpr.graph.optimisation import Optimised, optimise
from floppynet_vpr.graph.places import DEFAULT_OPTIONS, Match, Places
from floppynet_vpr.graph.pose_graph import Node, PoseGraph
from floppynet_vpr.graph.se3 import Transform
from floppynet_vpr.mapping.keyframes import KeyframeLimits
from floppynet_vpr.network.weights import NetworkWeights, load_weights


@dataclass(frozen=True)
class LoopCloserOptions:
    """How a pose graph is made.

    `places`: which images become places, and so nodes. `detector`: how loop closures are detected.
    `drift` and `turn_deg`: how far odometry is off, see `DriveGraph`. `match_error`: how far the
    robot may be off the place recognised.
    """

    places: KeyframeLimits = field(default=KeyframeLimits(metres=1.0, degrees=15.0))
    detector: DetectorOptions = DEFAULT_OPTIONS
    drift: float = DRIFT
    turn_deg: float = TURN_DEG
    match_error: MatchError = field(default=MatchError())


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
        self, weights: NetworkWeights | None = None, options: LoopCloserOptions | None = None
    ) -> None:
        """Start a drive, with the network that the package carries unless told otherwise."""
        self.options = options or LoopCloserOptions()
        self._drive = DriveGraph(self.options.drift, self.options.turn_deg)
        self._weights = weights or load_weights(None)
        self._places = Places(self._weights, self.options.detector, self.options.places)
        self._extractor: Extractor | None = None

    @property
    def graph(self) -> PoseGraph:
        """The pose graph as it is now."""
        return self._drive.graph

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
        """Take an image as `add`, by its (9216,) float32 descriptor of norm 1."""
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
        node = self._drive.node(self._drive.go_on(stamp_ns, odometry))
        if closes is not None:
            self._drive.close(closes.node, node.id, self._loop_covariance(closes))
        self._places.add(descriptor, name or f"{stamp_ns / 1e9:.3f}", stamp_ns, node.id)
        return Step(answer.matches, closes, node)

    def optimise(self) -> Optimised:
        """Move the nodes to where they fit odometry and loop closures best; see `optimise`."""
        return optimise(self.graph)

    def _loop_covariance(self, match: Match) -> NDArray[np.float64]:
        """How far from a place one may be where it is recognised, in its frame."""
        nodes, node = self.graph.nodes, match.node
        near = nodes[max(node - 1, 0)], nodes[min(node + 1, len(nodes) - 1)]
        spacing = (near[0].pose.inverse() @ near[1].pose).metres / max(near[1].id - near[0].id, 1)
        return self.options.match_error.covariance(spacing, match.shift)
