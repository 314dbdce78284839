# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How honest the covariances of loop closures are: the share of true poses within them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from floppynet_vpr.graph.pose_graph import PoseGraph
from floppynet_vpr.graph.se3 import Transform

WRONG_METRES = 15.0
"""A loop closure so far off is wrong, which no covariance tells."""


@dataclass(frozen=True)
class Coverage:
    """Of `loops` with a true pose so many are `wrong`; of the others, shares (0 to 1).

    `one_sigma` and `two_sigma` are those within one and two standard deviations: along the way,
    to the side, in heading. For normal errors of the size told they are 0.68 and 0.95.
    """

    loops: int
    wrong: int
    one_sigma: tuple[float, float, float]
    two_sigma: tuple[float, float, float]

    def __str__(self) -> str:
        """Say it in a line."""
        along, side, heading = (
            f"{100 * one:.0f} % and {100 * two:.0f} %"
            for one, two in zip(self.one_sigma, self.two_sigma, strict=True)
        )
        return (
            f"of {self.loops} loop closures {self.wrong} are wrong (more than {WRONG_METRES:g} m "
            f"off); of the others are within 1 and 2 sigma: along the way {along}, to the side "
            f"{side}, in heading {heading}"
        )


def coverage(graph: PoseGraph, truth: Mapping[int, Transform]) -> Coverage | None:
    """Hold the loops of a graph against the true poses of nodes; None: there is none to judge."""
    wrong, within = 0, []
    for loop in graph.loops:
        if loop.start not in truth or loop.end not in truth:
            continue
        off = loop.transform.inverse() @ truth[loop.start].inverse() @ truth[loop.end]
        if off.metres > WRONG_METRES:
            wrong += 1
            continue
        rotation = off.rotation
        errors = np.abs([off.x, off.y, math.atan2(rotation[1, 0], rotation[0, 0])])
        within.append(errors / np.sqrt(np.diag(loop.covariance))[[0, 1, 5]])
    if not within:
        return None
    one, two = ((np.array(within) <= sigmas).mean(0).tolist() for sigmas in (1, 2))
    return Coverage(wrong + len(within), wrong, (one[0], one[1], one[2]), (two[0], two[1], two[2]))
