# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`make_bag`: writes a folder of images, a video, a bag's images or a dataset as rosbag2."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from floppynet_vpr.commands.common import (
    UnusableFrames,
    add_every_option,
    add_force_option,
    add_rate_option,
    add_strict_option,
    at_least,
    command,
    make_parser,
    progress,
)
from floppynet_vpr.datasets.bags import CODECS, RAW_ENCODINGS, STORAGES, WrittenBag
from floppynet_vpr.errors import VprError
from floppynet_vpr.files import user_path
from floppynet_vpr.ros.replay import DISCOVERY_S


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "make_bag",
        "Write the images of SOURCE (a folder, in natural order: image10 after image9; a video; or "
        "a bag, of ROS 1 too) as one image topic of a new rosbag2, which Humble and every later "
        "distribution plays. Those of a bag keep their stamps and their topic's name. "
        "With --dataset, query and reference drive of a dataset become a bag each, with GPS "
        "positions where there are some, and the ground truth a file beside. ROS itself is not "
        "needed.",
        "  ros2 run floppynet_vpr make_bag day_left/ bags/day_left\n"
        "  ros2 run floppynet_vpr make_bag day_left/ bags/day_left --compressed jpeg --rate 15\n"
        "  ros2 run floppynet_vpr make_bag drive.mp4 bags/drive --every 3 --storage mcap\n"
        "  ros2 run floppynet_vpr make_bag ros1.bag bags/ros2 --compressed jpeg\n"
        "  ros2 run floppynet_vpr make_bag --dataset nordland --root datasets/ --output bags/",
    )
    parser.add_argument(
        "source", type=user_path, nargs="?", metavar="SOURCE", help="folder of images, video or bag"
    )
    parser.add_argument(
        "out", type=user_path, nargs="?", metavar="OUT", help="the bag's folder, to be created"
    )
    add_force_option(parser)
    dataset = parser.add_argument_group("datasets, in place of SOURCE and OUT")
    dataset.add_argument(
        "--dataset", metavar="NAME", help="a dataset, or a .yaml file like config's template.yaml"
    )
    dataset.add_argument(
        "--root",
        type=user_path,
        metavar="DIR",
        help="the dataset's folder, or the one that holds it",
    )
    dataset.add_argument(
        "-o",
        "--output",
        type=user_path,
        metavar="DIR",
        help="folder for the bags and the ground truth",
    )
    dataset.add_argument("--query", metavar="NAME", help="the traverse that asks, if not the first")
    dataset.add_argument("--reference", metavar="NAME", help="the traverse that is the map")
    dataset.add_argument(
        "--frames", type=at_least(2), metavar="N", help="only N frames of each, evenly spread"
    )
    frames = parser.add_argument_group("frames")
    add_rate_option(
        frames, "images per second of a folder; videos, bags and datasets have their own times"
    )
    add_every_option(frames)
    frames.add_argument(
        "--start-time",
        type=at_least(0, float),
        metavar="SECONDS",
        help="stamp of the first image, in seconds since 1970; without it the present time, and "
        "a bag's images keep theirs",
    )
    add_strict_option(frames)
    messages = parser.add_argument_group("messages")
    messages.add_argument(
        "--topic",
        help="name of the topic; without it /camera/image_raw, or /camera/image_raw/compressed; of "
        "a bag, the topic to take, found by itself when there is just one",
    )
    how = messages.add_mutually_exclusive_group()
    how.add_argument(
        "--encoding",
        choices=RAW_ENCODINGS,
        help="encoding of raw images; without it bgr8, or of a dataset the image files as they are",
    )
    how.add_argument(
        "--compressed",
        choices=CODECS,
        help="write sensor_msgs/CompressedImage; files of that kind are stored as they are, others "
        "encoded (jpeg with quality 95, png without loss)",
    )
    messages.add_argument(
        "--storage",
        choices=STORAGES,
        default="sqlite3",
        help="sqlite3 plays everywhere; on Humble, mcap needs ros-humble-rosbag2-storage-mcap",
    )
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    if arguments.dataset is not None:
        return _make_dataset(arguments)
    if arguments.source is None or arguments.out is None:
        raise VprError("name SOURCE and OUT, or --dataset, --root and --output")
    return _make_one(arguments)


