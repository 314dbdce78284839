# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The image subscription: raw or compressed, with a QoS that fits, and reasons for silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

# Frames that DDS holds at least, for the moments in which the node's Python side is busy.
_LEAST_DEPTH = 5
_ANSWER = "floppynet_vpr_msgs/msg/LoopClosure"
_FIXED = {"sensor_data": ReliabilityPolicy.BEST_EFFORT, "reliable": ReliabilityPolicy.RELIABLE}


def image_topic(node: Node, transport: str) -> str:
    """The full name of the topic `image` or, of a compressed one, of what belongs to it."""
    name = node.resolve_topic_name("image")
    return node.resolve_topic_name(_compressed_of(name)) if transport == "compressed" else name


class ImageSubscriber:
    """Subscribes to the camera and knows who publishes to it."""

    def __init__(
        self,
        node: Node,
        transport: str,
        qos: str,
        depth: int,
        received: Callable[[Any], None],
        topic: str | None = None,
    ) -> None:
        """Subscribe to `image` (raw) or `image/compressed`; `received` gets every message.

        A `topic` takes their place, whatever the transport says of its name.

        As with image_transport, remapping `image` moves its compressed form along.

        DDS keeps the last `depth` messages, and a few in any case.

        With `qos` "auto" the subscription is best effort, which every publisher can serve, until
        `follow_publishers` finds that all publishers are reliable.
        """
        self._node = node
        compressed = transport == "compressed"
        self._type = CompressedImage if compressed else Image
        self._other_type = Image if compressed else CompressedImage
        self._other_transport = "raw" if compressed else "compressed"
        self._name = topic or image_topic(node, transport)
        self._auto = qos == "auto"
        self._depth = max(depth, _LEAST_DEPTH)
        self._received = received
        self._retiring: Any = None
        self._generation = 0
        self._last_published = 0
        self._handing_over = 0
        self._any_came = False
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

        The old subscription stays until the new one delivers, so that no image is lost between but
        what best effort loses: images stay in order.
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
            name = f"nobody publishes {self.topic} ({_type_name(self._type)})"
            sibling = self._sibling()
            if sibling:
                return (
                    f"{name}, but {sibling} ({_type_name(self._other_type)}) is there: "
                    f"set image_transport:={self._other_transport}"
                )
            others = self._other_image_topics()
            hint = (
                f"topics that carry such images: {', '.join(others)} (remap with image:=<topic>)"
                if others
                else "no other topic carries such images: is the camera driver or the bag running?"
            )
            return f"{name}; {hint}"
        offers = ", ".join(
            f"{_full_name(publisher)} [{_words(self._offered(publisher))}, {publisher.topic_type}]"
            for publisher in publishers
        )
        text = f"{self.topic} has publishers but sends nothing: {offers}; "
        if any(publisher.topic_type != _type_name(self._type) for publisher in publishers):
            return text + (
                f"this node expects {_type_name(self._type)}: set image_transport, "
                "and image:=<topic> without /compressed"
            )
        if self._reliability == ReliabilityPolicy.RELIABLE and any(
            self._offered(publisher) == ReliabilityPolicy.BEST_EFFORT for publisher in publishers
        ):
            return text + "the node asks for reliable, which they do not offer: set qos:=auto"
        return text + f"the QoS fits ({self.reliability} asked for): {self._likely_causes()}"

    def _likely_causes(self) -> str:
        """What keeps images away although publishers are there and fit."""
        paused = "is the camera paused?"
        if self._any_came:
            return f"images came before, {paused}"
        if any(
            DurabilityPolicy(publisher.qos_profile.durability) == DurabilityPolicy.TRANSIENT_LOCAL
            for publisher in self._publishers()
        ):
            paused = "was a latched still sent before this node came (send it again)? " + paused
        return (
            f"nothing ever came; {paused} Or does the publisher run as another user or in another "
            "container, whose shared memory this node cannot read? Then run both as one user with "
            "a common /dev/shm, or both with FASTDDS_BUILTIN_TRANSPORTS=UDPv4"
        )

    def _subscribe(self, reliability: ReliabilityPolicy) -> None:
        self._reliability = reliability
        self._generation += 1
        profile = QoSProfile(
            depth=self._depth, history=HistoryPolicy.KEEP_LAST, reliability=reliability
        )
        self._subscription = self._node.create_subscription(
            self._type, self._name, partial(self._deliver, self._generation), profile
        )

    def _deliver(self, generation: int, message: Any, info: Mapping[str, Any]) -> None:
        """Pass a message on, unless the hand-over from one subscription to the next forbids it.

        From the first message of the new subscription on, the old one is not listened to any more.
        The new one may still hold what came by the old one, or was sent before that; the time of
        publication tells, also where cameras stamp nothing.
        """
        self._any_came = True
        if generation != self._generation and self._retiring is None:
            return
        if generation == self._generation and self._retiring is not None:
            self._retire()
            # No more can be waiting: a clock that was set back costs this many images at most.
            self._handing_over = self._depth
        published = int(info["source_timestamp"])
        if self._handing_over:
            if 0 < published <= self._last_published:
                self._handing_over -= 1
                return
            self._handing_over = 0
        self._last_published = published
        self._received(message)

    def _retire(self) -> None:
        if self._retiring is not None:
            self._node.destroy_subscription(self._retiring)
            self._retiring = None

    def _publishers(self) -> list[Any]:
        return self._publishers_of(self.topic)

    def _publishers_of(self, topic: str) -> list[Any]:
        return list(self._node.get_publishers_info_by_topic(topic))

    @staticmethod
    def _offered(publisher: Any) -> ReliabilityPolicy:
        return ReliabilityPolicy(publisher.qos_profile.reliability)

    def _sibling(self) -> str:
        """The same camera's topic of the other transport, if somebody publishes it."""
        name = (
            self.topic.removesuffix("/compressed")
            if self._type is CompressedImage
            else _compressed_of(self.topic)
        )
        carried = {publisher.topic_type for publisher in self._publishers_of(name)}
        return name if _type_name(self._other_type) in carried else ""

    def _other_image_topics(self) -> list[str]:
        return sorted(
            name
            for name, types in camera_topics(self._node)
            if _type_name(self._type) in types and name != self.topic
        )


def camera_topics(node: Node) -> list[tuple[str, list[str]]]:
    """All topics and their types that somebody publishes but the nodes that answer images.

    Pictures of those show what they were asked.
    """
    topics = [
        (name, types, {_full_name(known) for known in node.get_publishers_info_by_topic(name)})
        for name, types in node.get_topic_names_and_types()
    ]
    answering = set().union(*(nodes for _, types, nodes in topics if _ANSWER in types))
    return [(name, types) for name, types, nodes in topics if nodes - answering]


def _compressed_of(topic: str) -> str:
    return f"{topic}/compressed"


def _type_name(kind: type) -> str:
    return f"sensor_msgs/msg/{kind.__name__}"


def _words(reliability: ReliabilityPolicy) -> str:
    return "reliable" if reliability == ReliabilityPolicy.RELIABLE else "best effort"


def _full_name(publisher: Any) -> str:
    return f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
