# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`map_info`: describes a map file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from floppynet_vpr.commands.common import make_parser, parse, run

if TYPE_CHECKING:
    from floppynet_vpr.mapping import ReferenceMap

_PIECE = 256


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = make_parser(
        "map_info",
        "Check a map file and say what is in it.",
        "  ros2 run floppynet_vpr map_info office.fvm\n"
        "  ros2 run floppynet_vpr map_info office.fvm --places",
    )
    parser.add_argument("map", type=Path, metavar="MAP.fvm", help="a map made by build_map")
    parser.add_argument("--places", action="store_true", help="list every place")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = parse(build_parser(), argv)
    return run(lambda: _describe(arguments.map, arguments.places))


def _describe(path: Path, list_places: bool) -> int:
    from floppynet_vpr.mapping import Place, ReferenceMap
    from floppynet_vpr.network.weights import load_weights

    reference = ReferenceMap.load(path)
    places: Sequence[Place] = reference.places
    shipped = reference.fingerprint == load_weights().fingerprint
    size = path.stat().st_size
    print(f"{path}: sound, {len(places)} places, {size / 2**20:.1f} MiB", end="")
    print(f" ({size / len(places) / 1024:.1f} KiB a place)" if places else "")
    print(f"storage      {reference.storage}, {reference.bytes_per_place:,} bytes a descriptor")
    print(f"weights      {reference.network} {reference.fingerprint[:12]}", end="")
    print(" (shipped with this package)" if shipped else " (pass the same file as 'weights')")
    if places:
        stamps = [place.stamp_ns / 1e9 for place in places]
        print(f"first place  {places[0].name}, {stamps[0]:.3f} s")
        print(f"last place   {places[-1].name}, {stamps[-1]:.3f} s")
        print(f"time span    {max(stamps) - min(stamps):.1f} s")
        print(f"with pose    {sum(place.pose is not None for place in places)}")
    for mode, known in reference.calibrations.items():
        print(
            f"calibrated   {mode}: limit {known.limit:.4f}, {known.right} of {known.accepted} "
            f"detections right among {known.queries} labelled queries"
        )
    # From signs alone the distance of two places cannot be told well enough.
    if len(places) > 1 and reference.storage != "binary":
        low, middle, high = np.percentile(_steps(reference), (10, 50, 90))
        print(
            f"steps        distance from one place to the next: median {middle:.3f}, "
            f"10 % {low:.3f}, 90 % {high:.3f}"
        )
    if list_places:
        for place in places:
            print(
                f"{place.id:>7} {place.stamp_ns / 1e9:>17.3f} s  {place.name}  {place.pose or ''}"
            )
    return 0


def _steps(reference: ReferenceMap) -> list[float]:
    """Distances from each place to the next, in pieces: a map may be larger than memory allows."""
    steps: list[float] = []
    for first in range(0, len(reference) - 1, _PIECE):
        descriptors = reference.descriptors(first, first + _PIECE + 1)
        steps += np.linalg.norm(np.diff(descriptors, axis=0), axis=1).tolist()
    return steps


if __name__ == "__main__":
    sys.exit(main())
