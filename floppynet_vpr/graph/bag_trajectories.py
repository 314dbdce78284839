# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The way of a robot from a bag: a topic with poses, or one frame of tf seen from another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from floppynet_vpr.datasets.bag_poses import StampedPose, read_poses, read_transforms
from floppynet_vpr.errors import VprError
from floppynet_vpr.graph.se3 import Transform
from floppynet_vpr.graph.trajectory import Trajectory


def trajectory_of_topic(path: Path, topic: str | None = None) -> tuple[str, Trajectory]:
    """Read the poses of a topic, None for the only odometry; returns its name, too.

    Raises VprError when there is none, or it holds what is no pose.
    """
    name, poses = read_poses(path, topic)
    return name, _trajectory(poses, f"topic {name} of {path}")


def trajectory_of_tf(path: Path, frame: str, child: str) -> Trajectory:
    """Follow the frame `child` as seen from `frame` through the tf of a bag.

    There is a pose for each time at which a link between them has one. As tf2 does it, a link is
    interpolated between its poses, however far apart, and unknown before the first and after the
    last; one with a single pose is fixed. Raises VprError when tf does not connect them.
    """
    up, down, ways = _links(path, frame, child)
    moving = [way.stamps_ns for way in ways.values() if len(way) > 1]
    if not moving:
        raise VprError(f"in the bag {path} {child} never moves as seen from {frame}")
    first, last = max(stamps[0] for stamps in moving), min(stamps[-1] for stamps in moving)
    if first > last:
        raise VprError(f"the tf of the bag {path} from {frame} to {child} is at no time complete")
    return Trajectory.of(
        (
            stamp_ns,
            _pose(ways, down, stamp_ns).inverse() @ _pose(ways, up, stamp_ns),
        )
        for stamp_ns in sorted({stamp for stamps in moving for stamp in stamps})
        if first <= stamp_ns <= last
    )


def fixed_transform(path: Path, frame: str, child: str) -> Transform:
    """The pose of the frame `child` as seen from `frame`, which it does not move against.

    Raises VprError when the tf of the bag does not connect them, or they move.
    """
    if frame.strip("/") == child.strip("/"):
        return Transform()
    up, down, ways = _links(path, frame, child)
    for link, way in ways.items():
        if len(set(way.poses)) > 1:
            raise VprError(f"in the bag {path} {child} moves as seen from {frame}: {link} does")
    return _pose(ways, down, 0).inverse() @ _pose(ways, up, 0)


def _links(
    path: Path, frame: str, child: str
) -> tuple[list[str], list[str], dict[str, Trajectory]]:
    """The frames from `child` up, and from `frame` up, to before the first that both have above.

    With the way of each in its parent. Raises VprError when tf does not connect the two.
    """
    parents, poses = read_transforms(path)
    frame, child = frame.strip("/"), child.strip("/")
    up, down = _chain(parents, child), _chain(parents, frame)
    common = next((name for name in up if name in down), None)
    if common is None:
        raise VprError(
            f"tf of the bag {path} does not connect {frame} and {child}; its frames are: "
            + ", ".join(sorted({*parents, *parents.values()}))
        )
    up, down = up[: up.index(common)], down[: down.index(common)]
    ways = {link: _trajectory(poses[link], f"tf's frame {link} of {path}") for link in [*up, *down]}
    return up, down, ways


def _trajectory(poses: list[StampedPose], origin: str) -> Trajectory:
    try:
        return Trajectory.of((pose.stamp_ns, Transform.of(pose.row)) for pose in poses)
    except VprError as error:
        raise VprError(f"{origin}: {error}") from None


def _chain(parents: Mapping[str, str], name: str) -> list[str]:
    """The frame, its parent, and so on to the root of tf."""
    chain = [name]
    while chain[-1] in parents and parents[chain[-1]] not in chain:
        chain.append(parents[chain[-1]])
    return chain


def _pose(ways: Mapping[str, Trajectory], chain: list[str], stamp_ns: int) -> Transform:
    """The pose of the first frame of a chain as seen from above its last."""
    pose = Transform()
    for link in chain:
        step = ways[link].at(stamp_ns, math.inf)
        assert step is not None, "no way is empty"
        pose = step @ pose
    return pose
