# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Turns what the node knows into ROS messages."""

from __future__ import annotations

from collections.abc import Mapping

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from std_msgs.msg import Header

from floppynet_vpr.detection import Candidate, Detection
from floppynet_vpr.mapping import Pose as MapPose
from floppynet_vpr.text import shown
from floppynet_vpr_msgs.msg import LoopClosure, LoopClosureCandidate

_NANOSECONDS = 1_000_000_000


def nanoseconds(stamp: Time) -> int:
    """Give a stamp as one number."""
    return int(stamp.sec) * _NANOSECONDS + int(stamp.nanosec)


def loop_closure_message(header: Header, query_id: int, detection: Detection) -> LoopClosure:
    """Make the answer to one image, whose header it keeps."""
    return LoopClosure(
        header=header,
        query_id=query_id,
        detected=detection.detected,
        threshold=detection.limits.distance,
        candidates=[_candidate(candidate) for candidate in detection.candidates],
    )


def matched_pose_message(stamp: Time, frame: str, pose: MapPose) -> PoseStamped:
    """Make the pose of a recognised place, in the map's frame, at the time of the image."""
    return PoseStamped(header=Header(stamp=stamp, frame_id=frame), pose=_pose(pose))


def _candidate(candidate: Candidate) -> LoopClosureCandidate:
    place = candidate.place
    seconds, nanoseconds = divmod(place.stamp_ns, _NANOSECONDS)
    message = LoopClosureCandidate(
        place_id=place.id,
        place=shown(place.name),
        stamp=Time(sec=seconds, nanosec=nanoseconds),
        distance=candidate.distance,
        score=candidate.score,
        session=shown(place.session),
        verified=candidate.verified,
        inliers=candidate.inliers,
        has_pose=place.pose is not None,
    )
    if place.pose is not None:
        message.pose = _pose(place.pose)
    return message


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
