# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`benchmark_laps`: where the growth of a map ends that is used while it is made."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.commands.common import (
    add_extractor_options,
    at_least,
    command,
    make_parser,
    progress,
)
from floppynet_vpr.files import user_path

if TYPE_CHECKING:
    from floppynet_vpr.datasets.frames import Frame
    from floppynet_vpr.evaluation.laps import Lap, LapResult

_LENGTH_M = 240.0
_TOLERANCE_M = 5.0
_WIDTH, _HEIGHT = 320, 240


def build_parser() -> argparse.ArgumentParser:
    from floppynet_vpr.detection.growth import GrowthOptions

    parser = make_parser(
        "benchmark_laps",
        "Drive laps of the same way, one after the other, with a map that starts empty and grows "
        "as the node's does in mode both; print how many places it has after each, and what was "
        "recognised, without an end to its growth and with one. Without TRAVERSE the laps are "
        "synthetic: around a block by day, at dusk and in rain, in other lanes, with other cars.",
        "  ros2 run floppynet_vpr benchmark_laps --laps 10 --markdown\n"
        "  ros2 run floppynet_vpr benchmark_laps gardens/day_left gardens/day_right "
        "gardens/night_right --tolerance 4",
    )
    parser.add_argument(
        "traverses",
        nargs="*",
        type=user_path,
        metavar="TRAVERSE",
        help="folders, videos or bags, whose frames of the same number show the same place",
    )
    parser.add_argument(
        "--laps",
        type=at_least(1),
        metavar="N",
        help="laps to drive, the given ones over and over; without it 10 synthetic ones, or each "
        "traverse once",
    )
    parser.add_argument(
        "--tolerance",
        type=at_least(0, float),
        metavar="D",
        help=f"frames that a match may be off, or metres of a synthetic lap; without it 4 frames, "
        f"{_TOLERANCE_M:g} m",
    )
    parser.add_argument(
        "--max-looks",
        type=at_least(1),
        default=GrowthOptions.max_looks,
        metavar="N",
        help="looks kept of a place",
    )
    parser.add_argument(
        "--max-places",
        type=at_least(0),
        default=GrowthOptions.max_places,
        metavar="N",
        help="places that the map may have; 0 sets no limit",
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    add_extractor_options(parser)
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.detection.growth import GrowthOptions
    from floppynet_vpr.evaluation.laps import drive_laps

    laps = list(_laps(arguments))
    around = 0.0 if arguments.traverses else _LENGTH_M
    tolerance = arguments.tolerance
    if tolerance is None:
        tolerance = 4.0 if arguments.traverses else _TOLERANCE_M
    without = drive_laps(laps, GrowthOptions(0, 0), tolerance, around=around)
    options = GrowthOptions(arguments.max_looks, arguments.max_places)
    _print_table(without, drive_laps(laps, options, tolerance, around=around), arguments.markdown)
    return 0


def _laps(arguments: argparse.Namespace) -> Iterator[Lap]:
    """Describe the frames of each lap."""
    from floppynet_vpr.datasets.traverse import open_traverse
    from floppynet_vpr.evaluation.laps import Lap
    from floppynet_vpr.extraction import create_extractor
    from floppynet_vpr.extraction.threads import set_threads
    from floppynet_vpr.network.weights import load_weights
    from floppynet_vpr.synthetic.camera import PinholeCamera
    from floppynet_vpr.synthetic.round_trip import LAPS
    from floppynet_vpr.synthetic.route import SyntheticRoute

    set_threads(arguments.threads)
    extractor = create_extractor(load_weights(arguments.weights), arguments.backend)

    def described(name: str, frames: Iterator[Frame], at: NDArray[np.float64]) -> Lap:
        shown = progress(frames, len(at), leave=False)
        return Lap(name, np.stack([extractor.describe(frame.rgb) for frame in shown]), at)

    if arguments.traverses:
        opened = [open_traverse(path) for path in arguments.traverses]
        known = [described(t.label, t.frames(), np.arange(len(t), dtype=float)) for t in opened]
        for number in range(arguments.laps or len(known)):
            yield known[number % len(known)]
        return
    route = SyntheticRoute(
        length_m=_LENGTH_M, camera=PinholeCamera(width=_WIDTH, height=_HEIGHT), closed=True
    )
    for number in range(arguments.laps or 10):
        light, time = LAPS[number % len(LAPS)], number // len(LAPS)
        lap = replace(
            light,
            name=f"{light.name}_{time + 1}",
            start_m=0.37 * (number % 4),
            step_m=1.0 + 0.06 * (number % 3),
            left_m=light.left_m + 0.15 * (time % 3 - 1),
            cars_moved=min(1.0, 0.1 * number),
        )
        yield described(lap.name, route.frames(lap), route.positions_m(lap))


def _print_table(without: Sequence[LapResult], grown: Sequence[LapResult], markdown: bool) -> None:
    from floppynet_vpr.evaluation.tables import layout

    rows: list[tuple[str, ...]] = [
        (
            *("lap", "images", "places", "recall", "precision"),
            *("places, growth ends", "looks", "recall", "precision"),
        )
    ]
    for before, after in zip(without, grown, strict=True):
        former = before.name, str(before.images), str(before.places), *_shares(before)
        rows.append((*former, str(after.places), str(after.looks), *_shares(after)))
    print(layout(rows, markdown))


def _shares(result: LapResult) -> tuple[str, str]:
    """Recall and precision of a lap in percent; no precision where nothing was detected."""
    precision = f"{100 * result.right / result.detected:.1f}" if result.detected else "-"
    return f"{100 * result.right / result.images:.1f}", precision


if __name__ == "__main__":
    sys.exit(main())
