# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From images and odometry to loop closures and a pose graph, without ROS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection import DetectorOptions
from floppynet_vpr.detection.match_error import MatchError
from floppynet_vpr.detection.relative_pose import QUERY_FEATURES, RelativePose
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction import Extractor, create_extractor, load_network
from floppynet_vpr.extraction.external_network import ExternalNetwork
from floppynet_vpr.extraction.feature_points import with_points
from floppynet_vpr.extraction.local_features import LocalFeatures, extract_features
from floppynet_vpr.graph.drive_graph import DRIFT, TURN_DEG, DriveGraph
from floppynet_vpr.graph.optimisation import Optimised, optimise
from floppynet_vpr.graph.places import DEFAULT_OPTIONS, Match, Places
from floppynet_vpr.graph.pose_graph import Node, PoseGraph
from floppynet_vpr.graph.se3 import Transform
from floppynet_vpr.imaging.camera_model import CameraModel
from floppynet_vpr.mapping.keyframes import KeyframeLimits
from floppynet_vpr.network.weights import NetworkWeights


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
        self._drive = DriveGraph(self.options.drift, self.options.turn_deg)
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

    @property
    def graph(self) -> PoseGraph:
        """The pose graph as it is now."""
        return self._drive.graph

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
        node = self._drive.node(self._drive.go_on(stamp_ns, odometry))
        if closes is not None:
            moved, covariance = self._loop(closes, answer.relative)
            self._drive.close(closes.node, node.id, covariance, moved)
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

    def _loop(
        self, match: Match, relative: RelativePose | None
    ) -> tuple[Transform, NDArray[np.float64]]:
        """The pose of the robot as seen from where it stood at a node, and its covariance."""
        if relative is None or self._camera is None:
            return Transform(), self._loop_covariance(match)
        mount = self._camera.mount
        seen = Transform.of_matrix(relative.rotation, relative.translation)
        spread = mount.adjoint @ relative.covariance @ mount.adjoint.T
        return mount @ seen @ mount.inverse(), (spread + spread.T) / 2

    def _loop_covariance(self, match: Match) -> NDArray[np.float64]:
        """How far from a place one may be where it is recognised, in its frame."""
        nodes, node = self.graph.nodes, match.node
        near = nodes[max(node - 1, 0)], nodes[min(node + 1, len(nodes) - 1)]
        spacing = (near[0].pose.inverse() @ near[1].pose).metres / max(near[1].id - near[0].id, 1)
        return self.options.match_error.covariance(spacing, match.shift)
