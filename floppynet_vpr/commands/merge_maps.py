# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`merge_maps`: makes one map of several drives."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from floppynet_vpr.commands.common import make_parser, parse, require_new, run
from floppynet_vpr.files import user_path


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
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
        "maps", type=user_path, nargs="+", metavar="MAP.fvm", help="two maps or more"
    )
    parser.add_argument(
        "-o", "--output", type=user_path, required=True, metavar="MAP.fvm", help="the map to write"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing map")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = parse(build_parser(), argv)
    return run(lambda: _merge(arguments))


def _merge(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.file_lock import FileLock
    from floppynet_vpr.mapping import MapError
    from floppynet_vpr.mapping.sessions import join_files
    from floppynet_vpr.mapping.spans import spans

    output: Path = arguments.output
    require_new(output, arguments.force)
    if len(arguments.maps) < 2:
        raise MapError(f"{arguments.maps[0]} alone needs no merging: name two maps or more")
    with FileLock(output):
        joined = join_files(arguments.maps)
        joined.save(output)
    for first, last in spans(joined.borders, len(joined)):
        if first < last:
            print(f"{joined.places[first].session.name}: {last - first} places")
    print(f"wrote {output}: {len(joined)} places, {output.stat().st_size / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
