# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`map_info`: describes a map file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from floppynet_vpr.commands.common import (
    add_force_option,
    at_least,
    command,
    make_parser,
    progress,
    require_new,
)
from floppynet_vpr.errors import VprError
from floppynet_vpr.files import user_path
from floppynet_vpr.fleet.stored_map import StoredMap, stored_map
from floppynet_vpr.text import shown

if TYPE_CHECKING:
    from floppynet_vpr.detection.aliasing import Aliasing
    from floppynet_vpr.mapping import ReferenceMap

_PIECE = 256
_LISTED = 5


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "map_info",
        "Check a map file and say what is in it.",
        "  ros2 run floppynet_vpr map_info office.fvm\n"
        "  ros2 run floppynet_vpr map_info office.fvm --places\n"
        "  ros2 run floppynet_vpr map_info office.fvm --json | jq .sessions\n"
        "  ros2 run floppynet_vpr map_info office.fvm --plot office.png\n"
        "  ros2 run floppynet_vpr map_info office.fvm --image 3 --output place_3.jpg",
    )
    parser.add_argument("map", type=stored_map, metavar="MAP.fvm", help="a map made by build_map")
    parser.add_argument("--places", action="store_true", help="list every place")
    parser.add_argument(
        "--json", action="store_true", help="print the facts of the file as JSON, nothing else"
    )
    parser.add_argument(
        "--plot",
        type=user_path,
        metavar="FILE.png",
        help="draw the map: which places look alike, the steps between them, poses if it has any",
    )
    parser.add_argument(
        "--image",
        type=at_least(0),
        metavar="PLACE",
        help="write the thumbnail of a place, by its id or, if that is none, its row from 0",
    )
    parser.add_argument(
        "-o", "--output", type=user_path, metavar="FILE.jpg", help="where --image writes to"
    )
    add_force_option(parser)
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.extraction.threads import set_threads
    from floppynet_vpr.mapping import Place
    from floppynet_vpr.network.network import shape_text
    from floppynet_vpr.network.weights import load_weights, shipped_weights

    path: StoredMap = arguments.map
    plot: Path | None = arguments.plot
    if plot is not None:
        require_new(plot, arguments.force)
    if (arguments.image is None) != (arguments.output is None):
        raise VprError("--image and --output go together: which place, and the file to write")
    set_threads(1)
    reference = path.load()
    if arguments.image is not None:
        _write_image(reference, arguments)
        return 0
    if arguments.json:
        print(json.dumps(_facts(reference, path), indent=1))
        return 0
    places: Sequence[Place] = reference.places
    own = {load_weights(file).fingerprint: name for name, file in shipped_weights().items()}
    size = path.size()
    print(f"{path}: sound, {len(places)} places, {size / 2**20:.1f} MiB", end="")
    print(f" ({size / len(places) / 1024:.1f} KiB a place)" if places else "")
    print(f"storage      {reference.storage}, {reference.bytes_per_place:,} bytes a descriptor")
    print(f"descriptors  {shape_text(reference.grid.shape)}")
    print(f"weights      {reference.network} {reference.fingerprint[:12]}", end="")
    if reference.fingerprint in own:
        print(f" (this package's {own[reference.fingerprint]})")
    else:
        print(" (pass the same file as 'weights')")
    if places:
        stamps = [place.stamp_ns / 1e9 for place in places]
        print(f"first place  {places[0].name}, {stamps[0]:.3f} s")
        print(f"last place   {places[-1].name}, {stamps[-1]:.3f} s")
        print(f"time span    {max(stamps) - min(stamps):.1f} s")
        print(f"with pose    {sum(place.pose is not None for place in places)}")
    _print_extras(reference)
    for mode, known in reference.calibrations.items():
        print(
            f"calibrated   {mode}: limit {known.limit:.4f}, {known.right} of {known.accepted} "
            f"detections right among {known.queries} labelled queries"
        )
    if len(places) > 1:
        low, middle, high = np.percentile(_steps(reference), (10, 50, 90))
        print(
            f"steps        distance from one place to the next: median {middle:.3f}, "
            f"10 % {low:.3f}, 90 % {high:.3f}"
        )
    aliasing = _print_aliasing(reference)
    if arguments.places:
        for place in places:
            print(
                f"{place.id:>19} {place.stamp_ns / 1e9:>17.3f} s  {place.name}  "
                f"{place.session.name}  {place.pose or ''}"
            )
    if plot is not None:
        from floppynet_vpr.evaluation.map_picture import draw_map

        if len(places) < 2:
            raise VprError(f"{path} has too few places for a picture: two are needed")
        draw_map(reference, aliasing, path.stem, plot)
        print(f"wrote {plot}")
    return 0


