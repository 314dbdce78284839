# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A picture of a map: which of its places look alike, how its drive went, where it may go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr import text
from floppynet_vpr.detection.aliasing import AliasedPair, Aliasing
from floppynet_vpr.detection.background import Background
from floppynet_vpr.files import write_figure
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.mapping.spans import spans

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = 400
_MARKED = 20
_ALIAS = "#d62728"
_LINE = "#1f77b4"
_BORDER = "#ffffff"


def draw_map(reference: ReferenceMap, aliasing: Aliasing, title: str, path: Path) -> None:
    """Draw a map of two places or more as a PNG file.

    To the left the distances between its places, up to 400 of them evenly spread, with sessions
    divided by lines and the 20 pairs most alike of places apart as rings. To the right the
    distances from one place to the next and, where there are poses, the way in metres. Raises
    VprError when the disk does not take it.
    """
    from matplotlib.figure import Figure

    background = Background(reference)
    count = len(reference)
    shown = np.unique(np.linspace(0, count - 1, min(count, _SHOWN)).astype(np.int64))
    pairs = aliasing.pairs[:_MARKED]
    posed = any(place.pose is not None for place in reference.places)
    figure = Figure(figsize=(13, 6.6), dpi=110, layout="constrained")
    figure.suptitle(f"{text.shown(title)}: {count:,} places", fontsize=13)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.15, 1), height_ratios=(1, 1.6))
    matrix = figure.add_subplot(grid[:, 0])
    image = _draw_matrix(matrix, _distances(background, shown), shown, reference, pairs)
    figure.colorbar(image, ax=matrix, label="distance of descriptors (eq. 6)", shrink=0.8)
    _draw_steps(figure.add_subplot(grid[0 if posed else slice(None), 1]), background, reference)
    if posed:
        _draw_way(figure.add_subplot(grid[1, 1]), reference, pairs)
    write_figure(path, figure, bbox_inches="tight")


def _distances(background: Background, shown: NDArray[np.int64]) -> NDArray[np.float32]:
    """Estimate the distances between places, (n, n) float32."""
    rows = np.stack([background.distances(place, shown) for place in shown.tolist()])
    np.fill_diagonal(rows, 0)
    return (rows + rows.T) / 2


def _draw_matrix(
    axes: Axes,
    distances: NDArray[np.float32],
    shown: NDArray[np.int64],
    reference: ReferenceMap,
    pairs: tuple[AliasedPair, ...],
) -> Any:
    count = len(reference)
    others = distances[~np.eye(len(shown), dtype=bool)]
    image = axes.imshow(
        distances,
        cmap="viridis_r",
        vmin=float(np.quantile(others, 0.01)),
        vmax=float(np.quantile(others, 0.99)),
        extent=(-0.5, count - 0.5, count - 0.5, -0.5),
        interpolation="nearest",
    )
    for border in reference.borders:
        axes.axhline(border - 0.5, color=_BORDER, linewidth=1.2)
        axes.axvline(border - 0.5, color=_BORDER, linewidth=1.2)
    ticks = [
        ((first + last) / 2, text.shown(reference.places[first].session.name))
        for first, last in spans(reference.borders, count)
        if reference.places[first].session.name
    ]
    for at, name in ticks:
        axes.text(count * 1.005, at, name, rotation=90, va="center", fontsize=9)
    marked = [(pair.second, pair.first) for pair in pairs]
    marked += [(pair.first, pair.second) for pair in pairs]
    if marked:
        across, down = zip(*marked, strict=True)
        axes.plot(across, down, "o", markersize=8, mfc="none", color=_ALIAS)
    axes.set_title(
        f"distances between places; rings: alike though apart ({len(pairs)} pairs)"
        if pairs
        else "distances between places",
        fontsize=10,
    )
    axes.set_xlabel("place")
    axes.set_ylabel("place")
    return image


def _draw_steps(axes: Axes, background: Background, reference: ReferenceMap) -> None:
    count = len(reference)
    some = np.unique(np.linspace(0, count - 1, min(count, 2 * _SHOWN)).astype(np.int64)).tolist()
    some = [place for place in some if place + 1 < count and place + 1 not in reference.borders]
    axes.plot(some, [background.step_after(place) for place in some], color=_LINE, linewidth=0.9)
    if some:
        axes.axhline(background.step, color="0.5", linewidth=0.8, linestyle="--", label="median")
        axes.legend(loc="upper right", fontsize=8)
    for border in reference.borders:
        axes.axvline(border - 0.5, color="0.6", linewidth=1)
    axes.set_title("distance from one place to the next", fontsize=10)
    axes.set_xlabel("place")
    axes.set_ylabel("distance (eq. 6)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def _draw_way(axes: Axes, reference: ReferenceMap, pairs: tuple[AliasedPair, ...]) -> None:
    for first, last in spans(reference.borders, len(reference)):
        poses = [place.pose for place in reference.places[first:last] if place.pose is not None]
        label = text.shown(reference.places[first].session.name) or None
        axes.plot([p.x for p in poses], [p.y for p in poses], ".-", linewidth=0.8, label=label)
    for pair in pairs:
        ends = [reference.places[place].pose for place in (pair.first, pair.second)]
        known = [pose for pose in ends if pose is not None]
        if len(known) == 2:
            axes.plot([p.x for p in known], [p.y for p in known], "o--", color=_ALIAS, mfc="none")
    axes.set_title("where the places are", fontsize=10)
    axes.set_xlabel("x (m)")
    axes.set_ylabel("y (m)")
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(alpha=0.3)
    if reference.borders:
        axes.legend(fontsize=8)
