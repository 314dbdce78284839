# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Where the node gets the camera's poses from: nowhere, a topic, or tf2.

A pose for the very time of an image is often still on its way when the image is there: localization
and transforms take their time. At 1 m/s the newest pose is wrong by 5 cm if it is 50 ms old. So the
one who asks waits for it, but never for a source that has shown that nothing comes.
"""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time

from floppynet_vpr.errors import VprError
from floppynet_vpr.mapping import Pose
from floppynet_vpr.ros.notices import Notices
from floppynet_vpr.ros.pose_history import CLOCK_JUMP_S, PoseHistory
from floppynet_vpr.stamps import nanoseconds

DEFAULT_FRAME = "map"
_DEPTH = 100
_LONGEST_WAIT_S = 0.25
_PAUSE_S = 1.0
"""After a wait in vain, none for so long: a source that lags costs an image now and then."""


@dataclass(frozen=True)
class Found:
    """What a source has for a time.

    `exact`: the pose is of the time asked for, or nothing that may come will change it.
    `why_not`: what the source says of it where there is no pose.
    """

    pose: Pose | None
    exact: bool
    why_not: str = ""


class PoseSource(ABC):
    """Gives the pose of an image by its stamp."""

    def __init__(self, name: str, frame: str) -> None:
        self.name = name
        self._frame = frame
        self._latest: float | None = None
        self._stamp_ns = 0
        self._news = threading.Condition()
        self._waits_again = 0.0
        self.missing = ""
        """Why the last image got no pose; empty: it got one, or none was wanted."""
        self.missed = 0
        """Images that got none."""

    @property
    def frame(self) -> str:
        """The frame of the poses."""
        return self._frame or DEFAULT_FRAME

    @property
    def fixed(self) -> bool:
        """Whether the frame is the same on every day: not that of odometry, which starts anew."""
        return not self.frame.rpartition("/")[2].startswith("odom")

    @property
    def age(self) -> float | None:
        """Seconds since the last usable pose came, None before the first."""
        return None if self._latest is None else time.monotonic() - self._latest

    @property
    def facts(self) -> dict[str, object]:
        """The state of the source, for people."""
        facts: dict[str, object] = {"pose source": self.name, "frame of poses": self.frame}
        facts["images without a pose"] = self.missed
        if self.age is not None:
            facts["last pose (s ago)"] = f"{self.age:.2f}"
            facts["stamp of last pose"] = f"{self._stamp_ns / 1e9:.3f}"
        return facts

    def at(self, stamp_ns: int, tolerance: float, wait: bool = True) -> Pose | None:
        """Find the pose at a stamp, None without one within `tolerance` seconds of it.

        Waits up to a quarter of a second, and no longer than `tolerance`, for a pose that is not
        older than the stamp. Not to be called by the executor's thread, which brings it.
        """
        begin = time.monotonic()
        waiting = wait and begin >= self._waits_again
        patience = min(tolerance, _LONGEST_WAIT_S) if waiting else 0.0
        with self._news:
            while not (found := self._find(stamp_ns, tolerance)).exact:
                left = begin + patience - time.monotonic()
                if left <= 0 or not self._news.wait(left):
                    if patience:
                        self._waits_again = time.monotonic() + _PAUSE_S
                    break
        self.missing = found.why_not if found.pose is None else ""
        self.missed += found.pose is None
        return found.pose

    @abstractmethod
    def _find(self, stamp_ns: int, tolerance: float) -> Found:
        """Look for the pose, without waiting."""

    @abstractmethod
    def close(self) -> None:
        """End the subscriptions."""

    def _seen(self, stamp_ns: int) -> None:
        """Note a pose that can be used."""
        with self._news:
            self._latest, self._stamp_ns = time.monotonic(), stamp_ns
            self._news.notify_all()


class NoPoses(PoseSource):
    """No poses."""

    def __init__(self, frame: str) -> None:
        """Give none; `frame` is that of a map that was made with poses."""
        super().__init__("none", frame)

    def at(self, stamp_ns: int, tolerance: float, wait: bool = True) -> Pose | None:
        """Give none, which nobody misses."""
        return None

    def _find(self, stamp_ns: int, tolerance: float) -> Found:
        return Found(None, exact=True)

    def close(self) -> None:
        """Do nothing."""


class TopicPoses(PoseSource):
    """Poses of nav_msgs/Odometry on `odom` or of geometry_msgs/PoseStamped on `pose`."""

    def __init__(self, node: Node, odometry: bool, frame: str) -> None:
        """Subscribe; with an empty `frame` that of the first message is the poses' frame."""
        # Best effort, which every publisher can serve.
        profile = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._node = node
        self._subscription = (
            node.create_subscription(Odometry, "odom", self._on_odometry, profile)
            if odometry
            else node.create_subscription(PoseStamped, "pose", self._on_pose, profile)
        )
        kind = "odometry" if odometry else "pose"
        super().__init__(f"{kind} {self._subscription.topic_name}", frame)
        self._history = PoseHistory()
        self._notices = Notices(node.get_logger())

    def _find(self, stamp_ns: int, tolerance: float) -> Found:
        newest_ns = self._history.newest_ns
        pose = self._history.at(stamp_ns, tolerance)
        why_not = (
            f"{self.name} gave none within pose_tolerance, {tolerance} s, of the last image; the "
            f"newest is {abs(newest_ns - stamp_ns) / 1e9:.3f} s from it"
            if newest_ns
            else f"{self.name} has given none yet"
        )
        return Found(pose, newest_ns >= stamp_ns, why_not)

    def close(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)

    def _on_odometry(self, message: Odometry) -> None:
        self._take(message.header, message.pose.pose)

    def _on_pose(self, message: PoseStamped) -> None:
        self._take(message.header, message.pose)

    def _take(self, header: Any, message: Any) -> None:
        self._frame = self._frame or header.frame_id
        pose = map_pose(message)
        if header.frame_id not in ("", self._frame):
            self._notices.warn(
                f"poses of {self.name} are in frame '{header.frame_id}', not '{self._frame}': "
                "they are not used; set map_frame to the frame they are in"
            )
        elif pose is None:
            self._notices.warn(
                f"a pose of {self.name} is not finite or has no orientation: not used"
            )
        else:
            self._history.add(nanoseconds(header.stamp), pose)
            self._seen(nanoseconds(header.stamp))


