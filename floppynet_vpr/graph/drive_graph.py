# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The pose graph of a drive as it grows: nodes on the way, odometry between them, loops."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.graph.pose_graph import (
    LOOP,
    ODOMETRY,
    Edge,
    Node,
    PoseGraph,
    diagonal_covariance,
)
from floppynet_vpr.graph.se3 import Transform

DRIFT: Final = 0.02
TURN_DEG: Final = 1.0

_STEP_M: Final = 0.01
_STEP_RAD: Final = 0.001
"""What odometry is off by however short the way, as standard deviations."""


class DriveGraph:
    """Adds to a pose graph what comes of a drive.

    `drift` and `turn_deg`: by what share of the way, and how many degrees, odometry is off on 10 m,
    as standard deviations; they grow with the root of the way. Of a turn it is off by the share
    `drift`, too. Nodes are named by keys, which count from 0 for good: the `graph` has node `key`
    as number `key - forgotten`. With `most` above 0 the oldest nodes are forgotten, a tenth of them
    at once, where there would be more.
    """

    def __init__(self, drift: float = DRIFT, turn_deg: float = TURN_DEG, most: int = 0) -> None:
        self.graph = PoseGraph()
        self.forgotten = 0
        """Nodes that the graph has no more."""
        self._drift = drift
        self._turn_deg = turn_deg
        self._most = most
        self._last: int | None = None

    @property
    def keys(self) -> range:
        """The keys of the nodes that there are."""
        return range(self.forgotten, self.forgotten + len(self.graph.nodes))

    @property
    def last(self) -> int | None:
        """The key of the last node of the way; None: there is none."""
        return self._last if self._last in self.keys else None

    def go_on(self, stamp_ns: int, pose: Transform) -> int:
        """Add a node on the way, and the odometry that leads to it; returns its key."""
        key = self.stand(stamp_ns, pose)
        before, self._last = self.last, key
        if before is not None:
            moved = self.node(before).pose.inverse() @ pose
            self._link(before, key, moved, self._odometry_covariance(moved), ODOMETRY)
        return key

    def stand(self, stamp_ns: int, pose: Transform) -> int:
        """Add a node beside the way, such as a place of an earlier drive; returns its key."""
        if 0 < self._most <= len(self.graph.nodes):
            kept = min(self._most - 1, self._most * 9 // 10)
            self.forgotten += len(self.graph.nodes) - kept
            self.graph = self.graph.last(kept)
        return self.graph.add_node(stamp_ns, pose).id + self.forgotten

    def close(
        self,
        known: int,
        here: int,
        covariance: NDArray[np.float64],
        moved: Transform,
    ) -> None:
        """Say that node `here` is at `moved`, as seen from node `known`.

        The (6, 6) covariance tells how well that is known.
        """
        self._link(known, here, moved, covariance, LOOP)

    def node(self, key: int) -> Node:
        """The node with this key."""
        return self.graph.nodes[key - self.forgotten]

    def _link(
        self, start: int, end: int, moved: Transform, covariance: NDArray[np.float64], kind: str
    ) -> None:
        first = self.forgotten
        self.graph.add_edge(Edge(start - first, end - first, moved, covariance, kind))

    def _odometry_covariance(self, moved: Transform) -> NDArray[np.float64]:
        tens = moved.metres / 10
        return diagonal_covariance(
            math.hypot(_STEP_M, 10 * self._drift * math.sqrt(tens)),
            math.hypot(
                _STEP_RAD,
                math.radians(self._turn_deg) * math.sqrt(tens),
                self._drift * moved.radians,
            ),
        )
