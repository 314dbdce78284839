# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`play_bag`: publishes a rosbag2 in real time on machines without rosbag2."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from floppynet_vpr.commands.common import at_least, command, make_parser, progress
from floppynet_vpr.files import user_path

if TYPE_CHECKING:
    from floppynet_vpr.ros.bag_player import BagPlayer


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "play_bag",
        "Publish the messages of a bag at the pace they were recorded: a rosbag2 (mcap or sqlite3) "
        "or a ROS 1 bag. This small player is for machines that have rclpy but not rosbag2; where "
        "`ros2 bag play` exists, use that. Topics that cannot be published, because their message "
        "type is not installed or their name is none in ROS 2, are left out and named.",
        "  ros2 run floppynet_vpr play_bag bags/day\n"
        "  ros2 run floppynet_vpr play_bag day --rate 2 --ros-args -r /image:=/camera/image_raw"
        "\n  ros2 run floppynet_vpr play_bag day --loop --stamp-now --qos sensor_data",
    )
    parser.add_argument("bag", type=user_path, metavar="BAG", help="the bag: a folder, or a file")
    pace = parser.add_argument_group("pace")
    pace.add_argument(
        "--rate",
        type=at_least(0.001, float),
        default=1.0,
        metavar="FACTOR",
        help="2 plays twice as fast as recorded",
    )
    pace.add_argument("--loop", action="store_true", help="start again at the end, until Ctrl-C")
    pace.add_argument(
        "--wait-for-subscriber",
        type=at_least(0, float),
        default=10.0,
        metavar="SECONDS",
        help="begin when somebody subscribes to the images, but after this time at the latest, so "
        "that nothing is lost to discovery; 0 begins at once",
    )
    pace.add_argument(
        "--delay",
        type=at_least(0, float),
        default=0.0,
        metavar="SECONDS",
        help="then wait this long, for further subscribers and for best-effort ones: these "
        "can miss what comes before they know of the player, up to 3 s",
    )
    messages = parser.add_argument_group("messages")
    messages.add_argument(
        "--qos",
        choices=("reliable", "sensor_data"),
        default="reliable",
        help="of the images: reliable suits every subscriber, sensor_data is best effort as with "
        "most cameras",
    )
    when = messages.add_mutually_exclusive_group()
    when.add_argument(
        "--clock",
        action="store_true",
        help="publish the bag's time on /clock, for nodes with use_sim_time",
    )
    when.add_argument(
        "--stamp-now",
        action="store_true",
        help="replace the stamps in the headers by the present time",
    )
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.errors import VprError

    try:
        from floppynet_vpr.ros.bag_player import BagPlayer
        from floppynet_vpr.ros.command_node import command_node
    except ImportError as error:
        raise VprError(f"play_bag needs ROS 2 ({error}): source its setup.bash first") from error

    with command_node("play_bag", arguments.words) as node:
        player = BagPlayer(
            node,
            arguments.bag,
            qos=arguments.qos,
            clock=arguments.clock,
            stamp_now=arguments.stamp_now,
        )
        print(f"{player.message_count} messages on {', '.join(player.topics)}")
        for topic, reason in sorted(player.skipped.items()):
            print(f"warning: {topic} is left out: {reason}", file=sys.stderr)
        try:
            _play_all(player, arguments)
        finally:
            played = player.playback
            print(
                f"published {played.messages} messages in {played.seconds:.1f} s "
                f"({played.rate_hz:.1f} per second)"
            )
        if not player.finish():
            print("warning: a reliable subscriber has not confirmed everything", file=sys.stderr)
    return 0


def _play_all(player: BagPlayer, arguments: argparse.Namespace) -> None:
    patience = arguments.wait_for_subscriber
    if patience and not player.wait_for_subscriber(patience):
        print(
            f"warning: nobody subscribed within {patience:g} s, playing all the same; is the name "
            "of the topic right? --ros-args -r OLD:=NEW renames it",
            file=sys.stderr,
        )
    time.sleep(arguments.delay)
    while True:
        with progress(total=player.message_count, unit="message") as bar:
            player.play(arguments.rate, bar.update)
        if not arguments.loop:
            return


if __name__ == "__main__":
    sys.exit(main())