class TransformPoses(PoseSource):
    """Poses of `base_frame` in `frame`, from tf2."""

    def __init__(self, node: Node, frame: str, base_frame: str) -> None:
        """Listen to tf2; raises VprError where tf2_ros is not installed."""
        try:
            import tf2_ros
        except ImportError:
            raise VprError(
                "pose_source is 'tf', but tf2_ros is not installed: install it "
                "(sudo apt install ros-$ROS_DISTRO-tf2-ros-py), or take poses from a topic "
                "with pose_source odometry or pose"
            ) from None
        super().__init__(f"tf {frame or DEFAULT_FRAME} -> {base_frame}", frame)
        self._base_frame = base_frame
        self._failure = tf2_ros.TransformException
        news = self._news

        class Buffer(tf2_ros.Buffer):
            """Tells of each transform that came."""

            def set_transform(self, transform: Any, authority: str) -> None:
                super().set_transform(transform, authority)
                with news:
                    news.notify_all()

        self._buffer = Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._newest = 0

    def _find(self, stamp_ns: int, tolerance: float) -> Found:
        """Look it up, or the newest one where that is not older than `tolerance`."""
        if stamp_ns < self._newest - CLOCK_JUMP_S * 1e9:
            self._buffer.clear()  # it would keep the transforms of a time that is to come
            self._newest = stamp_ns
        self._newest = max(self._newest, stamp_ns)
        try:
            found = self._look_up(Time(nanoseconds=stamp_ns))
            # Frames that do not move against each other carry no stamp.
            self._seen(nanoseconds(found.header.stamp) or stamp_ns)
            return Found(_pose_of(found), exact=True)
        except self._failure as error:
            why_not = f"{self.name}: {error}"
        try:
            newest = self._look_up(Time())  # Time() asks for the newest
        except self._failure:
            return Found(None, exact=False, why_not=why_not)
        newest_ns = nanoseconds(newest.header.stamp)
        apart, passed = abs(newest_ns - stamp_ns) / 1e9, newest_ns >= stamp_ns
        if apart > tolerance:
            why_not += f" (the newest is {apart:.3f} s from the image, pose_tolerance {tolerance})"
            return Found(None, passed, why_not)
        self._seen(newest_ns)
        return Found(_pose_of(newest), passed)

    def _look_up(self, when: Time) -> Any:
        return self._buffer.lookup_transform(self.frame, self._base_frame, when, Duration())

    def close(self) -> None:
        """End the subscriptions."""
        self._listener.unregister()


def create_pose_source(node: Node, kind: str, frame: str, base_frame: str) -> PoseSource:
    """Make the source `kind`, one of `POSE_SOURCES`; raises VprError where it cannot be."""
    if kind == "none":
        return NoPoses(frame)
    if kind == "tf":
        return TransformPoses(node, frame, base_frame)
    return TopicPoses(node, kind == "odometry", frame)


def _pose_of(found: Any) -> Pose:
    """Turn a geometry_msgs/TransformStamped into a map's pose."""
    place, turn = found.transform.translation, found.transform.rotation
    return Pose(place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w)


def map_pose(message: Any) -> Pose | None:
    """Turn a geometry_msgs/Pose into a map's, None where it means nothing."""
    place, turn = message.position, message.orientation
    size = math.hypot(turn.x, turn.y, turn.z, turn.w)
    values = (place.x, place.y, place.z, size)
    if not all(map(math.isfinite, values)) or size < 1e-6:
        return None
    return Pose(
        place.x, place.y, place.z, turn.x / size, turn.y / size, turn.z / size, turn.w / size
    )
