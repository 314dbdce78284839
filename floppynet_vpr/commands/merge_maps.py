# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`merge_maps`: makes one map of several drives."""

from __future__ import annotations

import argparse
import sys

from floppynet_vpr.commands.common import add_force_option, add_map_output, command, make_parser
from floppynet_vpr.fleet.stored_map import StoredMap, join_stored, stored_map


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "merge_maps",
        "Make one map of several, so that an image is matched to the drive it resembles most: by "
        "day and by night, in summer and in winter. Candidates tell the session that their place "
        "was seen in, which is the name of the map's file unless it has sessions already. The "
        "maps must have been built with the same weights and --storage. Calibrations are of "
        "single maps and left behind: run calibrate on the new map. The node also takes several "
        "maps as map:=day.fvm:night.fvm, without merging them.",
        "  ros2 run floppynet_vpr merge_maps day.fvm night.fvm --output street.fvm\n"
        "  ros2 run floppynet_vpr map_info street.fvm",
    )
    parser.add_argument(
        "maps", type=stored_map, nargs="+", metavar="MAP.fvm", help="two maps or more"
    )
    add_map_output(parser)
    add_force_option(parser)
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.mapping import MapError
    from floppynet_vpr.mapping.spans import spans

    output: StoredMap = arguments.output
    output.require_new(arguments.force)
    if len(arguments.maps) < 2:
        raise MapError(f"{arguments.maps[0]} alone needs no merging: name two maps or more")
    with output.lock():
        joined = join_stored(arguments.maps)
        written = output.save(joined)
    for first, last in spans(joined.borders, len(joined)):
        if first < last:
            print(f"{joined.places[first].session.name}: {last - first} places")
    print(f"wrote {output}: {written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
