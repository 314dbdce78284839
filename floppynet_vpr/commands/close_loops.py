# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`close_loops`: makes the map of a drive straight, offline: a pose graph from a bag."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from floppynet_vpr.commands.common import (
    UnusableFrames,
    add_depth_options,
    add_extractor_options,
    add_force_option,
    add_frame_options,
    add_results_option,
    at_least,
    command,
    make_parser,
    progress,
    require_new,
)
from floppynet_vpr.datasets.depth_topics import ROBOT_FRAME
from floppynet_vpr.errors import VprError
from floppynet_vpr.files import user_path, write_atomically

if TYPE_CHECKING:
    from floppynet_vpr.datasets.bag_depth import BagDepth
    from floppynet_vpr.datasets.frames import FrameSource
    from floppynet_vpr.graph.loop_closer import LoopCloser, RobotCamera
    from floppynet_vpr.graph.pose_graph import PoseGraph
    from floppynet_vpr.graph.se3 import Transform
    from floppynet_vpr.graph.trajectory import Trajectory

GRAPH, OPTIMISED = "graph.g2o", "optimised.g2o"
BEFORE, AFTER = "before.tum", "after.tum"
LOOPS, PICTURE = "loops.csv", "way.png"

_LEAST_TRUE = 3


def build_parser() -> argparse.ArgumentParser:
    from floppynet_vpr.detection import SEQUENCE_CHOICES
    from floppynet_vpr.graph.loop_closer import LoopCloserOptions

    defaults = LoopCloserOptions()
    parser = make_parser(
        "close_loops",
        "Straighten the way of a drive: from the images and the odometry of BAG make places, find "
        "those that were seen before, and move all of them to where odometry and loop closures "
        "agree (GTSAM, the extra [graph]). Loop closures that do not fit the others are taken for "
        "wrong. Written are the pose graph as measured and as optimised (g2o), the way before "
        "and after (TUM: seconds x y z qx qy qz qw), the loop closures, and a picture. A loop "
        "closure says 'here again', not from where exactly; its covariance says how far off that "
        "may be. With --depth it says from where, if enough corners of the image are found again. "
        "With --truth, the share of loop closures within their covariance is printed.",
        "  ros2 run floppynet_vpr close_loops drive_bag -o straight/\n"
        "  ros2 run floppynet_vpr close_loops drive_bag --odometry /wheel/odom --truth /gnss/odom "
        "-o straight/\n"
        "  ros2 run floppynet_vpr close_loops drive_bag --tf odom base_link -o straight/\n"
        "  ros2 run floppynet_vpr close_loops drive_bag -o straight/ --odometry /odom \\\n"
        "      --depth /camera/aligned_depth_to_color/image_raw",
    )
    parser.add_argument(
        "bag", type=user_path, metavar="BAG", help="rosbag2 with images and odometry"
    )
    add_results_option(parser)
    add_force_option(parser)
    parser.add_argument(
        "--graph-only",
        action="store_true",
        help=f"write {GRAPH}, {BEFORE} and {LOOPS} for another back-end; needs no GTSAM",
    )
    bag = parser.add_argument_group("bag")
    where = bag.add_mutually_exclusive_group()
    where.add_argument(
        "--odometry",
        metavar="TOPIC",
        help="poses of the robot: nav_msgs/Odometry, PoseStamped, PoseWithCovarianceStamped or "
        "TransformStamped; found by itself when there is just one nav_msgs/Odometry",
    )
    where.add_argument(
        "--tf", nargs=2, metavar=("FRAME", "CHILD"), help="poses from tf: of CHILD seen from FRAME"
    )
    bag.add_argument(
        "--truth", metavar="TOPIC", help="true poses, of the same types, to measure the error by"
    )
    bag.add_argument(
        "--pose-tolerance",
        type=at_least(0, float),
        default=0.1,
        metavar="S",
        help="seconds that a pose may be from the image it is taken for",
    )
    add_frame_options(bag)
    depth = parser.add_argument_group("depth")
    add_depth_options(depth, "")
    depth.add_argument(
        "--mount",
        nargs=7,
        type=float,
        metavar=("X", "Y", "Z", "QX", "QY", "QZ", "QW"),
        help="pose of the camera's optical frame on the robot; without it as tf of the bag says",
    )
    graph = parser.add_argument_group("graph")
    graph.add_argument(
        "--metres",
        type=at_least(0.01, float),
        default=defaults.places.metres,
        metavar="M",
        help="an image so far from the last place becomes one",
    )
    graph.add_argument(
        "--degrees",
        type=at_least(0.1, float),
        default=defaults.places.degrees,
        metavar="DEG",
        help="so does one turned so far",
    )
    graph.add_argument(
        "--sequence",
        choices=SEQUENCE_CHOICES,
        default=defaults.detector.sequence,
        help="how places are recognised: none compares single images, the others follow the drive",
    )
    graph.add_argument(
        "--drift",
        type=at_least(0, float),
        default=defaults.drift,
        metavar="SHARE",
        help="by what share of 10 m odometry is off after them, as a standard deviation",
    )
    graph.add_argument(
        "--turn",
        type=at_least(0, float),
        default=defaults.turn_deg,
        metavar="DEG",
        help="by how many degrees it is off then",
    )
    add_extractor_options(
        parser, len(os.sched_getaffinity(0)), "images worked on at once; without it one per core"
    )
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    from floppynet_vpr.graph import loop_errors
    from floppynet_vpr.graph.bag_trajectories import trajectory_of_topic
    from floppynet_vpr.graph.g2o import write_g2o
    from floppynet_vpr.graph.optimisation import require_gtsam
    from floppynet_vpr.graph.picture import draw_ways
    from floppynet_vpr.graph.trajectory import absolute_error

    output: Path = arguments.output
    if not arguments.graph_only:
        require_gtsam()
    for name in (GRAPH, OPTIMISED, BEFORE, AFTER, LOOPS, PICTURE):
        require_new(output / name, arguments.force)
    odometry = _odometry(arguments)
    truth = None
    if arguments.truth is not None:
        _, truth = trajectory_of_topic(arguments.bag, arguments.truth)
    closer = _drive(arguments, odometry)
    graph = closer.graph
    write_g2o(output / GRAPH, graph)
    _write_way(output / BEFORE, graph)
    if arguments.graph_only:
        _write_loops(output / LOOPS, graph, None)
        print(f"wrote {output}: {GRAPH}, {BEFORE}, {LOOPS}")
        return 0
    done = closer.optimise()
    write_g2o(output / OPTIMISED, done.graph)
    _write_way(output / AFTER, done.graph)
    _write_loops(output / LOOPS, graph, done.weights)
    print(
        f"{done.rejected} of {len(graph.loops)} loop closures do not fit and were taken for wrong"
    )
    true = {} if truth is None else _true_poses(arguments, graph, truth)
    draw_ways(output / PICTURE, graph, done, true)
    if true:
        before, after = (
            absolute_error([way.poses[node] for node in true], list(true.values()))
            for way in (graph, done.graph)
        )
        print(f"absolute trajectory error: {before:.2f} m before, {after:.2f} m after")
        for line in loop_errors.told(graph, done.graph, true, closer.transforms):
            print(line)
    print(f"wrote {output}: {GRAPH}, {OPTIMISED}, {BEFORE}, {AFTER}, {LOOPS}, {PICTURE}")
    return 0


