# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The poses that fit all edges of a graph best, whatever some wrong loop closures say.

GTSAM does it: graduated non-convexity (Yang, Antonante, Tzoumas and Carlone, RA-L 2020) with the
truncated least squares loss finds the loop closures that fit together, around Levenberg-Marquardt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError
from floppynet_vpr.graph.pose_graph import LOOP, PoseGraph
from floppynet_vpr.graph.se3 import Transform

_INLIER_PROBABILITY: Final = 0.99
_PRIOR_SIGMA: Final = 1e-4

# Here x, y, z come first, as in ROS and g2o; in GTSAM the rotation does.
_ORDER: Final = [3, 4, 5, 0, 1, 2]


@dataclass(frozen=True)
class Optimised:
    """A graph with optimised poses, and the share (0 to 1) of each of its loops that was believed.

    A loop of less than a half was taken for wrong.
    """

    graph: PoseGraph
    weights: tuple[float, ...]

    @property
    def rejected(self) -> int:
        """How many loop closures were taken for wrong."""
        return sum(weight < 0.5 for weight in self.weights)


def require_gtsam() -> Any:
    """Import GTSAM; raises VprError that says how to get it."""
    try:
        import gtsam
    except ImportError as error:
        raise VprError(
            f"optimising a pose graph needs GTSAM ({error}), the extra [graph]: "
            "pip install --no-deps gtsam (Python 3.11 or newer)"
        ) from None
    return gtsam


def optimise(graph: PoseGraph) -> Optimised:
    """Move the nodes, but for the first, to where they fit the edges best.

    Odometry is believed as its covariance says, of the loop closures those that fit together. A
    graph without loop closures stays as it is. Raises VprError without GTSAM, for an empty graph,
    and where nodes are linked by no edge.
    """
    gtsam = require_gtsam()
    _require_linked(graph)
    factors, values = gtsam.NonlinearFactorGraph(), gtsam.Values()
    for node in graph.nodes:
        values.insert(node.id, _pose3(gtsam, node.pose))
    for edge in graph.edges:
        noise = gtsam.noiseModel.Gaussian.Covariance(edge.covariance[np.ix_(_ORDER, _ORDER)])
        relative = _pose3(gtsam, edge.transform)
        factors.add(gtsam.BetweenFactorPose3(edge.start, edge.end, relative, noise))
    anchor = gtsam.noiseModel.Isotropic.Sigma(6, _PRIOR_SIGMA)
    factors.add(gtsam.PriorFactorPose3(0, values.atPose3(0), anchor))
    loops = [index for index, edge in enumerate(graph.edges) if edge.kind == LOOP]
    if not loops:
        return Optimised(graph, ())
    parameters = gtsam.GncLMParams()
    parameters.setLossType(gtsam.GncLossType.TLS)
    parameters.setKnownInliers(sorted(set(range(factors.size())) - set(loops)))
    optimiser = gtsam.GncLMOptimizer(factors, values, parameters)
    optimiser.setInlierCostThresholdsAtProbability(_INLIER_PROBABILITY)
    result = optimiser.optimize()
    weights: NDArray[np.float64] = np.asarray(optimiser.getWeights())
    poses = [_transform(result.atPose3(node.id)) for node in graph.nodes]
    return Optimised(graph.with_poses(poses), tuple(weights[loops].tolist()))


def _require_linked(graph: PoseGraph) -> None:
    if not graph.nodes:
        raise VprError("the pose graph is empty: there is nothing to optimise")
    beside: Sequence[set[int]] = [set() for _ in graph.nodes]
    for edge in graph.edges:
        if edge.kind != LOOP:  # loops may be taken away
            beside[edge.start].add(edge.end)
            beside[edge.end].add(edge.start)
    reached, waiting = {0}, [0]
    while waiting:
        new = beside[waiting.pop()] - reached
        reached |= new
        waiting += new
    if len(reached) < len(graph.nodes):
        lost = min(set(range(len(graph.nodes))) - reached)
        raise VprError(f"no chain of odometry leads to node {lost}: it could be anywhere")


def _pose3(gtsam: Any, pose: Transform) -> Any:
    rotation = gtsam.Rot3.Quaternion(pose.qw, pose.qx, pose.qy, pose.qz)
    return gtsam.Pose3(rotation, pose.position)


def _transform(pose: Any) -> Transform:
    quaternion = pose.rotation().toQuaternion()
    turned = (quaternion.x(), quaternion.y(), quaternion.z(), quaternion.w())
    return Transform.of([*map(float, pose.translation()), *turned])
