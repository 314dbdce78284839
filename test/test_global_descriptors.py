# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""rtabmap is given descriptors as it unpacks them."""

from __future__ import annotations

import struct
import sys
import zlib
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from std_msgs.msg import Header

from floppynet_vpr.ros.global_descriptors import GlobalDescriptors

NUMPY_KINDS = {5: np.float32, 0: np.uint8}


class Listened:
    """A publisher that keeps what it sends."""

    def __init__(self, kind: type, topic: str) -> None:
        self.kind, self.topic = kind, topic
        self.listeners = 0
        self.sent: list[Any] = []

    def get_subscription_count(self) -> int:
        return self.listeners

    def publish(self, message: Any) -> None:
        self.sent.append(message)


def unpacked(data: bytes) -> Any:
    """A matrix as rtabmap's uncompressData reads it."""
    rows, columns, kind = struct.unpack("<3i", data[-12:])
    return np.frombuffer(zlib.decompress(data[:-12]), NUMPY_KINDS[kind]).reshape(rows, columns)


def test_a_listener_gets_the_descriptor_as_a_matrix_of_one_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offered: list[Listened] = []

    def create_publisher(kind: type, topic: str, depth: int) -> Listened:
        offered.append(Listened(kind, topic))
        return offered[-1]

    messages = ModuleType("rtabmap_msgs.msg")
    messages.__dict__.update(GlobalDescriptor=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "rtabmap_msgs", ModuleType("rtabmap_msgs"))
    monkeypatch.setitem(sys.modules, "rtabmap_msgs.msg", messages)
    node: Any = SimpleNamespace(create_publisher=create_publisher)
    descriptors = GlobalDescriptors(node, "abc123")
    (publisher,) = offered
    assert publisher.topic == "~/global_descriptor"
    descriptor = np.random.default_rng(0).normal(size=9216).astype(np.float32)
    header = Header(frame_id="camera")
    descriptors.publish(header, descriptor)
    assert not publisher.sent
    publisher.listeners = 1
    descriptors.publish(header, descriptor)
    (message,) = publisher.sent
    assert (message.header, message.type) == (header, 1)
    np.testing.assert_array_equal(unpacked(message.data), descriptor[None])
    assert unpacked(message.info).tobytes() == b"abc123"


def test_without_the_package_nothing_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtabmap_msgs.msg", None)
    node: Any = SimpleNamespace()
    descriptors = GlobalDescriptors(node, "abc123")
    descriptors.publish(Header(), np.zeros(4, np.float32))
    descriptors.close()
