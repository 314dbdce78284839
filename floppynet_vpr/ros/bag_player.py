# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Publishes a bag's messages in real time, where rosbag2 itself is not installed.

Messages go out as the bytes that were recorded: nothing is decoded, so whatever the subscriber gets
is what the camera sent; those of ROS 1 bags are converted byte by byte. Every topic is played whose
message type is installed here and, for ROS 1, still has the same fields.
"""

from __future__ import annotations

import importlib
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from builtin_interfaces.msg import Time
from rclpy.duration import Duration
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock

from floppynet_vpr.datasets.bag_files import Bag, open_bag
from floppynet_vpr.datasets.bags_reading import COMPRESSED, RAW
from floppynet_vpr.errors import VprError
from floppynet_vpr.stamps import SECOND_NS

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore

# A publisher may know of a subscriber up to 3 s before the subscriber knows of it; what it sends
# until then waits here. Confirmed messages leave at once: the depth normally costs no memory.
_DEPTH: Final = 100
_CLOCK_PERIOD_S: Final = 0.025  # 40 Hz, as `ros2 bag play --clock`
_POLL_S: Final = 0.01
# Base types whose names in ROS 1 definitions are not rclpy's.
_BASE_NAMES: Final = {
    **{"bool": "boolean", "byte": "octet", "char": "uint8"},
    **{"float32": "float", "float64": "double"},
}
_NO_FIELD: Final = "structure_needs_at_least_one_member"


@dataclass(frozen=True)
class Playback:
    """How many messages have been played so far, /clock not counted, and in how many seconds."""

    messages: int
    seconds: float

    @property
    def rate_hz(self) -> float:
        """Messages per second, 0 if there were fewer than two."""
        return (self.messages - 1) / self.seconds if self.seconds > 0 else 0.0


class BagPlayer:
    """A bag and the publishers of its `topics`, whose names are those after remapping.

    `skipped` are the bag's other topics, each with the reason why it cannot be published.
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
        """Look into the bag, as `open_bag` takes it, and advertise its topics.

        `qos` is of image topics: "reliable" suits every subscriber, "sensor_data" is best effort,
        as most cameras; other topics are reliable, and latched if they were recorded so. `clock`
        publishes the bag's time on /clock, `stamp_now` replaces header.stamp by the time of
        publishing. Raises VprError where the bag cannot be read, or nothing in it can be published.
        """
        self._node = node
        self._bag = bag
        self._stamp_now = stamp_now
        self._publishers: dict[tuple[str, str], Publisher[Any]] = {}
        self._stamped: set[str] = set()
        self.skipped: dict[str, str] = {}
        with open_bag(bag) as recording:
            self.message_count = 0
            self._start_ns = recording.start_ns
            for connection in recording.connections:
                if self._advertise(recording, connection, qos):
                    self.message_count += connection.msgcount
        if not self.message_count:
            reasons = "; ".join(f"{topic}: {why}" for topic, why in sorted(self.skipped.items()))
            raise VprError(f"nothing in the bag {bag} can be played: {reasons or 'it is empty'}")
        self.topics = tuple(sorted({p.topic_name for p in self._publishers.values()}))
        self._clock = node.create_publisher(Clock, "/clock", _DEPTH) if clock else None
        self._messages = 0
        self._first_s = self._last_s = 0.0

    @property
    def playback(self) -> Playback:
        """What has been played so far, over all calls of `play`."""
        return Playback(self._messages, max(0.0, self._last_s - self._first_s))

    def wait_for_subscriber(self, timeout_s: float) -> bool:
        """Wait until somebody subscribes to an image topic (any topic if there are no images).

        Tells whether somebody has.
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
        """Publish the whole bag once, at the pace of its recording or `rate` times as fast.

        `published` is called after each message. Raises VprError where the bag is damaged, was cut
        off, or has fewer messages than it should; what it has is published.
        """
        played = 0
        with open_bag(self._bag) as recording:
            connections = [
                c for c in recording.connections if (c.topic, c.msgtype) in self._publishers
            ]
            start_s = time.monotonic()
            self._first_s = self._first_s or start_s
            for connection, received_ns, stored in recording.messages(connections):
                # Only `bytes` are taken for a serialized message.
                data = bytes(recording.cdr(connection, stored))
                self._wait_until(received_ns, start_s, rate)
                if self._stamp_now and connection.msgtype in self._stamped:
                    data = restamp(data, time.time_ns())
                self._publish(connection, data)
                played += 1
                published()
        if played < self.message_count:
            raise VprError(
                f"the bag {self._bag} gave {played} of the {self.message_count} messages that it "
                "should have on these topics"
            )

    def finish(self, timeout_s: float = 5.0) -> bool:
        """Wait until every reliable subscriber has everything; returns whether they have."""
        give_up = time.monotonic() + timeout_s
        return all(
            publisher.wait_for_all_acked(Duration(seconds=max(0.0, give_up - time.monotonic())))
            for publisher in self._publishers.values()
        )

    def _advertise(self, bag: Bag, connection: Connection, qos: str) -> bool:
        """Create the publisher of a topic; returns False where that cannot be."""
        key = connection.topic, connection.msgtype
        if key in self._publishers:
            return True
        message_class = _message_class(connection.msgtype)
        if message_class is None:
            self.skipped[connection.topic] = f"{connection.msgtype} is not installed here"
            return False
        types = bag.ros1_types(connection)
        if types is not None and not _has_same_fields(types, connection.msgtype, message_class):
            self.skipped[connection.topic] = f"{connection.msgtype} has changed since ROS 1"
            return False
        profile = QoSProfile(depth=_DEPTH)
        if connection.msgtype in (RAW, COMPRESSED):
            profile = qos_profile_sensor_data if qos == "sensor_data" else profile
        elif _was_latched(connection):
            profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
        first_field = next(iter(message_class.get_fields_and_field_types().values()), "")
        if first_field == "std_msgs/Header":
            self._stamped.add(connection.msgtype)
        try:
            publisher = self._node.create_publisher(message_class, connection.topic, profile)
        except InvalidTopicNameException:
            self.skipped[connection.topic] = (
                "ROS 2 takes no such name: its parts are letters, digits and _, none begins with a "
                "digit"
            )
            return False
        self._publishers[key] = publisher
        return True

    def _publish(self, connection: Connection, data: bytes) -> None:
        # Counted first: once begun, a message goes out even if Ctrl-C comes meanwhile.
        self._last_s = time.monotonic()
        self._messages += 1
        self._publishers[connection.topic, connection.msgtype].publish(data)

    def _wait_until(self, received_ns: int, start_s: float, rate: float) -> None:
        """Sleep until a message is due, and keep /clock going meanwhile."""
        due_s = start_s + (received_ns - self._start_ns) / 1e9 / rate
        while True:
            now_s = time.monotonic()
            if self._clock is not None:
                bag_ns = self._start_ns + round((min(now_s, due_s) - start_s) * 1e9 * rate)
                seconds, nanosec = divmod(received_ns if now_s >= due_s else bag_ns, SECOND_NS)
                self._clock.publish(Clock(clock=Time(sec=seconds, nanosec=nanosec)))
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


def _message_class(msgtype: str) -> Any:
    """Import a message's class by its ROS name; None if it is not installed."""
    package, _, name = msgtype.rpartition("/")
    try:
        return getattr(importlib.import_module(package.replace("/", ".")), name)
    except (ImportError, AttributeError):
        return None