def _make_one(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.datasets.bag_view import looks_like_bag
    from floppynet_vpr.datasets.bags import default_topic, write_bag
    from floppynet_vpr.datasets.bags_reading import BagFrames
    from floppynet_vpr.datasets.frames import decoded
    from floppynet_vpr.datasets.sources import open_source

    encoding = arguments.compressed or arguments.encoding or "bgr8"
    taken = arguments.topic if looks_like_bag(arguments.source) else None
    source = open_source(
        arguments.source, topic=taken, rate_hz=arguments.rate, every=arguments.every
    )
    topic, start_ns = arguments.topic, _start_ns(arguments)
    if isinstance(source, BagFrames):
        topic = default_topic(encoding, source.topic)
        start_ns = 0 if arguments.start_time is None else start_ns - source.first_stamp_ns()
    unusable = UnusableFrames()
    threads = len(os.sched_getaffinity(0))
    frames = decoded(source.pending(), threads, None if arguments.strict else unusable)
    bag = write_bag(
        progress(frames, len(source), source.label),
        arguments.out,
        topic=topic,
        encoding=encoding,
        storage=arguments.storage,
        start_ns=start_ns,
        force=arguments.force,
    )
    unusable.tell()
    print(_summary(bag, arguments.out))
    return 0


def _make_dataset(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from floppynet_vpr.datasets.catalogue import Pair, dataset_files, load_dataset
    from floppynet_vpr.datasets.dataset_bags import DAY_NS, write_pair
    from floppynet_vpr.datasets.traverse_pairs import open_pairs

    if arguments.source is not None:
        raise VprError("with --dataset, name the output folder with --output")
    if arguments.root is None or arguments.output is None:
        raise VprError("--dataset needs --root (where it is) and --output (where the bags go)")
    if arguments.topic is not None or arguments.every != 1:
        raise VprError("--topic and --every do not go with --dataset: see --frames")
    spec = load_dataset(arguments.dataset)
    first = spec.pairs[0]
    chosen = Pair(arguments.query or first.query, arguments.reference or first.reference)
    whole = arguments.frames is None
    spec = spec if whole else replace(spec, paper_frames=int(arguments.frames))
    (pair,) = open_pairs(spec, arguments.root, only=chosen, paper_frames=not whole)
    start_ns = _start_ns(arguments)
    unusable = UnusableFrames()
    bags, files = write_pair(
        pair,
        arguments.output,
        progress,
        encoding=arguments.compressed or arguments.encoding,
        storage=arguments.storage,
        start_ns=start_ns if arguments.start_time is not None else start_ns - 2 * DAY_NS,
        force=arguments.force,
        skipped=None if arguments.strict else unusable,
    )
    unusable.tell()
    for bag in bags:
        print(f"wrote {bag.path}: {bag.messages} messages of {bag.msgtype} on {bag.topic}")
    print(f"wrote {files.truth}: {pair.rule}")
    if spec.name in dataset_files():
        print(f"try: ros2 launch floppynet_vpr {spec.name}.launch.py folder:={arguments.output}")
    print(
        f"try: ros2 run floppynet_vpr evaluate --query {files.query} --reference "
        f"{files.reference} --truth {files.truth} --output results"
    )
    return 0


def _start_ns(arguments: argparse.Namespace) -> int:
    return time.time_ns() if arguments.start_time is None else round(arguments.start_time * 1e9)


def _summary(bag: WrittenBag, out: Path) -> str:
    """Say what was written and how to see it."""
    typed = shlex.quote(str(out))
    return (
        f"wrote {out}: {bag.messages} messages of {bag.msgtype} on {bag.topic}, "
        f"{bag.duration_ns / 1e9:.1f} s, {bag.size_bytes / 2**20:.1f} MiB\n"
        f"try: ros2 bag play {typed} --delay {DISCOVERY_S:g}\n"
        f" or, without rosbag2: ros2 run floppynet_vpr play_bag {typed}"
    )


if __name__ == "__main__":
    sys.exit(main())
