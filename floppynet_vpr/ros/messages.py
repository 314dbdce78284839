# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Turns what the node knows into ROS messages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import (
    Point,
    Pose,
    PoseStamped,
    PoseWithCovarianceStamped,
    Quaternion,
    Transform,
    Vector3,
)
from numpy.typing import NDArray
from std_msgs.msg import Header

from floppynet_vpr.detection import Candidate, Detection
from floppynet_vpr.detection.relative_pose import RelativePose
from floppynet_vpr.graph.pose_graph import LOOP, PoseGraph
from floppynet_vpr.graph.se3 import Transform as Motion
from floppynet_vpr.imaging.camera_model import CameraModel
from floppynet_vpr.mapping import Pose as MapPose
from floppynet_vpr.mapping.grid import Grid
from floppynet_vpr.mapping.shifts import shift_shares
from floppynet_vpr.stamps import SECOND_NS
from floppynet_vpr.text import shown
from floppynet_vpr_msgs.msg import LoopClosure, LoopClosureCandidate


def loop_closure_message(
    header: Header,
    query_id: int,
    detection: Detection,
    grid: Grid,
    camera: CameraModel | None = None,
    relative: RelativePose | None = None,
) -> LoopClosure:
    """Make the answer to one image, whose header it keeps.

    `grid` is that of the map. The image was taken by `camera`, where that is known, whose pose as
    seen from the first candidate is `relative`.
    """
    return LoopClosure(
        header=header,
        query_id=query_id,
        detected=detection.detected,
        threshold=detection.limits.distance,
        candidates=[
            _candidate(candidate, grid, camera, None if index else relative)
            for index, candidate in enumerate(detection.candidates)
        ],
    )


def matched_pose_message(stamp: Time, frame: str, pose: MapPose) -> PoseStamped:
    """Make the pose of a recognised place, in the map's frame, at the time of the image."""
    return PoseStamped(header=Header(stamp=stamp, frame_id=frame), pose=_pose(pose))


def initial_pose_message(
    stamp: Time, frame: str, pose: MapPose, covariance: NDArray[np.float64]
) -> PoseWithCovarianceStamped:
    """Make the pose that a localization is to start from; the covariance is (6, 6)."""
    message = PoseWithCovarianceStamped(header=Header(stamp=stamp, frame_id=frame))
    message.pose.pose = _pose(pose)
    message.pose.covariance = covariance.ravel()
    return message


def pose_graph_message(kinds: Any, graph: PoseGraph, first_key: int, known: int, frame: str) -> Any:
    """Make a PoseGraph of `kinds`, the module pose_graph_tools_msgs.msg, of what is new in a graph.

    Keys count from `first_key`. The first `known` nodes and the edges between them are left out.
    """
    message = kinds.PoseGraph()
    for node in graph.nodes[known:]:
        stamp = _time(node.stamp_ns)
        new = kinds.PoseGraphNode(robot_id=0, key=first_key + node.id, pose=_pose(node.pose))
        new.header = Header(stamp=stamp, frame_id=frame)
        message.nodes.append(new)
        message.header = new.header
    kind = kinds.PoseGraphEdge
    for edge in graph.edges:
        if max(edge.start, edge.end) < known:
            continue
        new = kind(robot_from=0, robot_to=0)
        new.header = Header(stamp=_time(graph.nodes[edge.end].stamp_ns), frame_id=frame)
        new.key_from, new.key_to = first_key + edge.start, first_key + edge.end
        new.type = kind.LOOPCLOSE if edge.kind == LOOP else kind.ODOM
        new.pose = _pose(edge.transform)
        new.covariance = edge.covariance.ravel()
        message.edges.append(new)
    return message


def _candidate(
    candidate: Candidate,
    grid: Grid,
    camera: CameraModel | None,
    relative: RelativePose | None,
) -> LoopClosureCandidate:
    place = candidate.place
    right, down = shift_shares(candidate.shift, grid)
    bearing = (math.nan, math.nan) if camera is None else camera.bearing(right, down)
    message = LoopClosureCandidate(
        place_id=place.id,
        place=shown(place.name),
        stamp=_time(place.stamp_ns),
        distance=candidate.distance,
        score=candidate.score,
        session=shown(place.session.name),
        frame=shown(place.session.frame),
        shift_right=right,
        shift_down=down,
        bearing_right=bearing[0],
        bearing_down=bearing[1],
        verified=candidate.verified,
        inliers=candidate.inliers,
        has_pose=place.pose is not None,
    )
    if place.pose is not None:
        message.pose = _pose(place.pose)
    if relative is not None:
        message.transform = _transform(relative)
        message.transform_covariance = relative.place_covariance.reshape(-1)
        message.transform_inliers = relative.inliers
        message.has_transform = True
    return message


def _transform(relative: RelativePose) -> Transform:
    seen = Motion.of_matrix(relative.rotation, relative.translation)
    return Transform(
        translation=Vector3(x=seen.x, y=seen.y, z=seen.z),
        rotation=Quaternion(x=seen.qx, y=seen.qy, z=seen.qz, w=seen.qw),
    )


def _time(stamp_ns: int) -> Time:
    seconds, nanoseconds = divmod(stamp_ns, SECOND_NS)
    return Time(sec=seconds, nanosec=nanoseconds)


def _pose(pose: MapPose | Motion) -> Pose:
    return Pose(
        position=Point(x=pose.x, y=pose.y, z=pose.z),
        orientation=Quaternion(x=pose.qx, y=pose.qy, z=pose.qz, w=pose.qw),
    )


def diagnostics_message(
    stamp: Time,
    name: str,
    hardware: str,
    level: bytes,
    summary: str,
    values: Mapping[str, object],
) -> DiagnosticArray:
    """Make a diagnostics message with one status, of the robot `hardware`."""
    status = DiagnosticStatus(
        level=level,
        name=name,
        hardware_id=hardware,
        message=shown(summary),
        values=[KeyValue(key=key, value=shown(str(value))) for key, value in values.items()],
    )
    return DiagnosticArray(header=Header(stamp=stamp), status=[status])
