# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Where a pose graph meets the map and the detector; nothing else of this room knows them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection import DetectorOptions, LoopClosureDetector
from floppynet_vpr.graph.se3 import Transform
from floppynet_vpr.mapping import Pose, ReferenceMap
from floppynet_vpr.mapping.keyframes import KeyframeGate, KeyframeLimits
from floppynet_vpr.network.weights import NetworkWeights

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
    that is new to become a place.
    """

    matches: tuple[Match, ...]
    detected: bool
    new: bool


class Places:
    """The places of a drive, in a map that grows and is searched: the mode `both` of the node."""

    def __init__(
        self, weights: NetworkWeights, options: DetectorOptions, limits: KeyframeLimits
    ) -> None:
        """Start with no place, for descriptors made with `weights`."""
        self._map = ReferenceMap.for_weights(weights)
        self._detector = LoopClosureDetector(self._map, options)
        self._gate = KeyframeGate(limits)
        self._nodes: dict[int, int] = {}

    def ask(self, descriptor: NDArray[np.float32], stamp_ns: int, pose: Transform) -> Answer:
        """Look for an image by its (9216,) float32 descriptor, its stamp and where it was taken."""
        detection = self._detector.detect(descriptor, stamp_ns)
        matches = tuple(
            Match(self._nodes[one.place.id], one.distance, one.score, one.shift[0])
            for one in detection.candidates
        )
        new = self._gate.passes(descriptor, stamp_ns, Pose(*pose.values))
        return Answer(matches, detection.detected, new)

    def add(self, descriptor: NDArray[np.float32], name: str, stamp_ns: int, node: int) -> None:
        """Make an image the place of a node."""
        self._nodes[self._map.add(descriptor, name, stamp_ns).id] = node
