# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The image subscription: raw or compressed, with a QoS that fits, and reasons for silence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from floppynet_vpr.imaging.payload import decode_compressed, decode_image

# Frames that DDS holds at least, for the moments in which the node's Python side is busy.
_LEAST_DEPTH = 5
_FIXED = {"sensor_data": ReliabilityPolicy.BEST_EFFORT, "reliable": ReliabilityPolicy.RELIABLE}


def decode(message: Image | CompressedImage) -> NDArray[np.uint8]:
    """Decode an image message to (H, W, 3) uint8 RGB; raises ImageError."""
    if isinstance(message, CompressedImage):
        return decode_compressed(message.data, message.format)
    return decode_image(
        message.height,
        message.width,
        message.encoding,
        bool(message.is_bigendian),
        message.step,
        message.data,
    )


class ImageSubscriber:
    """Subscribes to the camera and knows who publishes to it."""

    def __init__(
        self, node: Node, transport: str, qos: str, depth: int, received: Callable[[Any], None]
    ) -> None:
        """Subscribe to `image` (raw) or `image/compressed`; `received` gets every message.

        DDS keeps the last `depth` messages, and a few in any case.

        With `qos` "auto" the subscription is best effort, which every publisher can serve, until
        `follow_publishers` finds that all publishers are reliable.
        """
        self._node = node
        self._type = CompressedImage if transport == "compressed" else Image
        self._name = "image/compressed" if transport == "compressed" else "image"
        self._auto = qos == "auto"
        self._depth = max(depth, _LEAST_DEPTH)
        self._received = received
        self._retiring: Any = None
        self._generation = 0
        self._last_header: Header | None = None
        self._subscribe(_FIXED.get(qos, ReliabilityPolicy.BEST_EFFORT))

    @property
    def topic(self) -> str:
        """The full name of the topic, after remapping."""
        return str(self._subscription.topic_name)

    @property
    def reliability(self) -> str:
        """The reliability asked for: "best effort" or "reliable"."""
        return _words(self._reliability)

    def close(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)
        self._retire()

    def follow_publishers(self) -> None:
        """With automatic QoS, subscribe anew when the publishers' reliability asks for it.

        The old subscription stays until the new one delivers, so that no image is lost between.
        """
        if not self._auto or self._retiring is not None:
            return
        offered = {self._offered(publisher) for publisher in self._publishers()}
        if not offered:
            return
        wanted = (
            ReliabilityPolicy.RELIABLE
            if offered == {ReliabilityPolicy.RELIABLE}
            else ReliabilityPolicy.BEST_EFFORT
        )
        if wanted != self._reliability:
            self._retiring = self._subscription
            self._subscribe(wanted)

    def explain_silence(self) -> str:
        """Say in one sentence why no image may be coming, and what to do."""
        publishers = self._publishers()
        if not publishers:
            others = self._other_image_topics()
            hint = (
                f"topics that carry such images: {', '.join(others)} (remap with image:=<topic>)"
                if others
                else "no other topic carries such images: is the camera driver or the bag running?"
            )
            return f"nobody publishes {self.topic} ({self._type_name()}); {hint}"
        offers = ", ".join(
            f"{_full_name(publisher)} [{_words(self._offered(publisher))}, {publisher.topic_type}]"
            for publisher in publishers
        )
        text = f"{self.topic} has publishers but sends nothing: {offers}; "
        if any(publisher.topic_type != self._type_name() for publisher in publishers):
            return text + f"this node expects {self._type_name()}: see image_transport"
        if self._reliability == ReliabilityPolicy.RELIABLE and any(
            self._offered(publisher) == ReliabilityPolicy.BEST_EFFORT for publisher in publishers
        ):
            return text + "the node asks for reliable, which they do not offer: set qos:=auto"
        return text + f"the QoS fits ({self.reliability} asked for): is the camera paused?"

    def _subscribe(self, reliability: ReliabilityPolicy) -> None:
        self._reliability = reliability
        self._generation += 1
        profile = QoSProfile(
            depth=self._depth, history=HistoryPolicy.KEEP_LAST, reliability=reliability
        )
        self._subscription = self._node.create_subscription(
            self._type, self._name, partial(self._deliver, self._generation), profile
        )

    def _deliver(self, generation: int, message: Any) -> None:
        """Pass a message on; the first of a new subscription may have come by the old one."""
        if generation == self._generation and self._retiring is not None:
            self._retire()
            if message.header == self._last_header:
                return
        elif generation != self._generation and self._retiring is None:
            return
        self._last_header = message.header
        self._received(message)

    def _retire(self) -> None:
        if self._retiring is not None:
            self._node.destroy_subscription(self._retiring)
            self._retiring = None

    def _publishers(self) -> list[Any]:
        return list(self._node.get_publishers_info_by_topic(self.topic))

    @staticmethod
    def _offered(publisher: Any) -> ReliabilityPolicy:
        return ReliabilityPolicy(publisher.qos_profile.reliability)

    def _type_name(self) -> str:
        return f"sensor_msgs/msg/{self._type.__name__}"

    def _other_image_topics(self) -> list[str]:
        return sorted(
            name
            for name, types in self._node.get_topic_names_and_types()
            if self._type_name() in types
            and name != self.topic
            and self._node.count_publishers(name)
        )


def _words(reliability: ReliabilityPolicy) -> str:
    return "reliable" if reliability == ReliabilityPolicy.RELIABLE else "best effort"


def _full_name(publisher: Any) -> str:
    return f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
