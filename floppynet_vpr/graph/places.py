# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Where a pose graph meets the map and the detector; nothing else of this room knows them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection import DetectorOptions, LoopClosureDetector
from floppynet_vpr.detection.growth import Grower, Growth, GrowthOptions
from floppynet_vpr.detection.relative_pose import RelativePose, relative_pose
from floppynet_vpr.extraction.local_features import DEFAULT_FEATURES, LocalFeatures
from floppynet_vpr.graph.se3 import Transform
from floppynet_vpr.imaging.camera_model import CameraModel
from floppynet_vpr.mapping import Pose, ReferenceMap
from floppynet_vpr.mapping.keyframes import KeyframeGate, KeyframeLimits
from floppynet_vpr.network.network import Network

DEFAULT_OPTIONS = DetectorOptions()
"""How loop closures are detected here: as the node does by default."""


class Match(NamedTuple):
    """A node that an image may show: the descriptors' distance (0 to 2) and the score (0 to 1).

    `shift`: by how many cells the place shows farther to the right what the image shows.
    """

    node: int
    distance: float
    score: float
    shift: int = 0


class Answer(NamedTuple):
    """What came of an image.

    `matches`, best first; `detected`: the first is a loop closure; `new`: the image shows enough
    that is new to become a place. `relative`: from where the image shows a place that it closes a
    loop with, where that is known.
    """

    matches: tuple[Match, ...]
    detected: bool
    new: bool
    relative: RelativePose | None


class Places:
    """The places of a drive, in a map that grows and is searched: the mode `both` of the node."""

    def __init__(
        self,
        weights: Network,
        options: DetectorOptions,
        limits: KeyframeLimits,
        camera: CameraModel | None = None,
    ) -> None:
        """Start with no place, for descriptors made with `weights` of the images of a `camera`.

        Without one, it is not asked from where an image shows a place.
        """
        self._map = ReferenceMap.for_weights(weights, features=DEFAULT_FEATURES if camera else 0)
        self._camera = camera
        self._detector = LoopClosureDetector(self._map, options)
        self._gate = KeyframeGate(limits)
        self._grower = Grower(GrowthOptions(max_places=0))
        self._growth = Growth(new=True)
        self._nodes: dict[int, int] = {}

    def ask(
        self,
        descriptor: NDArray[np.float32],
        stamp_ns: int,
        pose: Transform,
        features: LocalFeatures | None = None,
    ) -> Answer:
        """Look for an image by its (d,) float32 descriptor, its stamp and where it was taken.

        `features` are its corners, to tell from where it shows a place.
        """
        detection = self._detector.detect(descriptor, stamp_ns)
        matches = tuple(
            Match(self._nodes[one.place.id], one.distance, one.score, one.shift[0])
            for one in detection.candidates
        )
        new = self._gate.passes(descriptor, stamp_ns, Pose(*pose.values))
        if new:
            self._growth = self._grower.decide(self._detector, detection, descriptor)
        relative = None
        if detection.detected and new and features is not None and self._camera is not None:
            known = self._map.features_of(detection.candidates[0].index)
            if known is not None:
                relative = relative_pose(features, known, self._camera)
        return Answer(matches, detection.detected, new, relative)

    def add(
        self,
        descriptor: NDArray[np.float32],
        name: str,
        stamp_ns: int,
        node: int,
        features: LocalFeatures | None = None,
    ) -> None:
        """Make the image asked about last the place of a node, unless the map knows it."""
        if self._growth.new:
            look_of = self._growth.look_of
            place = self._map.add(descriptor, name, stamp_ns, features=features, look_of=look_of)
            self._nodes[place.id] = node
