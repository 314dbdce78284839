# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`demo_fleet`: three robots drive one street with one map, and recognise what others have seen.

It needs no data and no server: PostgreSQL comes from a Python wheel.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from floppynet_vpr.commands.common import (
    add_results_option,
    at_least,
    command,
    make_parser,
    progress,
)
from floppynet_vpr.errors import VprError
from floppynet_vpr.files import write_atomically

if TYPE_CHECKING:
    from floppynet_vpr.datasets.traverse_bags import TraverseBag
    from floppynet_vpr.evaluation.fleet_results import Recognition
    from floppynet_vpr.synthetic.route import Lap, SyntheticRoute

_ROLES = ("reference", "query", "third")


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "demo_fleet",
        "Drive three robots around a synthetic block at the same time: one sees it by day, one at "
        "dusk, one in rain, each in a lane of its own and from another side. They share a map in "
        "PostgreSQL, which this starts on this machine: what one adds, the others recognise when "
        "they come there. Each robot is the real node in a process and a namespace of its own. "
        "Ends with a table and a picture: who recognised whom, and whether rightly. All ROS "
        "traffic stays in a domain of its own on this machine.",
        "  ros2 run floppynet_vpr demo_fleet --output fleet_output",
    )
    add_results_option(parser)
    parser.add_argument(
        "--rate",
        type=at_least(0.1, float),
        default=5.0,
        metavar="HZ",
        help="images per second that each robot sees",
    )
    parser.add_argument(
        "--step",
        type=at_least(0.1, float),
        default=2.0,
        metavar="M",
        help="metres from one image to the next",
    )
    parser.add_argument(
        "--length",
        type=at_least(240),
        default=240,
        metavar="M",
        help="metres around the block, a multiple of 4",
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=7, help="another number gives another street"
    )
    parser.add_argument(
        "--tolerance",
        type=at_least(0, float),
        default=3.0,
        metavar="M",
        help="a recognised place is right if it was seen no farther from the image than this",
    )
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0 if every image was answered, 1 if not."""
    try:
        from floppynet_vpr.ros.rehearsal import Robot, rehearse_fleet
    except ImportError as error:
        raise VprError(f"the demo needs ROS 2 ({error}): source its setup.bash first") from error
    from floppynet_vpr.datasets.bags_reading import BagFrames
    from floppynet_vpr.evaluation.fleet_results import FleetResults, draw_fleet
    from floppynet_vpr.evaluation.recording import RecordedAnswer
    from floppynet_vpr.fleet.connection import connect
    from floppynet_vpr.fleet.local_server import LocalServer
    from floppynet_vpr.fleet.map_url import parse_url
    from floppynet_vpr.fleet.schema import create_schema
    from floppynet_vpr.fleet.stored_map import stored_map
    from floppynet_vpr.synthetic.round_trip import LAPS
    from floppynet_vpr.synthetic.route import SyntheticRoute

    output: Path = arguments.output
    route = SyntheticRoute(arguments.seed, arguments.length, closed=True)
    laps = [
        replace(lap, start_m=number * route.length_m / len(LAPS), step_m=arguments.step)
        for number, lap in enumerate(LAPS)
    ]
    _make_folder(output)
    print("[1/4] three drives as bags", flush=True)
    bags = {
        lap.name: _bag(route, lap, role, output) for lap, role in zip(laps, _ROLES, strict=True)
    }
    stamps = {name: BagFrames(bag.path).stamps_ns() for name, bag in bags.items()}
    results = FleetResults(
        {lap.name: route.positions_m(lap) for lap in laps},
        stamps,
        arguments.tolerance,
        route.length_m,
    )

    def answered(robot: str, image: int, answer: RecordedAnswer) -> None:
        if recognition := results.add(robot, image, answer):
            print(_line(recognition), flush=True)

    robots = [Robot(name, bag, stamps[name], partial(answered, name)) for name, bag in bags.items()]
    print("[2/4] starting PostgreSQL and a node for each robot", flush=True)
    with LocalServer() as server:
        database = parse_url(server.url(), map_needed=False)
        with closing(connect(database)) as connection:
            create_schema(connection, database)
        shared = server.url("street")
        rehearse_fleet(
            robots,
            shared,
            output,
            rate_hz=arguments.rate,
            ready=lambda: print("[3/4] driving; what is recognised:", flush=True),
        )
        reference = stored_map(shared).load()
        reference.save(output / "street.fvm")
    print("[4/4] summary")
    table = results.table()
    print(table)
    told = {"rows": results.rows(), "recognitions": [asdict(one) for one in results.recognitions]}
    for name, text in (("fleet.txt", f"{table}\n"), ("fleet.json", json.dumps(told, indent=1))):
        write_atomically(output / name, [text.encode()])
    title = f"{len(robots)} robots, one map of {len(reference)} places"
    draw_fleet(results, title, output / "fleet.png")
    for name in ("fleet.txt", "fleet.json", "fleet.png", "street.fvm"):
        print(f"wrote {output / name}")
    images = sum(map(len, stamps.values()))
    missing = images - sum(map(len, results.answers.values()))
    if missing:
        raise VprError(
            f"{missing} of {images} images got no answer: try a lower --rate, and see the logs of "
            f"the nodes in {output}"
        )
    return 0


def _make_folder(output: Path) -> None:
    """Have the folder for the results, without those of an earlier run."""
    from floppynet_vpr.synthetic.round_trip import LAPS

    try:
        output.mkdir(parents=True, exist_ok=True)
        for lap in LAPS:
            shutil.rmtree(output / lap.name, ignore_errors=True)
    except OSError as error:
        raise VprError(f"cannot make the folder {output}: {error.strerror}") from error


def _bag(route: SyntheticRoute, lap: Lap, role: str, output: Path) -> TraverseBag:
    from floppynet_vpr.synthetic.lap_bags import synthetic_bag

    shown = partial(progress, leave=False)
    bag = synthetic_bag(route, lap, role, output / f"{lap.name}_bag", shown)
    print(f"{bag.path}: {'written' if bag.made else 'kept from before'}")
    return bag


def _line(found: Recognition) -> str:
    """A recognition in one line."""
    verdict = "right" if found.right else "WRONG"
    return (
        f"  {found.by:<8} image {found.seen:4d}  recognises image {found.place:4d} of "
        f"{found.whose:<8} {found.seconds:6.1f} s after it was mapped  {verdict}, "
        f"{found.off_m:.1f} m off"
    )


if __name__ == "__main__":
    sys.exit(main())
