# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a node would get of the images on this ROS network, and why not; asks as the node does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import CompressedImage, Image

from floppynet_vpr.evaluation.environment import FAULT, HINT, OK, Finding
from floppynet_vpr.imaging.payload import ImageError
from floppynet_vpr.ros.image_decoder import ImageDecoder, Trial
from floppynet_vpr.ros.image_subscriber import ImageSubscriber, camera_topics
from floppynet_vpr.ros.processes import image_profile

_TYPES = {"sensor_msgs/msg/Image": "raw", "sensor_msgs/msg/CompressedImage": "compressed"}
_DISCOVERY_S = 3.5
"""DDS announces itself every 3 s at the latest."""

_DEFAULT_SEGMENT = 512 << 10
"""Bytes of the shared memory of a Fast DDS participant, where no profile says otherwise."""

_RECEIVE_BUFFER = Path("/proc/sys/net/core/rmem_max")


@dataclass(frozen=True)
class ImageTopic:
    """A topic with images; `name` is the base topic, without /compressed."""

    name: str
    transport: str

    @property
    def full_name(self) -> str:
        """The topic itself."""
        return self.name if self.transport == "raw" else f"{self.name}/compressed"


class _Listener:
    """Counts the images of one topic, taken as the node takes them."""

    def __init__(self, context: Any, topic: ImageTopic, number: int) -> None:
        self.topic = topic
        self.node = rclpy.create_node(
            f"doctor_{number}",
            context=context,
            cli_args=["--ros-args", "-r", f"image:={topic.name}"],
            use_global_arguments=False,
            start_parameter_services=False,
        )
        self.count, self.bytes = 0, 0
        self.first = self.last = 0.0
        self.message: Image | CompressedImage | None = None
        self.images = ImageSubscriber(self.node, topic.transport, "auto", 5, self._take)

    def _take(self, message: Any) -> None:
        self.last = time.monotonic()
        self.first = self.first or self.last
        self.count += 1
        self.bytes = max(self.bytes, len(message.data))
        self.message = message

    @property
    def rate_hz(self) -> float:
        """Images a second, 0 for fewer than two."""
        passed = self.last - self.first
        return (self.count - 1) / passed if passed > 0 else 0.0


def examine_ros() -> Iterator[Finding]:
    """Look at the settings that decide who hears whom."""
    distro = os.environ.get("ROS_DISTRO", "without ROS_DISTRO")
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    text = f"{distro}, {get_rmw_implementation_identifier()}, domain {domain}"
    reach = "the whole network"
    if _on_this_machine_only():
        reach = "this machine only (ROS_AUTOMATIC_DISCOVERY_RANGE, ROS_LOCALHOST_ONLY)"
    yield Finding(OK, "ROS", f"{text}, {reach}")
    try:
        import floppynet_vpr_msgs.msg  # noqa: F401
    except ImportError as error:
        yield Finding(FAULT, "messages", f"floppynet_vpr_msgs is not there ({error}): build it")


def _on_this_machine_only() -> bool:
    return (
        os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE") == "LOCALHOST"
        or os.environ.get("ROS_LOCALHOST_ONLY") == "1"
    )


def examine_images(node: Node, wanted: ImageTopic | None, seconds: float) -> Iterator[Finding]:
    """Listen for so many seconds to the topics with images, or to the one that is `wanted`."""
    found = [wanted] if wanted is not None else _wait_for_topics(node)
    if not found:
        yield Finding(
            HINT,
            "images",
            "no topic carries images: is the camera driver or the bag running, in this domain?",
        )
        return
    with _listening(node.context, found) as (listeners, executor):
        end = time.monotonic() + (_DISCOVERY_S if wanted is not None else 0.0) + seconds
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=max(0.0, min(0.2, end - time.monotonic())))
            for listener in listeners:
                listener.images.follow_publishers()
        for listener in listeners:
            yield from _heard(listener, wanted is not None)