def _write_image(reference: ReferenceMap, arguments: argparse.Namespace) -> None:
    """Write the thumbnail of a place; raises VprError where there is none."""
    from floppynet_vpr.files import write_atomically

    output: Path = arguments.output
    require_new(output, arguments.force)
    index = reference.index_of(arguments.image)
    index = arguments.image if index is None else index
    if index >= len(reference):
        raise VprError(
            f"{arguments.map} has no place {arguments.image}: map_info --places lists their ids"
        )
    thumbnail = reference.thumbnail_of(index)
    if thumbnail is None:
        raise VprError(
            f"{arguments.map} has no picture of place {arguments.image}: build it with "
            "build_map --thumbnails"
        )
    write_atomically(output, [thumbnail])
    print(f"wrote {output}: {reference.places[index].name}")


def _facts(reference: ReferenceMap, path: StoredMap) -> dict[str, Any]:
    """What the file holds, but for the places themselves."""
    from floppynet_vpr.mapping.spans import spans

    return {
        "file": shown(str(path)),
        "bytes": path.size(),
        "places": len(reference),
        "descriptor": reference.grid.shape,
        "storage": reference.storage,
        "bytes_per_descriptor": reference.bytes_per_place,
        "features_per_place": reference.features,
        "thumbnails": _pictured(reference),
        "other_looks": len(reference.looks(len(reference))[0]),
        "network": reference.network,
        "fingerprint": reference.fingerprint,
        "sessions": [
            {
                **asdict(session),
                "places": last - first,
                "with_pose": sum(place.pose is not None for place in reference.places[first:last]),
                "first_id": reference.places[first].id,
            }
            for session, (first, last) in zip(
                reference.sessions, spans(reference.borders, len(reference)), strict=False
            )
        ],
        "calibrations": [asdict(known) for known in reference.calibrations.values()],
    }


def _pictured(reference: ReferenceMap) -> int:
    """Count the places with a thumbnail."""
    if not reference.thumbnails:
        return 0
    return sum(reference.thumbnail_of(index) is not None for index in range(len(reference)))


def _print_extras(reference: ReferenceMap) -> None:
    """Tell what only some maps have."""
    from floppynet_vpr.extraction.local_features import row_bytes
    from floppynet_vpr.mapping.spans import spans

    if reference.features:
        print(
            f"features     up to {reference.features} a place, "
            f"{row_bytes(reference.features):,} bytes, for verification"
        )
    if reference.thumbnails:
        print(f"thumbnails   of {_pictured(reference)} places, 4,096 bytes each")
    looks = len(reference.looks(len(reference))[0])
    if looks:
        print(f"looks        {looks} places are another look of one, by night or in rain")
    for session, (first, last) in zip(
        reference.sessions, spans(reference.borders, len(reference)), strict=False
    ):
        facts = [session.name or "without a name", f"{last - first} places"]
        facts += [f"by {session.robot}"] if session.robot else []
        facts += [f"poses in {session.frame}"] if session.frame else []
        print(f"session      {', '.join(facts)}; ids {reference.places[first].id} on")


def _print_aliasing(reference: ReferenceMap) -> Aliasing:
    """Tell which places look like others elsewhere, and what can be done about it."""
    from floppynet_vpr.detection.aliasing import find_aliasing

    aliasing = find_aliasing(
        reference,
        progress=lambda places: progress(places, unit="place", leave=False),
    )
    if not aliasing.searched:
        print("alike        not known: too few places to tell what is usual")
        return aliasing
    print(
        f"alike        {aliasing.aliased} of {aliasing.searched} places searched "
        f"({len(reference)} in the map) look like one elsewhere: distance below "
        f"{aliasing.limit:.3f}"
    )
    for pair in aliasing.pairs[:_LISTED]:
        one, other = reference.places[pair.first], reference.places[pair.second]
        apart = "" if pair.metres is None else f", {pair.metres:.1f} m apart"
        print(
            f"  {pair.distance:.3f}  place {one.id} ({one.name}) and {other.id} ({other.name})"
            f"{apart}"
        )
    if aliasing.aliased:
        print(
            "  If these are one place seen twice, all is well. If not, single images may be taken "
            "for the wrong one:\n  follow the drive (sequence:=filter) or verify by geometry "
            "(build_map --features 300, verification:=features)."
        )
    return aliasing


def _steps(reference: ReferenceMap) -> list[float]:
    """Distances from some places, spread over the map, to the next."""
    from floppynet_vpr.detection.background import Background

    background = Background(reference)
    some = np.unique(np.linspace(0, len(reference) - 1, min(len(reference), _PIECE)).astype(int))
    return [background.step_after(place) for place in some.tolist()]


if __name__ == "__main__":
    sys.exit(main())