def _has_same_fields(types: Typestore, msgtype: str, message_class: Any) -> bool:
    """Tell whether a message of ROS 1 has the fields, in this order, of an installed one."""
    from rosbags.interfaces import Nodetype

    if message_class is None:
        return False
    if msgtype == "std_msgs/msg/Header":  # `seq` is left out in the conversion
        return True
    fields = [field for field in types.fielddefs[msgtype][1] if field[0] != _NO_FIELD]
    installed = dict(message_class.get_fields_and_field_types())
    installed.pop(_NO_FIELD, None)
    if [_ros_name(kind) for _, kind in fields] != list(installed.values()):
        return False
    lists = (Nodetype.ARRAY, Nodetype.SEQUENCE)
    inner: list[Any] = [kind[1][0] if kind[0] in lists else kind for _, kind in fields]
    return all(
        _has_same_fields(types, str(name), _message_class(str(name)))
        for node, name in inner
        if node == Nodetype.NAME
    )


def _ros_name(kind: Any) -> str:
    """Name a field's type, as the library describes it, as rclpy does."""
    from rosbags.interfaces import Nodetype

    node, detail = kind
    if node == Nodetype.BASE:
        return _BASE_NAMES.get(detail[0], detail[0])
    if node == Nodetype.NAME:
        return str(detail).replace("/msg/", "/")
    inner, count = detail
    return (
        f"{_ros_name(inner)}[{count}]"
        if node == Nodetype.ARRAY
        else f"sequence<{_ros_name(inner)}>"
    )


def _was_latched(connection: Connection) -> bool:
    if connection.topic.strip("/") == "tf_static":  # whoever records it, it always is
        return True
    if getattr(connection.ext, "latching", None):  # ROS 1
        return True
    profiles = getattr(connection.ext, "offered_qos_profiles", [])
    return any(profile.durability.name == "TRANSIENT_LOCAL" for profile in profiles)
