# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Shows each image beside the place that it was matched to, while somebody looks."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from floppynet_vpr.imaging.match_picture import draw_match
from floppynet_vpr.imaging.thumbnail import read_thumbnail
from floppynet_vpr.ros.detection_text import named, verdict
from floppynet_vpr.ros.frame_queue import FrameQueue
from floppynet_vpr.ros.guard import UnforeseenErrors
from floppynet_vpr.ros.recognition import Recognised


class MatchImages:
    """Publishes ~/match_image, drawn by a thread of its own: no image waits for a picture."""

    def __init__(self, node: LifecycleNode, errors: UnforeseenErrors) -> None:
        self._node = node
        self._errors = errors
        self._publisher: Any = node.create_lifecycle_publisher(Image, "~/match_image", 1)
        self._waiting: FrameQueue[tuple[Header, int, Recognised]] = FrameQueue(1)
        self._thread = threading.Thread(target=self._work, name="vpr_match_images", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Offer it no more."""
        self._waiting.close()
        self._thread.join()
        self._node.destroy_lifecycle_publisher(self._publisher)

    def show(self, header: Header, query_id: int, result: Recognised) -> None:
        """Have an answer drawn if somebody looks; the newest one is, where they come too fast."""
        if self._publisher.get_subscription_count():
            self._waiting.put((header, query_id, result))

    def _work(self) -> None:
        while (item := self._waiting.take()) is not None:
            try:
                self._publisher.publish(match_image_message(*item))
            except Exception as error:
                if not self._node.context.ok():
                    return  # shut down while this picture was on its way
                self._errors.tell("a match could not be drawn", error)


def match_image_message(header: Header, query_id: int, result: Recognised) -> Image:
    """Draw an answer as an rgb8 image with the query's header."""
    detection = result.detection
    place, facts = None, []
    for best in detection.candidates[:1]:
        place = read_thumbnail(result.reference.thumbnail_of(best.index) or b"")
        facts = [f"{named(best.place)}: distance {best.distance:.3f}, score {best.score:.3f}"]
        if best.inliers >= 0:
            facts.append(f"{'verified' if best.verified else 'refused'}: {best.inliers} inliers")
    told = f"image {query_id}: {verdict(detection)}"
    drawn = draw_match(result.rgb, place, told, detection.detected, facts)
    height, width = drawn.shape[:2]
    message = Image(header=header, height=height, width=width, encoding="rgb8", step=3 * width)
    message.data.frombytes(drawn.tobytes())
    return message
