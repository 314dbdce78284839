# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`build_map`: makes a reference map from image folders, videos and bags."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from floppynet_vpr.commands.common import (
    UnusableFrames,
    add_depth_options,
    add_extractor_options,
    add_force_option,
    add_frame_options,
    add_map_output,
    add_rate_option,
    at_least,
    command,
    make_parser,
    progress,
)
from floppynet_vpr.errors import VprError
from floppynet_vpr.files import user_path
from floppynet_vpr.fleet.stored_map import DatabaseMap, FileMap, StoredMap

if TYPE_CHECKING:
    from tqdm import tqdm

    from floppynet_vpr.building.drives import Recipe
    from floppynet_vpr.extraction import Extractor
    from floppynet_vpr.mapping import ReferenceMap


def build_parser() -> argparse.ArgumentParser:
    from floppynet_vpr.building.cluster import PIECE_FRAMES
    from floppynet_vpr.extraction.local_features import DEFAULT_FEATURES, row_bytes
    from floppynet_vpr.mapping import DEFAULT_STORAGE, STORAGES
    from floppynet_vpr.mapping.grid import POOL5
    from floppynet_vpr.mapping.place_features import POINT_BYTES

    parser = make_parser(
        "build_map",
        "Make a reference map: every frame of SOURCE becomes a place with its descriptor. SOURCE "
        "is a folder of images, a video file, a rosbag2 (mcap or sqlite3, raw or compressed "
        "images), or a ROS 1 bag. Several become one map, each a session of its own, named after "
        "it; one that cannot be used is named and left out. A map in a database has each of them "
        "as soon as it is made, and none twice. With --workers or --scheduler they "
        "are described by other processes, with the same map.",
        "  ros2 run floppynet_vpr build_map lap_1/ --output office.fvm\n"
        "  ros2 run floppynet_vpr build_map drive.mp4 --output street.fvm --every 10\n"
        "  ros2 run floppynet_vpr build_map my_bag/ --topic /front/image_raw --output home.fvm "
        "--min-distance 0.3\n"
        "  ros2 run floppynet_vpr build_map monday/ tuesday/ --output week.fvm --workers 4",
    )
    parser.add_argument(
        "sources", type=user_path, nargs="+", metavar="SOURCE", help="folder, video or bag"
    )
    add_map_output(parser)
    parser.add_argument(
        "--storage",
        choices=tuple(STORAGES),
        default=DEFAULT_STORAGE,
        help="how descriptors are kept: float32 is exact, binary is lossy and smaller "
        f"({', '.join(f'{name} {kind.row_bytes(POOL5):,}' for name, kind in STORAGES.items())} "
        "bytes a place, of FloppyNet); distances stay on one scale",
    )
    parser.add_argument(
        "--features",
        type=_feature_count,
        default=0,
        metavar="N",
        help="keep up to N local features with each place, so that matches can be verified by "
        f"geometry: {DEFAULT_FEATURES} is a good number ({row_bytes(DEFAULT_FEATURES):,} bytes a "
        f"place, 200 {row_bytes(200):,}, 500 {row_bytes(500):,}); images below about "
        "160 pixels are too small for it; 0 keeps none",
    )
    parser.add_argument(
        "--thumbnails",
        action="store_true",
        help="keep a small picture of each place, 4,096 bytes more, for ~/match_image and for "
        "map_info --image",
    )
    session = parser.add_argument_group("session", "What the map says of this drive.")
    session.add_argument(
        "--session", default="", metavar="NAME", help="which drive it is: summer, night, monday"
    )
    session.add_argument("--robot", default="", metavar="NAME", help="who drove")
    add_depth_options(
        parser,
        f": places keep where their corners are in space ({POINT_BYTES} bytes a feature), and who "
        f"recognises them is told from where; without --features it keeps {DEFAULT_FEATURES}",
    )
    add_force_option(parser)
    frames = parser.add_argument_group("frames")
    add_frame_options(frames)
    add_rate_option(frames, "frames per second of a folder, for the places' stamps")
    frames.add_argument(
        "--min-distance",
        type=at_least(0, float),
        default=0.0,
        metavar="D",
        help="skip a frame whose descriptor is closer than this (0 to 2) to the last place, so "
        "that standing still adds nothing; 0 keeps all",
    )
    add_extractor_options(parser, None, "frames worked on at once; without it one per core")
    fleet = parser.add_argument_group("several processes or machines (Dask)")
    where = fleet.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=at_least(1),
        metavar="N",
        help="start so many processes on this machine; each works on one frame at a time",
    )
    where.add_argument(
        "--scheduler",
        metavar="tcp://HOST:8786",
        help="use the Dask cluster there; its machines must have this package and find the sources "
        "under the same paths",
    )
    fleet.add_argument(
        "--piece",
        type=at_least(1),
        default=PIECE_FRAMES,
        metavar="FRAMES",
        help="a folder or bag with more frames is cut into tasks of so many",
    )
    return parser


