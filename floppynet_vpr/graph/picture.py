# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Draws the way of a pose graph before and after its loops were closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.files import write_figure
from floppynet_vpr.graph.optimisation import Optimised
from floppynet_vpr.graph.pose_graph import PoseGraph
from floppynet_vpr.graph.se3 import Transform
from floppynet_vpr.graph.trajectory import absolute_error, alignment, positions_of

_WAY, _TRUTH, _BELIEVED, _REJECTED = "#1f5a94", "#222222", "#3a9d5d", "#d1495b"


def draw_ways(
    path: Path, before: PoseGraph, done: Optimised, truth: Mapping[int, Transform]
) -> None:
    """Write a PNG of the way from above (x, y), before and after, with the loops.

    Where the true poses of nodes are known, by their numbers, both ways are laid onto them and
    their errors said.
    Raises VprError when the disk does not take it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.6), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for panel, graph, title in zip(
        axes, (before, done.graph), ("odometry", "loops closed"), strict=True
    ):
        way = positions_of(graph.poses)
        if truth:
            known, true = [graph.poses[node] for node in truth], list(truth.values())
            rotation, shift = alignment(known, true)
            way = way @ rotation.T + shift
            title += f": {absolute_error(known, true):.2f} m off the truth (ATE)"
            right = positions_of(true)
            panel.plot(*right[:, :2].T, "--", color=_TRUTH, linewidth=1, label="truth", zorder=4)
        _draw_loops(panel, way, before, done.weights)
        panel.plot(*way[:, :2].T, color=_WAY, linewidth=1.6, label="way", zorder=3)
        panel.plot(*way[0, :2], "o", color=_WAY, label="start", zorder=5)
        panel.set(title=title, xlabel="x, metres", aspect="equal")
        panel.grid(color="#e4e4e4", linewidth=0.6)
    axes[0].set_ylabel("y, metres")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    write_figure(path, figure, dpi=110)


def _draw_loops(
    panel: Any, way: NDArray[np.float64], graph: PoseGraph, weights: Sequence[float]
) -> None:
    from matplotlib.collections import LineCollection

    shares = np.array(weights)
    lines = np.array([[way[loop.start, :2], way[loop.end, :2]] for loop in graph.loops])
    for chosen, colour, label in (
        (shares >= 0.5, _BELIEVED, "loop closure"),
        (shares < 0.5, _REJECTED, "taken for wrong"),
    ):
        if chosen.any():
            panel.add_collection(
                LineCollection(
                    list(lines[chosen]), colors=colour, linewidths=0.7, alpha=0.7, label=label
                )
            )
