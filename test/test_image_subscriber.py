# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The image subscription: hand-over between two, names as in image_transport, reasons."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import Image

from floppynet_vpr.ros.image_subscriber import ImageSubscriber


class FakeNode:
    """What ImageSubscriber needs of a node, without DDS; topics have one publisher each."""

    def __init__(self, remapped: dict[str, str] | None = None) -> None:
        self.remapped = remapped or {}
        self.callbacks: list[Any] = []
        self.published: dict[str, SimpleNamespace] = {}

    def resolve_topic_name(self, name: str) -> str:
        return self.remapped.get(name, f"/{name.lstrip('/')}")

    def create_subscription(self, kind: type, name: str, callback: Any, profile: Any) -> Any:
        self.callbacks.append(callback)
        return SimpleNamespace(topic_name=self.resolve_topic_name(name))

    def destroy_subscription(self, subscription: Any) -> None:
        pass

    def publish(
        self,
        topic: str,
        kind: str = "Image",
        durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
    ) -> None:
        profile = SimpleNamespace(reliability=ReliabilityPolicy.RELIABLE, durability=durability)
        self.published[topic] = SimpleNamespace(
            qos_profile=profile,
            topic_type=f"sensor_msgs/msg/{kind}",
            node_namespace="/",
            node_name="camera",
        )

    def get_publishers_info_by_topic(self, topic: str) -> list[Any]:
        return [self.published[topic]] if topic in self.published else []

    def get_topic_names_and_types(self) -> list[tuple[str, list[str]]]:
        return [(name, [entry.topic_type]) for name, entry in self.published.items()]

    def count_publishers(self, topic: str) -> int:
        return len(self.get_publishers_info_by_topic(topic))


def subscriber(node: Any, transport: str = "raw", received: Any = None) -> ImageSubscriber:
    return ImageSubscriber(node, transport, "auto", 1, received or (lambda message: None))


def deliver(node: FakeNode, which: int, number: int, stamp: int | None = None) -> None:
    """Have a subscription deliver the image that was published as number `number`."""
    message = Image()
    message.header.stamp.sec = number if stamp is None else stamp
    message.header.frame_id = str(number)
    node.callbacks[which](message, {"source_timestamp": 1_000 + number})


@pytest.mark.parametrize("stamp", [None, 0], ids=["stamped", "unstamped"])
def test_a_hand_over_neither_doubles_nor_turns_back(stamp: int | None) -> None:
    node = FakeNode()
    got: list[int] = []
    images = subscriber(node, received=lambda message: got.append(int(message.header.frame_id)))
    node.publish("/image")
    images.follow_publishers()
    assert len(node.callbacks) == 2
    deliver(node, 0, 2, stamp)
    for number in (0, 1, 2):
        deliver(node, 1, number, stamp)
    deliver(node, 0, 3, stamp)  # taken from the old one before it was destroyed
    for number in (3, 4):
        deliver(node, 1, number, stamp)
    assert got == [2, 3, 4]


def test_a_clock_set_back_in_a_hand_over_costs_a_few_images_only() -> None:
    node = FakeNode()
    got: list[int] = []
    images = subscriber(node, received=lambda message: got.append(message.header.stamp.sec))
    node.publish("/image")
    images.follow_publishers()
    deliver(node, 0, 500)
    for number in range(10):
        deliver(node, 1, number)
    assert got == [500, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("transport", "published", "kind", "remedy"),
    [
        ("raw", "/image/compressed", "CompressedImage", "image_transport:=compressed"),
        ("compressed", "/image", "Image", "image_transport:=raw"),
    ],
)
def test_the_other_transport_of_the_same_camera_is_named(
    transport: str, published: str, kind: str, remedy: str
) -> None:
    node = FakeNode()
    node.publish(published, kind)
    reason = subscriber(node, transport).explain_silence()
    assert f"but {published} (sensor_msgs/msg/{kind}) is there" in reason
    assert remedy in reason


def test_the_compressed_form_moves_along_with_its_base_topic() -> None:
    node = FakeNode({"image": "/camera/image_raw"})
    assert subscriber(node, "compressed").topic == "/camera/image_raw/compressed"
    assert subscriber(node, "raw").topic == "/camera/image_raw"


def test_publishers_that_never_deliver_get_likely_causes() -> None:
    node = FakeNode()
    node.publish("/image")
    images = subscriber(node)
    reason = images.explain_silence()
    assert "another user" in reason and "container" in reason and "paused" in reason
    assert "latched" not in reason
    node.publish("/image", durability=DurabilityPolicy.TRANSIENT_LOCAL)
    assert "latched still" in images.explain_silence()
    deliver(node, 0, 1)
    reason = images.explain_silence()
    assert "images came before, is the camera paused?" in reason and "container" not in reason
