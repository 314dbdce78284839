# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What is known of the camera beside its images: its CameraInfo and, if asked for, depth.

Both may be missing, late or not fit: then images are answered without, and the reason is told.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from floppynet_vpr.datasets.depth_topics import info_topic_of, is_rectified
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction.feature_points import with_points
from floppynet_vpr.extraction.local_features import LocalFeatures
from floppynet_vpr.imaging.camera_model import CameraModel
from floppynet_vpr.imaging.depth_image import decode_depth
from floppynet_vpr.ros.image_subscriber import ImageSubscriber, image_topic
from floppynet_vpr.stamps import nanoseconds

_TOLERANCE_NS = 20_000_000
_KEPT = 30
_LONGEST_WAIT_S = 0.25
_PAUSE_S = 1.0
"""After a wait in vain, none for so long: depth that lags costs an image now and then."""


class CameraTopics:
    """The model of the camera that images come from, and their depth by their stamp."""

    def __init__(
        self, node: Node, transport: str, qos: str, info_topic: str, depth_topic: str
    ) -> None:
        """Subscribe to CameraInfo and, unless its topic is empty, to depth.

        An empty `info_topic` is camera_info beside the images.
        """
        self._node = node
        images = image_topic(node, transport)
        self._rectified = is_rectified(images)
        self._news = threading.Condition()
        self._depths: deque[tuple[int, Any]] = deque(maxlen=_KEPT)
        self._newest_ns = self._depths_come = 0
        self._waits_again = 0.0
        self._info: CameraInfo | None = None
        self._model: CameraModel | None = None
        self._unfit = ""
        self._no_model = self._no_depth = ""
        self.missed = 0
        """Places that got no depth."""
        # Best effort, which every publisher can serve.
        profile = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        name = node.resolve_topic_name(info_topic or info_topic_of(images))
        self._infos = node.create_subscription(CameraInfo, name, self._on_info, profile)
        self._subscriber: ImageSubscriber | None = None
        if depth_topic:
            topic = node.resolve_topic_name(depth_topic)
            self._subscriber = ImageSubscriber(node, "raw", qos, _KEPT, self._on_depth, topic)

    @property
    def takes_depth(self) -> bool:
        """Whether depth is asked for."""
        return self._subscriber is not None

    @property
    def problem(self) -> str:
        """Why the camera is of no use, or the last place got no depth; empty: nothing is wrong."""
        return self._no_model or self._no_depth

    @property
    def facts(self) -> dict[str, object]:
        """What is known of the camera, for people."""
        known = "none yet" if self._info is None else self._unfit or "known"
        facts: dict[str, object] = {"camera info": f"{self._infos.topic_name}: {known}"}
        if self._subscriber is not None:
            facts["depth"] = f"{self._subscriber.topic} ({self._subscriber.reliability})"
            facts["depth images"] = self._depths_come
            facts["places without depth"] = self.missed
        return facts

    def close(self) -> None:
        """End the subscriptions."""
        self._node.destroy_subscription(self._infos)
        if self._subscriber is not None:
            self._subscriber.close()

    def follow_publishers(self) -> None:
        """Ask for depth with a QoS that its publishers offer; see `ImageSubscriber`."""
        if self._subscriber is not None:
            self._subscriber.follow_publishers()

    def model(self, header: Header, rgb: NDArray[np.uint8]) -> CameraModel | None:
        """The model of the camera that an image is of; None while that is not known."""
        info, model = self._info, self._model
        topic = self._infos.topic_name
        if info is None:
            self._no_model = f"no CameraInfo has come on {topic}"
        elif model is None:
            self._no_model = f"{topic}: {self._unfit}"
        elif _differ(info.header.frame_id, header.frame_id):
            self._no_model = (
                f"{topic} is of the camera {info.header.frame_id}, the images are of "
                f"{header.frame_id}: set camera_info to the topic of the images' camera"
            )
        else:
            try:
                model.require_size(rgb)
                self._no_model = ""
                return model
            except VprError as error:
                self._no_model = f"{topic}: {error}"
        return None

    def locate(
        self, features: LocalFeatures, header: Header, model: CameraModel | None
    ) -> LocalFeatures:
        """Add where the corners of an image are in space, if depth of its stamp comes in time.

        Waits up to a quarter of a second for it. Not to be called by the executor's thread, which
        brings it.
        """
        if self._subscriber is None:
            return features
        if model is not None:
            self._no_depth, message = self._wait(nanoseconds(header.stamp))
            if message is not None:
                try:
                    return with_points(features, self._decode(message, header), model)
                except VprError as error:
                    self._no_depth = f"{self._subscriber.topic} cannot be used: {error}"
        self.missed += 1
        return features

    def _wait(self, stamp_ns: int) -> tuple[str, Any]:
        """Look for the depth of a stamp: why there is none, or the message."""
        assert self._subscriber is not None, "asked for by those who take depth"
        begin = time.monotonic()
        patience = _LONGEST_WAIT_S if begin >= self._waits_again else 0.0
        with self._news:
            while True:
                near = min(self._depths, key=lambda one: abs(one[0] - stamp_ns), default=None)
                if stamp_ns and near is not None and abs(near[0] - stamp_ns) <= _TOLERANCE_NS:
                    return "", near[1]
                left = begin + patience - time.monotonic()
                late = self._newest_ns > stamp_ns + _TOLERANCE_NS
                if late or left <= 0 or not self._news.wait(left):
                    break
            self._waits_again = time.monotonic() + (0.0 if late else _PAUSE_S)
        if not self._depths:
            return f"no depth has come: {self._subscriber.explain_silence()}", None
        return (
            f"{self._subscriber.topic} has no depth within {_TOLERANCE_NS / 1e9:g} s of the image: "
            "take a camera that gives both at once, or synchronise them",
            None,
        )

    def _decode(self, message: Any, header: Header) -> NDArray[np.float32]:
        if _differ(message.header.frame_id, header.frame_id):
            raise VprError(
                f"it is in the frame {message.header.frame_id}, the images are in "
                f"{header.frame_id}: have the driver align depth to the colour image"
            )
        return decode_depth(message)

    def _on_info(self, message: CameraInfo) -> None:
        # Most send the same again with each image.
        message.header.stamp = Time()
        if message == self._info:
            return
        try:
            self._model, self._unfit = (
                CameraModel.of_info(
                    message.width,
                    message.height,
                    message.distortion_model,
                    message.d.tolist(),
                    message.k.tolist(),
                    message.p.tolist(),
                    self._rectified,
                ),
                "",
            )
        except VprError as error:
            self._model, self._unfit = None, str(error)
        self._info = message

    def _on_depth(self, message: Any) -> None:
        with self._news:
            stamp_ns = nanoseconds(message.header.stamp)
            if stamp_ns < self._newest_ns:
                self._depths.clear()  # a bag was begun anew
            self._newest_ns = stamp_ns
            self._depths_come += 1
            self._depths.append((stamp_ns, message))
            self._news.notify_all()


def _differ(one: str, other: str) -> bool:
    """Tell whether two frames are named and not the same."""
    return bool(one) and bool(other) and one.strip("/") != other.strip("/")
