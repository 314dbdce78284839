# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A pose graph: poses at places, and what is known between them, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.graph.se3 import Transform

ODOMETRY: Final = "odometry"
LOOP: Final = "loop"


@dataclass(frozen=True)
class Node:
    """A pose of the robot at a place; `id` counts from 0, `stamp_ns` is its image's."""

    id: int
    stamp_ns: int
    pose: Transform


@dataclass(frozen=True, eq=False)
class Edge:
    """What was measured of node `end` as seen from node `start`.

    `covariance` is (6, 6) float64, of x, y, z in metres and the rotation about x, y, z in radians,
    in the frame of `end`. `kind` is ODOMETRY or LOOP.
    """

    start: int
    end: int
    transform: Transform
    covariance: NDArray[np.float64]
    kind: str


def diagonal_covariance(metres: float, radians: float) -> NDArray[np.float64]:
    """The covariance (6, 6) of independent errors with these standard deviations on each axis."""
    return np.diag([metres**2] * 3 + [radians**2] * 3)


@dataclass
class PoseGraph:
    """Nodes and the edges between them."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    @property
    def loops(self) -> list[Edge]:
        """The loop closures among the edges."""
        return [edge for edge in self.edges if edge.kind == LOOP]

    @property
    def poses(self) -> list[Transform]:
        """The poses of the nodes, in their order."""
        return [node.pose for node in self.nodes]

    def add_node(self, stamp_ns: int, pose: Transform) -> Node:
        """Add a pose; its number is the next."""
        node = Node(len(self.nodes), stamp_ns, pose)
        self.nodes.append(node)
        return node

    def add_edge(self, edge: Edge) -> None:
        """Add an edge; raises VprError for one that no optimisation could take.

        That is one whose nodes are not there or the same, or whose covariance is none.
        """
        for id_ in (edge.start, edge.end):
            if not 0 <= id_ < len(self.nodes):
                raise VprError(f"an edge names node {id_}, the graph has {len(self.nodes)}")
        if edge.start == edge.end:
            raise VprError(f"an edge leads from node {edge.start} to itself")
        covariance = edge.covariance
        sound = covariance.shape == (6, 6) and np.isfinite(covariance).all()
        if not (sound and np.allclose(covariance, covariance.T) and _is_positive(covariance)):
            raise VprError(
                f"the covariance between nodes {edge.start} and {edge.end} is no symmetric "
                "positive definite 6x6 matrix"
            )
        self.edges.append(edge)

    def last(self, count: int) -> PoseGraph:
        """The graph of the last `count` nodes alone, numbered anew, and the edges between them."""
        first = max(0, len(self.nodes) - count)
        nodes = [replace(node, id=node.id - first) for node in self.nodes[first:]]
        edges = [
            replace(edge, start=edge.start - first, end=edge.end - first)
            for edge in self.edges
            if min(edge.start, edge.end) >= first
        ]
        return PoseGraph(nodes, edges)

    def with_poses(self, poses: Sequence[Transform]) -> PoseGraph:
        """The same graph with other poses, one for each node."""
        nodes = [replace(node, pose=pose) for node, pose in zip(self.nodes, poses, strict=True)]
        return PoseGraph(nodes, list(self.edges))


def _is_positive(covariance: NDArray[np.float64]) -> bool:
    try:
        np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return False
    return True
