# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`build_map`: makes a reference map from an image folder, a video or a rosbag2."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from floppynet_vpr.commands.common import (
    UnusableFrames,
    add_extractor_options,
    add_map_output,
    add_strict_option,
    at_least,
    make_parser,
    parse,
    progress,
    run,
)
from floppynet_vpr.errors import VprError
from floppynet_vpr.files import user_path
from floppynet_vpr.fleet.stored_map import FileMap, StoredMap


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    from floppynet_vpr.extraction.local_features import DEFAULT_FEATURES, row_bytes
    from floppynet_vpr.mapping import DEFAULT_STORAGE, STORAGES

    parser = make_parser(
        "build_map",
        "Make a reference map: every frame of SOURCE becomes a place with its descriptor. SOURCE "
        "is a folder of images, a video file, a rosbag2 (mcap or sqlite3, raw or compressed "
        "images), or a ROS 1 bag.",
        "  ros2 run floppynet_vpr build_map lap_1/ --output office.fvm\n"
        "  ros2 run floppynet_vpr build_map drive.mp4 --output street.fvm --every 10\n"
        "  ros2 run floppynet_vpr build_map my_bag/ --topic /front/image_raw --output home.fvm "
        "--min-distance 0.3",
    )
    parser.add_argument("source", type=user_path, metavar="SOURCE", help="folder, video or bag")
    add_map_output(parser)
    parser.add_argument(
        "--storage",
        choices=tuple(STORAGES),
        default=DEFAULT_STORAGE,
        help="how descriptors are kept: float32 is exact, the others are lossy and smaller "
        f"({', '.join(f'{name} {kind.row_bytes:,}' for name, kind in STORAGES.items())} bytes a "
        "place); distances stay on one scale",
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
    parser.add_argument("--force", action="store_true", help="replace an existing map")
    frames = parser.add_argument_group("frames")
    frames.add_argument(
        "--topic",
        help="image topic of the bag, or base topic of a compressed one; found by itself when it "
        "is the only one",
    )
    frames.add_argument(
        "--every", type=at_least(1), default=1, metavar="N", help="use every N-th frame"
    )
    frames.add_argument(
        "--rate",
        type=at_least(0.001, float),
        default=10.0,
        metavar="HZ",
        help="frames per second of a folder, for the places' stamps",
    )
    frames.add_argument(
        "--min-distance",
        type=at_least(0, float),
        default=0.0,
        metavar="D",
        help="skip a frame whose descriptor is closer than this (0 to 2) to the last place, so "
        "that standing still adds nothing; 0 keeps all",
    )
    add_strict_option(frames)
    add_extractor_options(
        parser, len(os.sched_getaffinity(0)), "frames worked on at once; without it one per core"
    )
    return parser


def _feature_count(text: str) -> int:
    from floppynet_vpr.extraction.local_features import MOST_FEATURES

    count = int(at_least(0)(text))
    if count > MOST_FEATURES:
        raise argparse.ArgumentTypeError(f"{text} is too many: at most {MOST_FEATURES}")
    return count


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = parse(build_parser(), argv)
    return run(lambda: _build(arguments))


def _build(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.datasets.sources import open_source
    from floppynet_vpr.extraction import create_extractor, describe_frames
    from floppynet_vpr.mapping import MapError, build_map
    from floppynet_vpr.network.weights import load_weights

    output: StoredMap = arguments.output
    output.require_new(arguments.force)
    source = open_source(
        arguments.source, topic=arguments.topic, rate_hz=arguments.rate, every=arguments.every
    )
    weights = load_weights(arguments.weights)
    extractors = [create_extractor(weights, arguments.backend) for _ in range(arguments.threads)]
    print(
        f"{source.label}: {len(source)} frames; {extractors[0].description}, "
        f"{arguments.threads} at once"
    )
    if not arguments.min_distance and isinstance(output, FileMap):
        _require_room(output.path, len(source), arguments.storage, arguments.features)
    with output.lock():  # before all the work: whether the map can be written at all
        start = time.perf_counter()
        unusable = UnusableFrames()
        described = describe_frames(
            source.pending(),
            extractors,
            arguments.features,
            skipped=None if arguments.strict else unusable,
        )
        frames = progress(described, len(source))
        reference = build_map(
            frames, weights, arguments.min_distance, arguments.storage, arguments.features
        )
        unusable.tell()
        if not len(reference):
            raise MapError(f"{arguments.source} gave no frame: nothing to build a map of")
        seconds = time.perf_counter() - start
        written = output.save(reference)
        print(
            f"wrote {output}: {written} ({reference.storage}), "
            f"in {seconds:.1f} s, {len(source) / seconds:.0f} frames/s"
        )
    return 0


def _require_room(output: Path, places: int, storage: str, features: int) -> None:
    """Raise VprError where a map of so many places does not fit on the disk."""
    from floppynet_vpr.extraction.local_features import row_bytes
    from floppynet_vpr.mapping import STORAGES

    needed = places * (STORAGES[storage].row_bytes + (row_bytes(features) if features else 0))
    free = shutil.disk_usage(output.parent).free
    if needed > free:
        raise VprError(
            f"{output} would take {needed / 2**20:.1f} MiB, but {free / 2**20:.1f} MiB are free "
            "there: make room, or choose another place or a smaller --storage"
        )


if __name__ == "__main__":
    sys.exit(main())
