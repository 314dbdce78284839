# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How far the edges of a graph are from the truth, and whether their covariance says so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from floppynet_vpr.graph.pose_graph import Edge
from floppynet_vpr.graph.se3 import Transform


class TransformError(NamedTuple):
    """How far an edge is off: metres, radians, and how many of its six values (share, 0 to 1).

    `within_1` and `within_2` are the shares that are off by no more than one and two standard
    deviations; of Gaussian errors these are 0.68 and 0.95.
    """

    metres: float
    radians: float
    within_1: float
    within_2: float


def error_of(edge: Edge, start: Transform, end: Transform) -> TransformError:
    """Compare an edge with the true poses of its ends."""
    off = edge.transform.inverse() @ start.inverse() @ end
    size = math.hypot(off.qx, off.qy, off.qz)
    sign = 1.0 if off.qw >= 0 else -1.0
    scale = sign * off.radians / size if size else 0.0
    values = np.array([off.x, off.y, off.z, off.qx * scale, off.qy * scale, off.qz * scale])
    sigmas = np.abs(values) / np.sqrt(np.diag(edge.covariance))
    return TransformError(
        off.metres, off.radians, float((sigmas <= 1).mean()), float((sigmas <= 2).mean())
    )


def misplaced(
    poses: Sequence[Transform], true: Mapping[int, Transform], loops: Sequence[Edge]
) -> float:
    """How far off the ends of loops lie to each other in a way, metres, in the middle of all loops.

    `poses` are those of all nodes, `true` has the true ones of both ends of each loop.
    """
    off = [
        (
            (poses[loop.start].inverse() @ poses[loop.end]).inverse()
            @ true[loop.start].inverse()
            @ true[loop.end]
        ).metres
        for loop in loops
    ]
    return float(np.median(off))


def summary(errors: Sequence[TransformError]) -> str:
    """Say in a line how far edges are off; `errors` must not be empty."""
    cm = 100 * np.array([error.metres for error in errors])
    degrees = np.degrees([error.radians for error in errors])
    within = [100 * float(np.mean([error[index] for error in errors])) for index in (2, 3)]
    half, most = np.percentile(cm, [50, 90]), np.percentile(degrees, [50, 90])
    return (
        f"off by {half[0]:.0f} cm and {most[0]:.2f} degrees in the middle, {half[1]:.0f} cm and "
        f"{most[1]:.2f} degrees at 90 %; {within[0]:.0f} % of the values are within one standard "
        f"deviation, {within[1]:.0f} % within two"
    )