@contextmanager
def _listening(
    context: Any, topics: Sequence[ImageTopic]
) -> Iterator[tuple[list[_Listener], SingleThreadedExecutor]]:
    executor = SingleThreadedExecutor(context=context)
    listeners: list[_Listener] = []
    try:
        for number, topic in enumerate(topics):
            listeners.append(_Listener(context, topic, number))
            executor.add_node(listeners[-1].node)
        yield listeners, executor
    finally:
        executor.shutdown()
        for listener in listeners:
            listener.images.close()
            listener.node.destroy_node()


def _wait_for_topics(node: Node) -> list[ImageTopic]:
    """The topics with images of cameras, after the time that discovery takes."""
    time.sleep(_DISCOVERY_S)
    found = []
    for name, types in camera_topics(node):
        for kind in types:
            if kind in _TYPES:
                found.append(ImageTopic(name.removesuffix("/compressed"), _TYPES[kind]))
    return found


def _heard(listener: _Listener, wanted: bool) -> Iterator[Finding]:
    """What came of one topic; silence of the topic that is wanted stands in the way."""
    name = listener.topic.full_name
    if listener.message is None:
        yield Finding(FAULT if wanted else HINT, "images", listener.images.explain_silence())
        return
    launch = f"image:={listener.topic.name}"
    if listener.topic.transport != "raw":
        launch += f" image_transport:={listener.topic.transport}"
    yield Finding(
        OK,
        "images",
        f"{name}: {listener.rate_hz:.1f} Hz, {listener.images.reliability}, "
        f"{listener.bytes / 1e6:.2f} MB each ({launch})",
    )
    yield from _usable(listener, wanted)
    yield from _fits(listener)


def _usable(listener: _Listener, wanted: bool) -> Iterator[Finding]:
    decoder = ImageDecoder(listener.topic.full_name, Trial(frozenset(), "not tried"), print)
    assert listener.message is not None
    try:
        decoder.decode(listener.message)
    except ImageError as error:
        yield Finding(FAULT if wanted else HINT, "images", f"it cannot be used: {error}")
    stamp = listener.message.header.stamp
    if not (stamp.sec or stamp.nanosec):
        yield Finding(
            HINT, "images", f"{listener.topic.full_name} carries no stamps: arrival counts instead"
        )


def _fits(listener: _Listener) -> Iterator[Finding]:
    """Whether such images fit into what DDS and the kernel hold at a time."""
    fast = "fastrtps" in get_rmw_implementation_identifier()
    if fast and listener.bytes > _DEFAULT_SEGMENT and (profile := image_profile()):
        (variable, *_), (file, *_) = profile.keys(), profile.values()
        yield Finding(
            HINT,
            "DDS",
            f"images of {listener.bytes / 1e6:.2f} MB do not fit into Fast DDS's shared memory of "
            f"0.5 MB: start the camera driver with {variable}={file}",
        )
    limit = _receive_buffer()
    if limit is not None and listener.bytes > limit and not _on_this_machine_only():
        yield Finding(
            HINT,
            "kernel",
            f"from another machine, images of {listener.bytes / 1e6:.2f} MB do not fit into "
            f"net.core.rmem_max of {limit}: sudo sysctl -w net.core.rmem_max=33554432, or use "
            "compressed images",
        )


def _receive_buffer() -> int | None:
    try:
        return int(_RECEIVE_BUFFER.read_text("utf-8"))
    except (OSError, ValueError):  # no such file in some containers
        return None


def examine_nodes(node: Node) -> Iterator[Finding]:
    """Say which nodes answer already."""
    answering = [
        f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name} on {name}"
        for name, types in node.get_topic_names_and_types()
        if "floppynet_vpr_msgs/msg/LoopClosure" in types
        for publisher in node.get_publishers_info_by_topic(name)
    ]
    text = ", ".join(answering)
    yield Finding(OK, "node", f"running: {text}" if answering else "none is running yet")
