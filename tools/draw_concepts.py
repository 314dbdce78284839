# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of docs/concepts.md: what the package itself computes on its synthetic street.

Usage: python tools/draw_concepts.py [FOLDER], by default docs/pictures.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection.background import Needs
from floppynet_vpr.detection.bayes_filter import BayesFilter
from floppynet_vpr.detection.limits import BELIEVED
from floppynet_vpr.detection.rigid import RigidComparer
from floppynet_vpr.detection.sequences import log_odds, within_window
from floppynet_vpr.detection.tolerant import TolerantComparer
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.synthetic.route import FIRST_LAP, SECOND_LAP, SyntheticRoute

ROOT = Path(__file__).resolve().parents[1]
LENGTH_M = 120.0
FIRST_SHOWN = 20
"""From this image of the second lap on, the first that meets its place with a shift is shown."""


class Street:
    """Two laps of the street, described; the first one is the map."""

    def __init__(self) -> None:
        """Drive both."""
        route = SyntheticRoute(length_m=LENGTH_M)
        extractor = create_extractor()
        self.map = ReferenceMap.for_weights(extractor.weights)
        self.map_images = [frame.rgb for frame in route.frames(FIRST_LAP)]
        for number, rgb in enumerate(self.map_images):
            self.map.add(extractor.describe(rgb), str(number))
        self.images = [frame.rgb for frame in route.frames(SECOND_LAP)]
        self.queries = [extractor.describe(rgb) for rgb in self.images]
        here, there = route.positions_m(SECOND_LAP), route.positions_m(FIRST_LAP)
        self.truth = np.abs(here[:, None] - there).argmin(1)


def draw_tolerant(street: Street, file: Path) -> None:
    """An image and its place with the cells that meet, and the distances of both matchings."""
    figure, axes = _figure(3, (11, 3.4), (1, 1, 1.25))
    tolerant, rigid = TolerantComparer(street.map), RigidComparer(street.map, False)
    everywhere = np.arange(len(street.map))
    for number, query in enumerate(street.queries):
        tolerant.seen(query, Needs())
        shifted = tolerant.compare(query, everywhere)
        truth = street.truth[number]
        right, down = shifted.shifts[truth].tolist()
        if number >= FIRST_SHOWN and right:
            break
    rigid.seen(query, Needs())
    _cells(axes[0], street.images[number], (max(0, -right), max(0, -down)), (right, down))
    axes[0].set_title("image, at dusk")
    _cells(axes[1], street.map_images[truth], (max(0, right), max(0, down)), (right, down))
    axes[1].set_title(f"its place, by day: shift {right:+d}, {down:+d} cells")
    for compared, colour, name in (
        (rigid.compare(query, everywhere), "C7", "rigid"),
        (shifted, "C0", "tolerant"),
    ):
        axes[2].plot(everywhere, compared.distances, color=colour, label=name)
    axes[2].axvline(truth, color="C2", ls="--", label="right place")
    axes[2].set(
        xlabel="place of the map", ylabel="distance", title="distance of the image to all places"
    )
    axes[2].legend(loc="center right")
    _save(figure, file)


def _cells(
    axis: Any, rgb: NDArray[np.uint8], first: tuple[int, int], shift: tuple[int, int]
) -> None:
    """Show an image with its 6 x 6 cells, those outlined that meet some of the other's."""
    from matplotlib.patches import Rectangle

    height, width = rgb.shape[:2]
    axis.imshow(rgb)
    axis.set_xticks([])
    axis.set_yticks([])
    # Of 227 pixels, 6 cells of 32 leave 17.5 at either side.
    side, margin = 32 / 227, 17.5 / 227
    for column in range(6):
        for row in range(6):
            across = 0 <= column - first[0] < 6 - abs(shift[0])
            meets = across and 0 <= row - first[1] < 6 - abs(shift[1])
            corner = ((margin + column * side) * width, (margin + row * side) * height)
            look = {"ec": "yellow", "lw": 1.2} if meets else {"ec": "black", "lw": 0.4}
            axis.add_patch(Rectangle(corner, side * width, side * height, fill=False, **look))


def draw_filter(street: Street, file: Path) -> None:
    """What each image says by itself, and what is believed after it, image by image."""
    comparer, follower = TolerantComparer(street.map), BayesFilter()
    standing, belief = [], []
    for query in street.queries:
        comparer.seen(query, Needs())
        standing.append(comparer.standing(query, len(street.map)))
        belief.append(follower.update(log_odds(standing[-1]), moved=True))
    figure, axes = _figure(2, (11, 4.6), (1, 1))
    titles = "one image alone: how far each place stands out", "along the drive: belief"
    for axis, values, title in zip(axes, (standing, belief), titles, strict=True):
        shown = np.array(values)
        axis.imshow(
            shown, aspect="auto", origin="lower", cmap="viridis", vmin=0, vmax=shown.max() / 2
        )
        axis.plot(street.truth, np.arange(len(shown)), "r:", lw=1, label="right place")
        axis.set(xlabel="place of the map", ylabel="image of the second lap", title=title)
        axis.legend(loc="upper left")
    _save(figure, file)


def draw_belief(street: Street, file: Path) -> None:
    """Belief in the best place and its neighbours, as more and more images have come."""
    comparer, follower = TolerantComparer(street.map), BayesFilter()
    best, right = [], []
    for query, truth in zip(street.queries, street.truth, strict=True):
        comparer.seen(query, Needs())
        odds = log_odds(comparer.standing(query, len(street.map)))
        belief = follower.update(odds, moved=True)
        place = int(belief.argmax())
        best.append(float(within_window(belief, np.array([place]))[0]))
        right.append(abs(place - truth) <= 2)
    numbers, hit = np.arange(len(best)), np.array(right)
    figure, (axis,) = _figure(1, (11, 3.0), (1,))
    axis.plot(numbers, best, color="C7", lw=1)
    axis.plot(
        numbers[hit],
        np.array(best)[hit],
        "o",
        ms=4,
        color="C2",
        label="best place right, within 2",
    )
    axis.plot(numbers[~hit], np.array(best)[~hit], "x", ms=5, color="C3", label="wrong")
    axis.axhline(BELIEVED, color="C0", ls="--", label=f"a loop closure from {BELIEVED} on")
    axis.set(xlabel="image of the second lap", ylabel="belief within 4 places", ylim=(0, 1.02))
    axis.legend(loc="lower right")
    _save(figure, file)


def _figure(columns: int, size: tuple[float, float], widths: tuple[float, ...]) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, columns, figsize=size, width_ratios=widths, squeeze=False)
    return figure, axes[0]


def _save(figure: Any, file: Path) -> None:
    figure.tight_layout()
    figure.savefig(file, dpi=90, pil_kwargs={"quality": 85})
    print(f"written: {file}")


def main() -> None:
    """Draw all of them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    street = Street()
    draw_tolerant(street, folder / "tolerant.jpg")
    draw_filter(street, folder / "filter.jpg")
    draw_belief(street, folder / "belief.jpg")


if __name__ == "__main__":
    main()
