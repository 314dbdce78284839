# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How far loop closures are off the truth, and how honest their covariances are."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from floppynet_vpr.graph.pose_graph import Edge, PoseGraph
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
    one_sigma: tuple[float, ...]
    two_sigma: tuple[float, ...]

    def __str__(self) -> str:
        along, side, heading = (
            f"{100 * one:.0f} % and {100 * two:.0f} %"
            for one, two in zip(self.one_sigma, self.two_sigma, strict=True)
        )
        return (
            f"of {self.loops} loop closures {self.wrong} are wrong (more than {WRONG_METRES:g} m "
            f"off); of the others are within 1 and 2 sigma: along the way {along}, to the side "
            f"{side}, in heading {heading}"
        )


class TransformError(NamedTuple):
    """How far an edge is off: metres, radians, and how many of its six values (share, 0 to 1).

    `within_1` and `within_2` are the shares that are off by no more than one and two standard
    deviations; of Gaussian errors these are 0.68 and 0.95.
    """

    metres: float
    radians: float
    within_1: float
    within_2: float


def told(
    before: PoseGraph, after: PoseGraph, truth: Mapping[int, Transform], transforms: Collection[int]
) -> Iterator[str]:
    """Say how loops stand against the true poses of nodes, before and after they were closed.

    `transforms` are the numbers of the loops that tell from where a place was seen.
    """
    judged = coverage(before, truth)
    if judged is not None:
        yield str(judged)
    loops = _judged(before.loops, truth)
    if loops:
        apart = [misplaced(graph.poses, truth, loops) for graph in (before, after)]
        yield (
            f"places seen again are {apart[0]:.2f} m off where they lie to each other before, "
            f"{apart[1]:.2f} m after, in the middle"
        )
    precise = _judged([before.loops[index] for index in sorted(transforms)], truth)
    if precise:
        errors = [error_of(loop, truth) for loop in precise]
        yield f"transforms of {len(errors)} of {len(before.loops)} loop closures: {summary(errors)}"


def coverage(graph: PoseGraph, truth: Mapping[int, Transform]) -> Coverage | None:
    """Hold the loops of a graph against the true poses of nodes; None: there is none to judge."""
    wrong, within = 0, []
    for loop in _judged(graph.loops, truth):
        off = _off(loop.transform, loop, truth)
        if off.metres > WRONG_METRES:
            wrong += 1
            continue
        rotation = off.rotation
        errors = np.abs([off.x, off.y, math.atan2(rotation[1, 0], rotation[0, 0])])
        within.append(errors / np.sqrt(np.diag(loop.covariance))[[0, 1, 5]])
    if not within:
        return None
    one, two = (tuple((np.array(within) <= sigmas).mean(0).tolist()) for sigmas in (1, 2))
    return Coverage(wrong + len(within), wrong, one, two)


def error_of(edge: Edge, truth: Mapping[int, Transform]) -> TransformError:
    """Compare an edge with the true poses of its ends."""
    off = _off(edge.transform, edge, truth)
    size = math.hypot(off.qx, off.qy, off.qz)
    sign = 1.0 if off.qw >= 0 else -1.0
    scale = sign * off.radians / size if size else 0.0
    values = np.array([off.x, off.y, off.z, off.qx * scale, off.qy * scale, off.qz * scale])
    sigmas = np.abs(values) / np.sqrt(np.diag(edge.covariance))
    return TransformError(
        off.metres, off.radians, float((sigmas <= 1).mean()), float((sigmas <= 2).mean())
    )


def misplaced(
    poses: Sequence[Transform], truth: Mapping[int, Transform], loops: Sequence[Edge]
) -> float:
    """How far off the ends of loops lie to each other in a way, metres, in the middle of all loops.

    `poses` are those of all nodes, `truth` has the true ones of both ends of each loop.
    """
    ways = [poses[loop.start].inverse() @ poses[loop.end] for loop in loops]
    off = [_off(way, loop, truth).metres for way, loop in zip(ways, loops, strict=True)]
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


def _judged(loops: Sequence[Edge], truth: Mapping[int, Transform]) -> list[Edge]:
    return [loop for loop in loops if loop.start in truth and loop.end in truth]


def _off(moved: Transform, edge: Edge, truth: Mapping[int, Transform]) -> Transform:
    """What is between where an edge leads and where it should."""
    return moved.inverse() @ truth[edge.start].inverse() @ truth[edge.end]
