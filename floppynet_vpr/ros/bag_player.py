# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Publishes a bag's messages in real time, where rosbag2 itself is not installed.

Messages go out as the bytes that were recorded: nothing is decoded, so whatever the subscriber gets
is what the camera sent. Every topic is played whose message type is installed here.
"""

from __future__ import annotations

import importlib
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock

from floppynet_vpr.datasets.bags_reading import COMPRESSED, RAW, open_bag, read_messages
from floppynet_vpr.errors import VprError
from floppynet_vpr.stamps import SECOND_NS

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

QOS_CHOICES: Final = ("reliable", "sensor_data")
# A publisher may know of a subscriber up to 3 s before the subscriber knows of it; what it sends
# until then waits here. Confirmed messages leave at once: the depth normally costs no memory.
_DEPTH: Final = 100
_CLOCK_PERIOD_S: Final = 0.025  # 40 Hz, as `ros2 bag play --clock`
_POLL_S: Final = 0.01


@dataclass(frozen=True)
class Playback:
    """What has been played so far.

    Attributes:
        messages: how many were published, /clock not counted.
        seconds: from the first to the last of them.
    """

    messages: int
    seconds: float

    @property
    def rate_hz(self) -> float:
        """Messages per second, 0 if there were fewer than two."""
        return (self.messages - 1) / self.seconds if self.seconds > 0 else 0.0


class BagPlayer:
    """A bag and the publishers of its topics.

    Attributes:
        topics: names of the topics played, after remapping.
        skipped: the bag's other topics, each with its message type that is not installed here.
    """

    def __init__(
        self,
        node: Node,
        bag: Path,
        *,
        qos: str = "reliable",
        clock: bool = False,
        stamp_now: bool = False,
    ) -> None:
        """Look into the bag and advertise its topics.

        Args:
            node: publishes; its remapping rules apply.
            bag: the bag's folder or one of its storage files.
            qos: of image topics, "reliable" (suits every subscriber) or "sensor_data" (best effort,
                as most cameras); other topics are reliable, and latched if they were recorded so.
            clock: publish the bag's time on /clock, too.
            stamp_now: replace header.stamp by the time of publishing.

        Raises:
            VprError: the bag cannot be read, or nothing in it can be published.
        """
        self._node = node
        self._bag = bag
        self._stamp_now = stamp_now
        self._publishers: dict[tuple[str, str], Publisher[Any]] = {}
        self._stamped: set[str] = set()
        self.skipped: dict[str, str] = {}
        with open_bag(bag) as reader:
            self.message_count = 0
            self._start_ns = reader.start_time
            for connection in reader.connections:
                if self._advertise(connection, qos):
                    self.message_count += connection.msgcount
        if not self.message_count:
            missing = ", ".join(sorted(set(self.skipped.values())))
            raise VprError(
                f"nothing in the bag {bag} can be played: "
                + (f"message types not installed here: {missing}" if missing else "it is empty")
            )
        self.topics = tuple(sorted({p.topic_name for p in self._publishers.values()}))
        self._clock = node.create_publisher(Clock, "/clock", _DEPTH) if clock else None
        self._messages = 0
        self._first_s = self._last_s = 0.0

    @property
    def playback(self) -> Playback:
        """What has been played so far, over all calls of `play`."""
        return Playback(self._messages, self._last_s - self._first_s)

    def wait_for_subscriber(self, timeout_s: float) -> bool:
        """Wait until somebody subscribes to an image topic (any topic if there are no images).

        Returns:
            Whether somebody has; False after `timeout_s` seconds.
        """
        images = [p for (_, msgtype), p in self._publishers.items() if msgtype in (RAW, COMPRESSED)]
        publishers = images or list(self._publishers.values())
        give_up = time.monotonic() + timeout_s
        while not any(publisher.get_subscription_count() for publisher in publishers):
            if time.monotonic() >= give_up:
                return False
            time.sleep(_POLL_S)  # rclpy signals a match only from Iron on
        return True

    def play(self, rate: float = 1.0, published: Callable[[], object] = lambda: None) -> None:
        """Publish the whole bag once, every message at its time of recording.

        Args:
            rate: 2 plays twice as fast as it was recorded.
            published: called after each message.

        Raises:
            VprError: the bag is damaged or was cut off.
        """
        with open_bag(self._bag) as reader:
            connections = [
                c for c in reader.connections if (c.topic, c.msgtype) in self._publishers
            ]
            start_s = time.monotonic()
            for connection, received_ns, data in read_messages(reader, connections):
                self._wait_until(received_ns, start_s, rate)
                if self._stamp_now and connection.msgtype in self._stamped:
                    data = restamp(data, time.time_ns())
                self._publish(connection, data)
                published()

    def finish(self, timeout_s: float = 5.0) -> bool:
        """Wait until every reliable subscriber has everything; returns whether they have."""
        give_up = time.monotonic() + timeout_s
        return all(
            publisher.wait_for_all_acked(Duration(seconds=max(0.0, give_up - time.monotonic())))
            for publisher in self._publishers.values()
        )

    def _advertise(self, connection: Connection, qos: str) -> bool:
        """Create the publisher of a topic; returns False if its type is not installed."""
        key = connection.topic, connection.msgtype
        if key in self._publishers:
            return True
        message_class = _message_class(connection.msgtype)
        if message_class is None:
            self.skipped[connection.topic] = connection.msgtype
            return False
        profile = QoSProfile(depth=_DEPTH)
        if connection.msgtype in (RAW, COMPRESSED):
            profile = qos_profile_sensor_data if qos == "sensor_data" else profile
        elif _was_latched(connection):
            profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
        first_field = next(iter(message_class.get_fields_and_field_types().values()), "")
        if first_field == "std_msgs/Header":
            self._stamped.add(connection.msgtype)
        self._publishers[key] = self._node.create_publisher(
            message_class, connection.topic, profile
        )
        return True

    def _publish(self, connection: Connection, data: bytes) -> None:
        # Counted first: once begun, a message goes out even if Ctrl-C comes meanwhile.
        self._last_s = time.monotonic()
        self._first_s = self._first_s if self._messages else self._last_s
        self._messages += 1
        # Only `bytes` are taken for a serialized message.
        self._publishers[connection.topic, connection.msgtype].publish(bytes(data))

    def _wait_until(self, received_ns: int, start_s: float, rate: float) -> None:
        """Sleep until a message is due, and keep /clock going meanwhile."""
        due_s = start_s + (received_ns - self._start_ns) / 1e9 / rate
        while True:
            now_s = time.monotonic()
            if self._clock is not None:
                bag_ns = self._start_ns + round((min(now_s, due_s) - start_s) * 1e9 * rate)
                self._clock.publish(clock_message(received_ns if now_s >= due_s else bag_ns))
            if now_s >= due_s:
                return
            left_s = due_s - now_s
            time.sleep(left_s if self._clock is None else min(left_s, _CLOCK_PERIOD_S))


def restamp(serialized: bytes, stamp_ns: int) -> bytes:
    """Return a serialized message that begins with a std_msgs/Header with another stamp.

    CDR puts the stamp's int32 seconds and uint32 nanoseconds right behind its four-byte
    encapsulation header, whose second byte is odd for little-endian data.
    """
    order = "<" if serialized[1] & 1 else ">"
    stamp = struct.pack(f"{order}iI", *divmod(stamp_ns, SECOND_NS))
    return serialized[:4] + stamp + serialized[12:]


def clock_message(time_ns: int) -> Clock:
    """Return the /clock message of a time in nanoseconds."""
    message = Clock()
    message.clock.sec, message.clock.nanosec = divmod(time_ns, SECOND_NS)
    return message


def _message_class(msgtype: str) -> Any:
    """Import a message's class by its ROS name; None if it is not installed."""
    package, _, name = msgtype.rpartition("/")
    try:
        return getattr(importlib.import_module(package.replace("/", ".")), name)
    except (ImportError, AttributeError):
        return None


def _was_latched(connection: Connection) -> bool:
    profiles = getattr(connection.ext, "offered_qos_profiles", [])
    return any(profile.durability.name == "TRANSIENT_LOCAL" for profile in profiles)
