# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Turns what the node knows into ROS messages."""

from __future__ import annotations

import math
from collections.abc import Mapping

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, Transform, Vector3
from std_msgs.msg import Header

from floppynet_vpr.detection import Candidate, Detection
from floppynet_vpr.detection.relative_pose import RelativePose
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


def _candidate(
    candidate: Candidate,
    grid: Grid,
    camera: CameraModel | None,
    relative: RelativePose | None,
) -> LoopClosureCandidate:
    place = candidate.place
    right, down = shift_shares(candidate.shift, grid)
    bearing = (math.nan, math.nan) if camera is None else camera.bearing(right, down)
    seconds, nanoseconds = divmod(place.stamp_ns, SECOND_NS)
    message = LoopClosureCandidate(
        place_id=place.id,
        place=shown(place.name),
        stamp=Time(sec=seconds, nanosec=nanoseconds),
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


def _pose(pose: MapPose) -> Pose:
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
