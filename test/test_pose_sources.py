# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Poses are waited for, a little and only while they come; what is missing is told with why."""

from __future__ import annotations

import sys
import threading
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from geometry_msgs.msg import PoseStamped, TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time

from floppynet_vpr.mapping import Pose
from floppynet_vpr.ros import pose_sources
from floppynet_vpr.ros.pose_sources import (
    Found,
    PoseSource,
    TopicPoses,
    TransformPoses,
    create_pose_source,
)
from floppynet_vpr.stamps import nanoseconds

SECOND = 1_000_000_000
PATIENCE_S = 60


class LatePoses(PoseSource):
    """Knows x = time up to a moment, as localization that lags behind."""

    def __init__(self) -> None:
        super().__init__("late", "")
        self.known_ns = 0
        self.asked = threading.Event()

    def _find(self, stamp_ns: int, tolerance: float) -> Found:
        self.asked.set()
        newest = min(stamp_ns, self.known_ns)
        near = stamp_ns - newest <= tolerance * SECOND
        pose = Pose(newest / SECOND, 0.0, 0.0) if near else None
        return Found(pose, self.known_ns >= stamp_ns, "too late")

    def close(self) -> None:
        """Do nothing."""

    def come(self, stamp_ns: int) -> None:
        self.known_ns = stamp_ns
        self._seen(stamp_ns)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are as long as a busy machine may need."""
    monkeypatch.setattr(pose_sources, "_LONGEST_WAIT_S", PATIENCE_S)


@pytest.mark.usefixtures("patient")
def test_the_pose_of_the_image_s_own_time_is_waited_for() -> None:
    source = LatePoses()
    source.come(950 * SECOND // 1000)

    def bring() -> None:
        assert source.asked.wait(PATIENCE_S)
        source.come(SECOND)

    bringing = threading.Thread(target=bring)
    bringing.start()
    pose = source.at(SECOND, PATIENCE_S)
    bringing.join()
    assert pose is not None
    assert pose.x == 1.0


def test_a_source_that_lags_too_far_is_waited_for_once_and_its_newest_pose_taken() -> None:
    source = LatePoses()
    source.come(950 * SECOND // 1000)
    begin = time.monotonic()
    pose = source.at(SECOND, 0.1)
    waited = time.monotonic() - begin
    assert pose is not None and pose.x == 0.95
    assert waited >= 0.1
    source._waits_again = time.monotonic() + PATIENCE_S  # the pause, on a machine of any load
    source._news = _NoWaiting()  # type: ignore[assignment]
    assert source.at(2 * SECOND, 0.1) is None
    assert source.missing == "too late"
    assert source.missed == 1


class _NoWaiting:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def wait(self, left: float) -> bool:
        pytest.fail(f"it waits {left} s more")


@pytest.fixture
def node(ros_context: Any) -> Any:
    import rclpy

    node = rclpy.create_node("test_poses", context=ros_context)
    yield node
    node.destroy_node()


def test_a_topic_says_how_far_its_newest_pose_is(node: Any) -> None:
    source = create_pose_source(node, "pose", "", "base_link")
    assert isinstance(source, TopicPoses)
    assert source.at(5 * SECOND, 0.1) is None
    assert source.missing == "pose /pose has given none yet"
    message = PoseStamped()
    message.header.stamp.sec, message.pose.orientation.w = 4, 1.0
    source._on_pose(message)
    assert source.at(5 * SECOND, 0.1) is None
    assert "pose /pose gave none within pose_tolerance, 0.1 s" in source.missing
    assert "the newest is 1.000 s from it" in source.missing
    assert source.facts["images without a pose"] == 2


@pytest.fixture
def tf2_ros(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in for tf2_ros with its interface: one pair of frames, x = time where it is known."""
    module: Any = ModuleType("tf2_ros")

    class TransformException(Exception):
        pass

    class Buffer:
        def __init__(self) -> None:
            self.stamps: list[int] = []

        def clear(self) -> None:
            self.stamps.clear()

        def set_transform(self, transform: TransformStamped, authority: str) -> None:
            self.stamps.append(nanoseconds(transform.header.stamp))

        def lookup_transform(
            self, target: str, source: str, when: Time, timeout: Duration
        ) -> TransformStamped:
            if not self.stamps:
                raise TransformException(f'"{target}" passed to lookupTransform does not exist. ')
            asked = when.nanoseconds or self.stamps[-1]
            if not self.stamps[0] <= asked <= self.stamps[-1]:
                raise TransformException("Lookup would require extrapolation into the future")
            found = TransformStamped()
            found.header.stamp = Time(nanoseconds=asked).to_msg()
            found.transform.translation.x = asked / SECOND
            return found

    module.TransformException = TransformException
    module.Buffer = Buffer
    module.TransformListener = lambda buffer, node: SimpleNamespace(unregister=lambda: None)
    monkeypatch.setitem(sys.modules, "tf2_ros", module)
    return module


def transform_at(stamp_ns: int) -> TransformStamped:
    message = TransformStamped()
    message.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
    return message


@pytest.mark.usefixtures("patient")
def test_transforms_are_waited_for_and_their_reasons_told(node: Any, tf2_ros: Any) -> None:
    source = create_pose_source(node, "tf", "", "base_link")
    assert isinstance(source, TransformPoses)
    assert source.at(SECOND, 0.1) is None
    assert source.missing.startswith('tf map -> base_link: "map" passed to lookupTransform')
    source._waits_again = 0.0
    source._buffer.set_transform(transform_at(900 * SECOND // 1000), "test")
    look_up, asked = source._buffer.lookup_transform, threading.Event()

    def watched(*arguments: Any) -> Any:
        asked.set()
        return look_up(*arguments)

    source._buffer.lookup_transform = watched
    bringing = threading.Thread(
        target=lambda: (
            asked.wait(PATIENCE_S),
            source._buffer.set_transform(transform_at(1100 * SECOND // 1000), "test"),
        )
    )
    bringing.start()
    pose = source.at(SECOND, PATIENCE_S)
    bringing.join()
    assert pose is not None and pose.x == 1.0
    assert source.at(3 * SECOND, 0.1) is None
    assert "extrapolation into the future" in source.missing
    assert "the newest is 1.900 s from the image, pose_tolerance 0.1" in source.missing
