# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`doctor`: looks at all that the node needs and says what to do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from floppynet_vpr.commands.common import (
    EXIT_ERROR,
    add_weights_option,
    at_least,
    command,
    make_parser,
)
from floppynet_vpr.text import shown

if TYPE_CHECKING:
    from floppynet_vpr.evaluation.environment import Finding


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "doctor",
        "Look at Python, libraries, processor, shared memory, locale, ROS, topics with images, DDS "
        "and a map, as the node would, and say what to do. Each line begins with ok, hint "
        "(works, could be better) or fault (stands in the way). The exit status is 0 without a "
        "fault, else 1.",
        "  ros2 run floppynet_vpr doctor\n"
        "  ros2 run floppynet_vpr doctor --image /camera/image_raw --map home.fvm\n"
        "  ros2 run floppynet_vpr doctor --image /camera/image_raw --image-transport compressed",
    )
    parser.add_argument(
        "--image",
        metavar="TOPIC",
        help="the topic that the node is to take images from, as image:=TOPIC; without it, all "
        "topics with images are looked at",
    )
    parser.add_argument(
        "--image-transport",
        choices=("raw", "compressed"),
        default="raw",
        help="how the images of --image are sent",
    )
    parser.add_argument(
        "--map", metavar="MAP.fvm", help="a map, or several separated by ':', as the node's map"
    )
    parser.add_argument(
        "--seconds",
        type=at_least(0.5, float),
        default=3.0,
        metavar="S",
        help="how long to listen to images",
    )
    parser.add_argument(
        "--no-ros", action="store_true", help="look at the machine and the map only"
    )
    add_weights_option(parser)
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.evaluation.environment import FAULT, OK

    levels = []
    for finding in _findings(arguments):
        print(f"{finding.level:<6}{finding.subject + ':':<15}{shown(finding.text)}", flush=True)
        levels.append(finding.level)
    faults = levels.count(FAULT)
    hints = len(levels) - levels.count(OK) - faults
    print(f"{faults} faults, {hints} hints, {levels.count(OK)} ok")
    return EXIT_ERROR if faults else 0


def _findings(arguments: argparse.Namespace) -> Iterator[Finding]:
    from floppynet_vpr.evaluation.environment import examine_machine, examine_map

    yield from examine_machine()
    if arguments.map:
        yield from examine_map(arguments.map, arguments.weights)
    if not arguments.no_ros:
        yield from _ros_findings(arguments)


def _ros_findings(arguments: argparse.Namespace) -> Iterator[Finding]:
    from floppynet_vpr.evaluation.environment import FAULT, Finding

    try:
        from floppynet_vpr.ros import examination
        from floppynet_vpr.ros.command_node import command_node
    except ImportError as error:
        yield Finding(
            FAULT,
            "ROS",
            f"{error}: source setup.bash first; --no-ros for all that works without",
        )
        return
    with command_node("doctor", arguments.words) as node:
        wanted = None
        if arguments.image:
            name = node.resolve_topic_name(arguments.image).removesuffix("/compressed")
            wanted = examination.ImageTopic(name, arguments.image_transport)
        yield from examination.examine_ros()
        yield from examination.examine_images(node, wanted, arguments.seconds)
        yield from examination.examine_nodes(node)


if __name__ == "__main__":
    sys.exit(main())