def _feature_count(text: str) -> int:
    from floppynet_vpr.extraction.local_features import MOST_FEATURES

    count = int(at_least(0)(text))
    if count > MOST_FEATURES:
        raise argparse.ArgumentTypeError(f"{text} is too many: at most {MOST_FEATURES}")
    return count


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    import numpy as np

    from floppynet_vpr.building.drives import named_drive, session_names

    output: StoredMap = arguments.output
    output.require_new(arguments.force)
    paths = [path.absolute() for path in arguments.sources]
    names = session_names(paths)
    recipe = _recipe(arguments)
    several = len(names) > 1
    # A database has each drive as soon as it is made, for that can be a day before the last.
    at_once = several and isinstance(output, DatabaseMap)
    unusable, left_out, places = UnusableFrames(), 0, 0
    known: dict[int, str] = {}
    reference = recipe.new_map()
    # Before all the work: whether the map can be written at all.
    with output.lock(), progress(total=0) as shown:
        room = _Room(arguments, recipe, shown)
        start = time.perf_counter()
        with closing(_drives(arguments, recipe, paths, room, unusable)) as drives:
            for name, made in zip(names, drives, strict=True):
                try:
                    drive = named_drive(made(), name, known) if several else made()
                except VprError as error:
                    if arguments.strict or not several:
                        raise
                    left_out += 1
                    shown.write(f"warning: source left out: {error}", file=sys.stderr)
                    continue
                places += len(drive)
                if at_once:
                    shown.write(f"{name}: {output.save(drive)}")
                else:
                    reference.adopt(drive, np.arange(len(drive), dtype=np.int64))
        shown.close()
        unusable.tell()
        if left_out:
            print(
                f"warning: sources left out because they could not be used: {left_out} of "
                f"{len(names)} (--strict ends at the first instead)",
                file=sys.stderr,
            )
        if not places:
            raise VprError("no source gave a frame: nothing to build a map of")
        seconds = time.perf_counter() - start
        written = f"{places} places" if at_once else output.save(reference)
        print(
            f"wrote {output}: {written} ({recipe.storage}), in {seconds:.1f} s, "
            f"{room.frames / seconds:.0f} frames/s"
        )
    return 0


def _recipe(arguments: argparse.Namespace) -> Recipe:
    """How places are to be made; raises VprError for what does not go together."""
    from floppynet_vpr.building.drives import Recipe
    from floppynet_vpr.extraction import load_network
    from floppynet_vpr.extraction.local_features import DEFAULT_FEATURES

    if arguments.session and len(arguments.sources) > 1:
        raise VprError("--session names one drive: of several sources, each is named after itself")
    if arguments.camera_info is not None and arguments.depth is None:
        raise VprError("--camera-info goes with --depth TOPIC")
    features = arguments.features
    if arguments.depth is not None:
        features = features or DEFAULT_FEATURES
        if arguments.workers is not None or arguments.scheduler is not None:
            raise VprError("--depth is read in one process: leave out --workers and --scheduler")
    recipe = Recipe(
        load_network(arguments.weights),
        arguments.backend,
        arguments.storage,
        features,
        arguments.min_distance,
        arguments.topic,
        arguments.rate,
        arguments.every,
        arguments.strict,
        arguments.thumbnails,
        arguments.depth,
        arguments.camera_info,
        arguments.session,
        arguments.robot,
    )
    if isinstance(arguments.output, DatabaseMap):
        from floppynet_vpr.fleet.database_map import require_grid
        from floppynet_vpr.mapping.grid import Grid

        require_grid(arguments.output.url, Grid(*recipe.weights.shape))
        for given, option in ((recipe.thumbnails, "--thumbnails"), (recipe.depth, "--depth")):
            if given:
                raise VprError(f"a map in a database keeps nothing of {option}: leave it out")
    return recipe


