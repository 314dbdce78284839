# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From images and odometry to loop closures and a pose graph, without ROS."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection import DetectorOptions
from floppynet_vpr.detection.relative_pose import QUERY_FEATURES, RelativePose
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction import Extractor, create_extractor, load_network
from floppynet_vpr.extraction.external_network import ExternalNetwork
from floppynet_vpr.extraction.feature_points import with_points
from floppynet_vpr.extraction.local_features import LocalFeatures, extract_features
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
from floppynet_vpr.imaging.camera_model import CameraModel
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
class RobotCamera:
    """A calibrated camera on a robot: `mount` is the pose of its optical frame on the robot.

    That has z forward, x right and y down (REP 103); the usual one looks ahead from the robot's
    origin.
    """

    model: CameraModel
    mount: Transform = field(default=Transform(0.0, 0.0, 0.0, -0.5, 0.5, -0.5, 0.5))


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
    how far off that may be. With a calibrated camera and the depth of images, the edge says from
    where exactly the place was seen, if enough corners agree.
    """

    def __init__(
        self,
        weights: NetworkWeights | ExternalNetwork | None = None,
        options: LoopCloserOptions | None = None,
        camera: RobotCamera | None = None,
    ) -> None:
        """Start a drive, with the network that the package carries unless told otherwise.

        Other networks come from `extraction.load_network`.
        """
        self._camera = camera
        self.options = options or LoopCloserOptions()
        self.graph = PoseGraph()
        self.transforms: set[int] = set()
        """Which of the graph's loops tell from where the place was seen."""
        self._weights = weights or load_network()
        self._places = Places(
            self._weights,
            self.options.detector,
            self.options.places,
            None if camera is None else camera.model,
        )
        self._extractor: Extractor | None = None

    def add(
        self,
        rgb: NDArray[np.uint8],
        stamp_ns: int,
        odometry: Transform,
        name: str = "",
        depth: NDArray[np.float32] | None = None,
    ) -> Step:
        """Take an (H, W, 3) uint8 RGB image, when it was taken, and where by odometry.

        `depth` is (H, W) float32, metres along the optical axis, not a number where unknown; it
        takes a camera. Raises VprError for an image that was taken before the last place, or that
        is not of the camera's size.
        """
        if self._extractor is None:
            self._extractor = create_extractor(self._weights)
        features = None
        if self._camera is not None:
            self._camera.model.require_size(rgb)
            features = extract_features(rgb, QUERY_FEATURES)
        descriptor = self._extractor.describe(rgb)
        return self.add_described(descriptor, stamp_ns, odometry, name, features, lambda: depth)

    def add_described(
        self,
        descriptor: NDArray[np.float32],
        stamp_ns: int,
        odometry: Transform,
        name: str = "",
        features: LocalFeatures | None = None,
        depth: Callable[[], NDArray[np.float32] | None] | None = None,
    ) -> Step:
        """Take an image as `add`, by its (d,) float32 descriptor of norm 1.

        With a camera, by its local features as well; `depth` is asked if the image is a new place.
        """
        nodes = self.graph.nodes
        if nodes and stamp_ns < nodes[-1].stamp_ns:
            raise VprError(
                f"an image of {stamp_ns / 1e9:.3f} s comes after a place of "
                f"{nodes[-1].stamp_ns / 1e9:.3f} s: images are taken in the order of their stamps"
            )
        answer = self._places.ask(descriptor, stamp_ns, odometry, features)
        closes = answer.matches[0] if answer.detected else None
        if not answer.new:
            return Step(answer.matches, closes, None)
        node = self.graph.add_node(stamp_ns, odometry)
        if node.id:
            self._link(nodes[-2], node)
        if closes is not None:
            transform, covariance = self._loop(closes.node, answer.relative)
            self.graph.add_edge(Edge(closes.node, node.id, transform, covariance, LOOP))
            if answer.relative is not None:
                self.transforms.add(len(self.graph.loops) - 1)
        if self._camera is not None and features is not None and depth is not None:
            known = depth()
            if known is not None:
                features = with_points(features, known, self._camera.model)
        name = name or f"{stamp_ns / 1e9:.3f}"
        self._places.add(descriptor, name, stamp_ns, node.id, features)
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

    def _loop(
        self, node: int, relative: RelativePose | None
    ) -> tuple[Transform, NDArray[np.float64]]:
        """The pose of the robot as seen from where it stood at a node, and its covariance."""
        covariance = self._loop_covariance(node)
        if relative is None or self._camera is None:
            return Transform(), covariance
        mount = self._camera.mount
        seen = Transform.of_matrix(relative.rotation, relative.translation)
        spread = mount.adjoint @ relative.covariance @ mount.adjoint.T
        return mount @ seen @ mount.inverse(), (spread + spread.T) / 2

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
