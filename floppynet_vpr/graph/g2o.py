# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Pose graphs as g2o text, which g2o, GTSAM, Ceres' examples and SE-Sync read.

A line is `VERTEX_SE3:QUAT id x y z qx qy qz qw`, or `EDGE_SE3:QUAT start end x y z qx qy qz qw`
with the upper triangle of the (6, 6) information matrix, row by row. Its rotation is written in
radians, as GTSAM and SE-Sync take it; g2o itself, which measures rotations by half the angle,
weighs them a quarter. The format knows neither stamps nor kinds of edges: read back, stamps are 0,
and edges between successive nodes are odometry, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from floppynet_vpr.errors import VprError
from floppynet_vpr.files import write_atomically
from floppynet_vpr.graph.pose_graph import LOOP, ODOMETRY, Edge, Node, PoseGraph
from floppynet_vpr.graph.se3 import Transform

_VERTEX: Final = "VERTEX_SE3:QUAT"
_EDGE: Final = "EDGE_SE3:QUAT"
_UPPER: Final = np.triu_indices(6)


def write_g2o(path: Path, graph: PoseGraph) -> None:
    """Write a graph, atomically; every number is written to the last digit.

    Raises VprError when the disk does not take it.
    """
    write_atomically(path, ("".join(f"{line}\n" for line in _lines(graph)).encode(),))


def _lines(graph: PoseGraph) -> Iterator[str]:
    for node in graph.nodes:
        yield " ".join([_VERTEX, str(node.id), *map(repr, node.pose.values)])
    for edge in graph.edges:
        information = np.linalg.inv(edge.covariance)
        numbers = [*edge.transform.values, *information[_UPPER].tolist()]
        yield " ".join([_EDGE, str(edge.start), str(edge.end), *map(repr, numbers)])


def read_g2o(path: Path) -> PoseGraph:
    """Read a graph whose nodes are numbered from 0.

    Raises VprError naming the file and line where it is none.
    """
    nodes: dict[int, Node] = {}
    edges: list[tuple[int, Edge]] = []
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VprError(f"cannot read the pose graph {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        tag, *words = line.split() or ["#"]
        if tag.startswith("#") or tag == "FIX":
            continue
        try:
            if tag == _VERTEX:
                node = Node(int(words[0]), 0, Transform.of([float(word) for word in words[1:]]))
                nodes[node.id] = node
            elif tag == _EDGE:
                edges.append((number, _edge(words)))
            else:
                raise VprError(f"{tag} is neither {_VERTEX} nor {_EDGE}")
        except (VprError, ValueError, IndexError, np.linalg.LinAlgError) as error:
            raise _no_graph(path, number, error) from None
    if sorted(nodes) != list(range(len(nodes))):
        raise VprError(f"{path}: the nodes must be numbered from 0 without a gap")
    graph = PoseGraph([nodes[id_] for id_ in range(len(nodes))])
    for number, edge in edges:
        try:
            graph.add_edge(edge)
        except VprError as error:
            raise _no_graph(path, number, error) from None
    return graph


def _no_graph(path: Path, line: int, reason: Exception) -> VprError:
    return VprError(f"{path}, line {line}, is not g2o's 3D pose graph: {reason}")


def _edge(words: list[str]) -> Edge:
    start, end = int(words[0]), int(words[1])
    numbers = [float(word) for word in words[2:]]
    if len(numbers) != 28:
        raise VprError(f"an edge has 7 + 21 numbers, this one {len(numbers)}")
    information = np.zeros((6, 6))
    information[_UPPER] = numbers[7:]
    information += np.triu(information, 1).T
    kind = ODOMETRY if end == start + 1 else LOOP
    covariance = np.asarray(np.linalg.inv(information), np.float64)
    return Edge(start, end, Transform.of(numbers[:7]), covariance, kind)
