# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A lap of the synthetic street as a bag, with the truth beside it."""

from pathlib import Path

from floppynet_vpr.datasets.frames import Progress
from floppynet_vpr.datasets.traverse_bags import TraverseBag, digest, keep_bag
from floppynet_vpr.synthetic.route import Lap, SyntheticRoute


def synthetic_bag(
    route: SyntheticRoute, lap: Lap, role: str, out: Path, progress: Progress
) -> TraverseBag:
    """A lap of a synthetic route as a bag of raw images (mcap); kept if it is there already.

    `role` is "reference", "query" or "third". Raises VprError when the disk does not take it.
    """
    positions = [float(at) for at in route.positions_m(lap)]
    # What the street is drawn by: another program draws another street.
    drawn = [file.read_text("utf-8") for file in sorted(Path(__file__).parent.glob("*.py"))]
    recipe = digest(route.seed, route.length_m, route.camera, lap, role, *drawn)
    frames = progress(route.frames(lap), len(positions), lap.name)
    return keep_bag(frames, out, role, lap.name, "bgr8", recipe, positions)