def _drives(
    arguments: argparse.Namespace,
    recipe: Recipe,
    paths: Sequence[Path],
    room: _Room,
    unusable: UnusableFrames,
) -> Generator[Callable[[], ReferenceMap], None, None]:
    """Make a map of each source, here or on workers."""
    if arguments.workers is None and arguments.scheduler is None:
        from floppynet_vpr.building.drives import drives_here
        from floppynet_vpr.extraction import create_extractor

        threads = arguments.threads or len(os.sched_getaffinity(0))

        def make_extractors() -> list[Extractor]:
            made = [create_extractor(recipe.weights, recipe.backend) for _ in range(threads)]
            room.how = f"{made[0].description}, {threads} at once"
            return made

        yield from drives_here(
            recipe, paths, make_extractors, room.found, room.done, unusable, room.without_depth
        )
        return
    from floppynet_vpr.building.cluster import cluster, drives_on

    if arguments.threads is not None:
        raise VprError("--threads is of one process: a worker works on one frame at a time")
    with cluster(arguments.workers, arguments.scheduler) as client:
        count = len(client.nthreads())
        room.how = f"{count} workers at {client.scheduler.address}"
        piece = arguments.piece
        yield from drives_on(client, recipe, paths, piece, room.found, room.done, unusable)


class _Room:
    """Shows how far the work has come, and ends it where the map would not fit on the disk."""

    def __init__(self, arguments: argparse.Namespace, recipe: Recipe, shown: tqdm[Any]) -> None:
        self.frames = 0
        self.how = ""
        """By what frames are described, for people."""
        self._output: StoredMap = arguments.output
        self._recipe = recipe
        self._shown = shown

    def found(self, path: Path, frames: int) -> None:
        """Tell of a source with so many frames; raises VprError where there is no room for them."""
        self.frames += frames
        self._shown.total = self.frames
        self._shown.write(f"{path.name}: {frames} frames; {self.how}")
        if not self._recipe.min_distance and isinstance(self._output, FileMap):
            _require_room(self._output.path, self.frames, self._recipe)

    def done(self, frames: int) -> None:
        """Tell of how many frames more places were made."""
        self._shown.update(frames)

    def without_depth(self, path: Path, frames: int) -> None:
        """Tell of a source of which so many frames have no depth."""
        self._shown.write(f"warning: frames without depth: {frames} of {path}", file=sys.stderr)


def _require_room(output: Path, places: int, recipe: Recipe) -> None:
    """Raise VprError where a map of so many places does not fit on the disk."""
    from floppynet_vpr.extraction.local_features import row_bytes
    from floppynet_vpr.mapping import STORAGES
    from floppynet_vpr.mapping.grid import Grid
    from floppynet_vpr.mapping.place_features import POINT_BYTES
    from floppynet_vpr.mapping.thumbnails import ROW_BYTES

    a_place = STORAGES[recipe.storage].row_bytes(Grid(*recipe.weights.shape))
    a_place += row_bytes(recipe.features) if recipe.features else 0
    a_place += POINT_BYTES * recipe.features if recipe.depth is not None else 0
    a_place += ROW_BYTES if recipe.thumbnails else 0
    needed = places * a_place
    free = shutil.disk_usage(output.parent).free
    if needed > free:
        raise VprError(
            f"{output} would take {needed / 2**20:.1f} MiB, but {free / 2**20:.1f} MiB are free "
            "there: make room, or choose another place or a smaller --storage"
        )


if __name__ == "__main__":
    sys.exit(main())