def _odometry(arguments: argparse.Namespace) -> Trajectory:
    from floppynet_vpr.graph.bag_trajectories import trajectory_of_tf, trajectory_of_topic

    if arguments.tf is not None:
        frame, child = arguments.tf
        return trajectory_of_tf(arguments.bag, frame, child)
    topic, odometry = trajectory_of_topic(arguments.bag, arguments.odometry)
    print(f"{topic}: {len(odometry)} poses")
    return odometry


def _drive(arguments: argparse.Namespace, odometry: Trajectory) -> LoopCloser:
    """Take all images that there are poses for."""
    from floppynet_vpr.datasets.sources import open_source
    from floppynet_vpr.detection.relative_pose import QUERY_FEATURES
    from floppynet_vpr.extraction import create_extractor, describe_frames, load_network
    from floppynet_vpr.graph.loop_closer import LoopCloser, LoopCloserOptions
    from floppynet_vpr.mapping.keyframes import KeyframeLimits

    source = open_source(arguments.bag, topic=arguments.topic, every=arguments.every)
    weights = load_network(arguments.weights)
    extractors = [create_extractor(weights, arguments.backend) for _ in range(arguments.threads)]
    print(f"{source.label}: {len(source)} images; {extractors[0].description}")
    options = LoopCloserOptions(
        places=KeyframeLimits(metres=arguments.metres, degrees=arguments.degrees),
        detector=replace(LoopCloserOptions().detector, sequence=arguments.sequence),
        drift=arguments.drift,
        turn_deg=arguments.turn,
    )
    camera, depth = _depth(arguments, source)
    closer, unusable = LoopCloser(weights, options, camera), UnusableFrames()
    features = QUERY_FEATURES if camera is not None else 0
    lost = late = 0
    skipped = None if arguments.strict else unusable
    described = describe_frames(source.pending(), extractors, features, skipped)
    for frame in progress(described, len(source)):
        pose = odometry.at(frame.stamp_ns, arguments.pose_tolerance)
        if pose is None:
            lost += 1
        elif closer.graph.nodes and frame.stamp_ns < closer.graph.nodes[-1].stamp_ns:
            late += 1
        else:
            closer.add_described(
                frame.descriptor,
                frame.stamp_ns,
                pose,
                frame.name,
                frame.features,
                partial(depth.at, frame.stamp_ns) if depth is not None else None,
            )
    unusable.tell()
    if depth is not None and depth.missed:
        print(f"warning: places without depth: {depth.missed}", file=sys.stderr)
    if not closer.graph.nodes:
        raise VprError(
            f"no image of {arguments.bag} has a pose within {arguments.pose_tolerance:g} s of its "
            "stamp: raise --pose-tolerance, or see whether both were stamped by the same clock"
        )
    if late:
        print(f"warning: images left out because they are out of order: {late}", file=sys.stderr)
    if lost:
        print(f"warning: images left out because no pose is near them: {lost}", file=sys.stderr)
    told = f"{len(closer.graph.nodes)} places, {len(closer.graph.loops)} loop closures"
    print(told if camera is None else f"{told}, {len(closer.transforms)} of them with a transform")
    return closer


