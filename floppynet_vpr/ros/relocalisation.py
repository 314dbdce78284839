# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Tells a lost robot where it is: the pose of a place recognised surely, for its localization."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from floppynet_vpr.detection import Detection
from floppynet_vpr.detection.match_error import MatchError
from floppynet_vpr.detection.sure_matches import SureMatches
from floppynet_vpr.parameters import ALWAYS, MAPPING, NEVER, WHEN_LOST
from floppynet_vpr.ros.messages import initial_pose_message
from floppynet_vpr.ros.recognition import Recognised, Recognition


class Relocalisation:
    """Publishes `initialpose` as the settings say, and offers ~/relocalise.

    Images are taken by the worker's thread, everything else by the executor's.
    """

    def __init__(self, node: LifecycleNode, parts: Recognition) -> None:
        """Offer topic and service; nothing is published before the node is active."""
        self._node = node
        self._parts = parts
        self._error = MatchError()
        self._publisher: Any = node.create_lifecycle_publisher(
            PoseWithCovarianceStamped, "initialpose", 1
        )
        # Best effort, which every publisher can serve.
        profile = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._subscription = node.create_subscription(
            PoseWithCovarianceStamped, "localization_pose", self._on_localized, profile
        )
        # In a group of its own: a request that waits would keep all other callbacks waiting.
        self._service = node.create_service(
            Trigger, "~/relocalise", self._on_request, callback_group=ReentrantCallbackGroup()
        )
        self._lock = threading.Lock()
        self._active = False
        self._requests: list[_Request] = []
        self._sure = SureMatches()
        self._sigma: float | None = None
        self._published_at = -math.inf
        self._published = 0

    def start(self) -> None:
        """Begin to look at images."""
        with self._lock:
            self._active = True
            self._sure.forget()

    def stop(self) -> None:
        """End, and tell those who still wait."""
        with self._lock:
            self._active = False
            self._answer(False, "the node was deactivated meanwhile")

    def close(self) -> None:
        """Offer topic and service no more."""
        self.stop()
        self._node.destroy_lifecycle_publisher(self._publisher)
        self._node.destroy_subscription(self._subscription)
        executor = self._node.executor
        if executor is None:
            self._node.destroy_service(self._service)
        else:  # not before the answers are out: rclpy fails to answer by a service that has gone
            executor.create_task(self._node.destroy_service, self._service)

    @property
    def facts(self) -> dict[str, object]:
        """The state of it, for people."""
        facts: dict[str, object] = {
            "sure images in a row": self._sure.count,
            "initial poses published": self._published,
        }
        if self._sigma is not None:
            facts["localization is off by (m, 1 sigma)"] = f"{self._sigma:.2f}"
        return facts

    def take(self, header: Header, result: Recognised) -> None:
        """Take what came of an image with this header."""
        settings, detection = self._parts.settings, result.detection
        with self._lock:
            self._sure.take(detection)
            objection = self._objection(detection)
            for request in self._requests:
                request.images += 1
                request.objection = objection
            if objection or not self._is_wanted():
                return
            best = detection.candidates[0]
            pose, frame = best.place.pose, settings["initialpose_frame"]
            covariance = self._error.covariance_in_map(
                result.reference.places, best.index, best.shift[0]
            )
            assert pose is not None, "sure matches have poses"
            message = initial_pose_message(header.stamp, frame, pose, covariance)
            self._publisher.publish(message)
            self._published += 1
            self._published_at = time.monotonic()
            listeners = self._publisher.get_subscription_count()
            sigma = math.sqrt(max(covariance[0, 0], covariance[1, 1]))
            told = (
                f"recognised {best.place.name or best.place.id} in {self._sure.count} images in a "
                f"row, score {best.score:.2f}: at ({pose.x:.2f}, {pose.y:.2f}, {pose.z:.2f}) in "
                f"{frame}, within {sigma:.1f} m (1 sigma); told on {self._publisher.topic_name} "
                + (f"to {listeners} who listen" if listeners else "where nobody listens")
            )
            self._node.get_logger().info(told)
            self._answer(True, told)

    def look(self) -> None:
        """Answer those who have waited for too long."""
        with self._lock:
            now = time.monotonic()
            for request in [one for one in self._requests if one.until <= now]:
                told = (
                    f"nothing recognised surely in {request.images} images; of the last one: "
                    f"{request.objection}"
                    if request.images
                    else "no image came, see /diagnostics"
                )
                request.answered.set_result((False, told))
                self._requests.remove(request)

    def _is_wanted(self) -> bool:
        settings = self._parts.settings
        if self._requests:
            return True
        if time.monotonic() - self._published_at < settings["initialpose_period"]:
            return False
        when = settings["publish_initialpose"]
        return when == ALWAYS or (when == WHEN_LOST and self._is_lost())

    def _is_lost(self) -> bool:
        """Whether the localization knows too little: AMCL says nothing before it has a pose."""
        limit = self._parts.settings["lost_metres"]
        return 0 < limit < (math.inf if self._sigma is None else self._sigma)

    def _objection(self, detection: Detection) -> str:
        """Why an image is not enough to say where the robot is; empty: it is."""
        settings = self._parts.settings
        if not detection.detected:
            return detection.reason
        place = detection.candidates[0].place
        if place.pose is None:
            return f"the place {place.name or place.id} has no pose"
        frame = self._parts.map.frame_of(place, self._parts.poses.frame)
        if frame != settings["initialpose_frame"]:
            return f"the place's pose is in {frame}, not in {settings['initialpose_frame']}"
        return self._sure.objection(settings["initialpose_images"])

    def _on_localized(self, message: PoseWithCovarianceStamped) -> None:
        x, y = (float(message.pose.covariance[index]) for index in (0, 7))
        if min(x, y) >= 0 and math.isfinite(x + y):
            self._sigma = math.sqrt(max(x, y))

    async def _on_request(self, request: Any, response: Any) -> Any:
        refusal = self._refusal()
        if refusal:
            response.success, response.message = False, refusal
            return response
        waiting = _Request(
            Future(executor=self._node.executor),
            time.monotonic() + self._parts.settings["relocalise_seconds"],
        )
        with self._lock:
            self._sure.forget()  # what was seen before may be of where the robot was taken from
            self._requests.append(waiting)
        seconds = self._parts.settings["relocalise_seconds"]
        self._node.get_logger().info(f"asked where the robot is: looking for up to {seconds:g} s")
        found: Any = await waiting.answered
        response.success, response.message = found
        return response

    def _refusal(self) -> str:
        """Why it makes no sense to wait; empty: it does."""
        settings = self._parts.settings
        if settings["publish_initialpose"] == NEVER:
            return "publish_initialpose is never: set it to when_lost first"
        if settings["mode"] == MAPPING:
            return "mode is mapping, which recognises nothing: start the node with mode both"
        if not self._active:
            return "the node is not active, so no image is looked at: activate it first"
        frames = {
            self._parts.map.frame_of(place, self._parts.poses.frame)
            for place in self._parts.map.places
            if place.pose is not None
        }
        wanted = settings["initialpose_frame"]
        if not frames:
            return "no place of the map has a pose"
        if wanted not in frames:
            return (
                f"no place of the map has a pose in {wanted}, but in {', '.join(sorted(frames))}: "
                "see initialpose_frame"
            )
        return ""

    def _answer(self, success: bool, told: str) -> None:
        """Answer all who wait."""
        for request in self._requests:
            request.answered.set_result((success, told))
        self._requests.clear()


@dataclass
class _Request:
    """Someone who waits for an answer, until a moment (`time.monotonic`)."""

    answered: Future[tuple[bool, str]]
    until: float
    images: int = 0
    objection: str = ""
