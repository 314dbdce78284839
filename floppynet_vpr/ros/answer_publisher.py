# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Publishes what came of an image: the answer, and beside it what some want to see of it."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import PoseStamped
from std_msgs.msg import Header, String

from floppynet_vpr.ros.detection_text import story
from floppynet_vpr.ros.global_descriptors import GlobalDescriptors
from floppynet_vpr.ros.guard import GuardedNode
from floppynet_vpr.ros.live_pose_graph import LivePoseGraph
from floppynet_vpr.ros.map_markers import MapMarkers
from floppynet_vpr.ros.match_images import MatchImages
from floppynet_vpr.ros.messages import loop_closure_message, matched_pose_message
from floppynet_vpr.ros.recognition import Recognised, Recognition
from floppynet_vpr.ros.relocalisation import Relocalisation
from floppynet_vpr_msgs.msg import LoopClosure

_DEPTH = 10


class AnswerPublisher:
    """Publishes ~/loop_closure for every image, and what some want to see beside it.

    That is ~/matched_pose, ~/markers, ~/story, ~/match_image and ~/global_descriptor.
    `relocalisation` and the pose graph take every answer as well.
    """

    def __init__(self, node: GuardedNode, parts: Recognition) -> None:
        """Offer the topics; nothing is published on them before the node is active."""
        self._node = node
        self._poses = parts.poses
        self._map = parts.map
        self._answers: Any = self._offer(LoopClosure, "~/loop_closure")
        self._matched_poses: Any = self._offer(PoseStamped, "~/matched_pose")
        self._stories: Any = self._offer(String, "~/story")
        self._matches = MatchImages(node, node.errors)
        self._descriptors = GlobalDescriptors(node, parts.extractor.network.fingerprint)
        self._markers = MapMarkers(node, parts.map)
        self._graph = LivePoseGraph(node, parts)
        self.relocalisation = Relocalisation(node, parts)

    def close(self) -> None:
        """Offer them no more."""
        self._matches.close()
        for publisher in (self._answers, self._matched_poses, self._stories):
            self._node.destroy_lifecycle_publisher(publisher)
        for part in (self._descriptors, self._markers, self._graph, self.relocalisation):
            part.close()

    def publish(self, header: Header, query_id: int, result: Recognised) -> None:
        """Publish the answer to an image with this header."""
        grid = self._map.grid
        self._answers.publish(
            loop_closure_message(
                header, query_id, result.detection, grid, result.camera, result.relative
            )
        )
        self._descriptors.publish(header, result.descriptor)
        self.relocalisation.take(header, result)
        self._graph.take(header, result)
        told = f"image {query_id}: {story(result.detection, result.added)}"
        self._node.get_logger().debug(told)
        if self._stories.get_subscription_count():
            self._stories.publish(String(data=told))
        self._matches.show(header, query_id, result)
        if not result.detection.detected:
            return
        place = result.detection.candidates[0].place
        if place.pose is not None:
            frame = self._map.frame_of(place, self._poses.frame)
            self._matched_poses.publish(matched_pose_message(header.stamp, frame, place.pose))
            if result.pose is not None and frame == self._poses.frame:
                self._markers.loop_closure(result.pose, place.pose)

    def look(self) -> None:
        """Send what is new of map and graph to those who look at it; to be done every second."""
        self._markers.publish(self._poses.frame)
        self._graph.publish()
        self.relocalisation.look()

    def _offer(self, kind: type, name: str) -> Any:
        return self._node.create_lifecycle_publisher(kind, name, _DEPTH)
