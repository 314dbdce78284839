# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`make_bag`: writes a folder of images or a video as a rosbag2."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from floppynet_vpr.commands.common import at_least, make_parser, parse, run
from floppynet_vpr.datasets.bags import STORAGES, WrittenBag


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = make_parser(
        "make_bag",
        "Write the images of SOURCE (a folder, in natural order: image10 after image9; or a video) "
        "as one image topic of a new rosbag2, which Humble and every later distribution plays. "
        "ROS itself is not needed.",
        "  ros2 run floppynet_vpr make_bag day_left/ bags/day_left\n"
        "  ros2 run floppynet_vpr make_bag day_left/ bags/day_left --compressed jpeg --rate 15\n"
        "  ros2 run floppynet_vpr make_bag drive.mp4 bags/drive --every 3 --storage mcap",
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder of images, or video")
    parser.add_argument("out", type=Path, metavar="OUT", help="the bag's folder, to be created")
    parser.add_argument("--force", action="store_true", help="replace an existing bag")
    frames = parser.add_argument_group("frames")
    frames.add_argument(
        "--rate",
        type=at_least(0.001, float),
        default=10.0,
        metavar="HZ",
        help="images per second of a folder; a video has its own rate",
    )
    frames.add_argument(
        "--every", type=at_least(1), default=1, metavar="N", help="take every N-th image"
    )
    frames.add_argument(
        "--start-time",
        type=at_least(0, float),
        metavar="SECONDS",
        help="stamp of the first image, in seconds since 1970; without it the present time",
    )
    messages = parser.add_argument_group("messages")
    messages.add_argument(
        "--topic",
        help="name of the topic; without it /camera/image, or /camera/image/compressed",
    )
    how = messages.add_mutually_exclusive_group()
    how.add_argument(
        "--encoding",
        choices=("bgr8", "rgb8", "mono8"),
        default="bgr8",
        help="encoding of raw images",
    )
    how.add_argument(
        "--compressed",
        choices=("jpeg", "png"),
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


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = parse(build_parser(), argv)
    return run(lambda: _make(arguments))


def _make(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from floppynet_vpr.datasets.bags import write_bag
    from floppynet_vpr.datasets.frames import looks_like_bag, open_source
    from floppynet_vpr.errors import VprError

    if looks_like_bag(arguments.source):
        raise VprError(f"{arguments.source} is a rosbag2 already: name a folder or a video")
    source = open_source(arguments.source, rate_hz=arguments.rate, every=arguments.every)
    start_ns = time.time_ns() if arguments.start_time is None else round(arguments.start_time * 1e9)
    with tqdm(source, total=len(source), unit="frame", disable=None) as frames:
        bag = write_bag(
            frames,
            arguments.out,
            topic=arguments.topic,
            encoding=arguments.compressed or arguments.encoding,
            storage=arguments.storage,
            start_ns=start_ns,
            force=arguments.force,
        )
    print(_summary(bag, arguments.out))
    return 0


def _summary(bag: WrittenBag, out: Path) -> str:
    """Say what was written and how to see it."""
    return (
        f"wrote {out}: {bag.messages} messages of {bag.msgtype} on {bag.topic}, "
        f"{bag.duration_ns / 1e9:.1f} s, {bag.size_bytes / 2**20:.1f} MiB\n"
        f"try: ros2 bag play {out} --delay 2\n"
        f" or, without rosbag2: ros2 run floppynet_vpr play_bag {out}"
    )


if __name__ == "__main__":
    sys.exit(main())