def _depth(
    arguments: argparse.Namespace, source: FrameSource
) -> tuple[RobotCamera | None, BagDepth | None]:
    """The camera on the robot and the depth of its images, None each without --depth."""
    from floppynet_vpr.datasets.bag_depth import open_depth
    from floppynet_vpr.datasets.bag_poses import posed_frame, read_poses
    from floppynet_vpr.graph.bag_trajectories import fixed_transform
    from floppynet_vpr.graph.loop_closer import RobotCamera
    from floppynet_vpr.graph.se3 import Transform

    if arguments.depth is None:
        for option in ("camera_info", "mount"):
            if getattr(arguments, option) is not None:
                raise VprError(f"--{option.replace('_', '-')} goes with --depth TOPIC")
        return None, None
    camera, depth = open_depth(arguments.bag, source, arguments.depth, arguments.camera_info)
    if arguments.mount is not None:
        return RobotCamera(camera.model, Transform.of(arguments.mount)), depth
    if arguments.tf is not None:
        robot = arguments.tf[1]
    else:
        topic, _ = read_poses(arguments.bag, arguments.odometry)
        robot = posed_frame(arguments.bag, topic) or ROBOT_FRAME
    try:
        mount = fixed_transform(arguments.bag, robot, camera.frame)
    except VprError as error:
        raise VprError(
            f"where the camera is on the robot is not known: {error}; give it with --mount"
        ) from None
    return RobotCamera(camera.model, mount), depth


def _true_poses(
    arguments: argparse.Namespace, graph: PoseGraph, truth: Trajectory
) -> dict[int, Transform]:
    """The true poses of the nodes that have one; none where they are too few for an error."""
    true = {}
    for node in graph.nodes:
        pose = truth.at(node.stamp_ns, arguments.pose_tolerance)
        if pose is not None:
            true[node.id] = pose
    if len(true) < len(graph.nodes):
        print(
            f"warning: {arguments.truth} has poses at {len(true)} of {len(graph.nodes)} places"
            + (": too few to measure an error" if len(true) < _LEAST_TRUE else ""),
            file=sys.stderr,
        )
    return true if len(true) >= _LEAST_TRUE else {}


def _write_way(path: Path, graph: PoseGraph) -> None:
    from floppynet_vpr.graph.trajectory import Trajectory, write_tum

    write_tum(path, Trajectory.of((node.stamp_ns, node.pose) for node in graph.nodes))


def _write_loops(path: Path, graph: PoseGraph, weights: Sequence[float] | None) -> None:
    """Write which places were recognised, by node and stamp, and what optimising left of each."""
    lines = ["node,recognised,stamp_ns,recognised_stamp_ns,weight"]
    for index, loop in enumerate(graph.loops):
        here, there = graph.nodes[loop.end], graph.nodes[loop.start]
        weight = "" if weights is None else f"{weights[index]:.3f}"
        lines.append(f"{here.id},{there.id},{here.stamp_ns},{there.stamp_ns},{weight}")
    write_atomically(path, ("".join(f"{line}\n" for line in lines).encode(),))


if __name__ == "__main__":
    sys.exit(main())
