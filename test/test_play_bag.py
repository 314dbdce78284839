# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""play_bag brings a bag's messages to real subscribers over real DDS, unaltered and in time."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from floppynet_vpr.commands.play_bag import build_parser, main
from floppynet_vpr.datasets.bags import write_bag
from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.datasets.sources import open_source

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2's rclpy")

from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from floppynet_vpr.ros.bag_player import restamp
from floppynet_vpr.ros.image_decoder import ImageDecoder, Trial

OWN = ImageDecoder("/image", Trial(frozenset()), pytest.fail)

FRAMES = 30
PERIOD_NS = 50_000_000
START_NS = 1_700_000_000_000_000_000
PATIENCE_S = 120.0


def lap() -> list[Frame]:
    rng = np.random.default_rng(0)
    return [
        Frame(str(index), PERIOD_NS * index, rng.integers(0, 256, (120, 160, 3), np.uint8))
        for index in range(FRAMES)
    ]


@pytest.fixture(scope="module")
def raw_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 raw images at 20 Hz."""
    bag = tmp_path_factory.mktemp("raw") / "bag"
    write_bag(lap(), bag, start_ns=START_NS, storage="mcap")
    return bag


@pytest.fixture(scope="module")
def packed_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as PNG."""
    bag = tmp_path_factory.mktemp("packed") / "bag"
    write_bag(lap(), bag, start_ns=START_NS, encoding="png")
    return bag


class Listener:
    """A subscriber of its own, with everything it received."""

    def __init__(self, context: Context) -> None:
        self.node = Node("listener", context=context, start_parameter_services=False)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.messages: list[Any] = []

    def subscribe(
        self, message_class: type, topic: str, reliability: str = "RELIABLE", depth: int = 100
    ) -> None:
        """Collect the messages of a topic."""
        profile = QoSProfile(depth=depth, reliability=ReliabilityPolicy[reliability])
        self.node.create_subscription(message_class, topic, self._take, profile)

    def _take(self, message: Any) -> None:
        self.messages.append(message)

    def spin_until(self, done: Callable[[], bool]) -> None:
        """Take messages in until `done`; fail if that takes too long."""
        give_up = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < give_up, f"only {len(self.messages)} messages came"
            self.executor.spin_once(timeout_sec=0.1)


@pytest.fixture
def listener(ros_context: Context) -> Iterator[Listener]:
    listener = Listener(ros_context)
    yield listener
    listener.executor.shutdown()
    listener.node.destroy_node()


Play = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def play(ros_domain: int) -> Iterator[Play]:
    """Starts play_bag as a user would, in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str | Path) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "floppynet_vpr.commands.play_bag", *map(str, words)],
            env={**os.environ, "ROS_DOMAIN_ID": str(ros_domain), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:  # a player killed outright could leave DDS's shared memory torn
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)


def stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def test_every_raw_frame_arrives_equal_to_its_source(
    raw_bag: Path, listener: Listener, play: Play
) -> None:
    listener.subscribe(Image, "/camera/image_raw")
    player = play(raw_bag)
    listener.spin_until(lambda: len(listener.messages) == FRAMES)
    for message, frame in zip(listener.messages, lap(), strict=True):
        assert np.array_equal(OWN.decode(message), frame.rgb)
        assert stamp_ns(message) == START_NS + frame.stamp_ns
        assert message.header.frame_id == "camera_optical_frame"
    out, err = player.communicate(timeout=PATIENCE_S)
    assert player.returncode == 0, err
    assert f"published {FRAMES} messages" in out


def test_compressed_frames_arrive_equal_on_a_remapped_topic(
    packed_bag: Path, listener: Listener, play: Play
) -> None:
    listener.subscribe(CompressedImage, "/front/compressed")
    play(
        *(packed_bag, "--rate", "5"),
        *("--ros-args", "-r", "/camera/image_raw/compressed:=/front/compressed"),
    )
    listener.spin_until(lambda: len(listener.messages) == FRAMES)
    for message, frame in zip(listener.messages, open_source(packed_bag), strict=True):
        assert np.array_equal(OWN.decode(message), frame.rgb)
        assert bytes(message.data) == frame.encoded


def test_the_player_is_never_faster_than_the_recording_times_the_rate(
    raw_bag: Path, listener: Listener, play: Play
) -> None:
    listener.subscribe(Image, "/camera/image_raw")
    player = play(raw_bag, "--rate", "2")
    listener.spin_until(lambda: len(listener.messages) == FRAMES)
    rate_hz = 2e9 / PERIOD_NS
    out, _ = player.communicate(timeout=PATIENCE_S)
    reported = re.search(r"in ([\d.]+) s \(([\d.]+) per second\)", out)
    assert reported is not None
    assert float(reported[1]) >= round((FRAMES - 1) / rate_hz, 1)
    assert float(reported[2]) <= rate_hz


def test_a_best_effort_player_reaches_a_best_effort_subscriber(
    raw_bag: Path, listener: Listener, play: Play
) -> None:
    listener.subscribe(Image, "/camera/image_raw", "BEST_EFFORT")
    play(raw_bag, "--qos", "sensor_data", "--loop", "--rate", "4")
    listener.spin_until(lambda: len(listener.messages) >= 3)
    (publisher,) = listener.node.get_publishers_info_by_topic("/camera/image_raw")
    assert publisher.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


def test_the_clock_follows_the_bag_and_is_never_behind_a_stamp(
    raw_bag: Path, listener: Listener, play: Play
) -> None:
    listener.subscribe(Clock, "/clock")
    listener.subscribe(Image, "/camera/image_raw")
    play(raw_bag, "--clock", "--rate", "0.5", "--delay", "1")

    def images() -> list[Any]:
        return [m for m in listener.messages if isinstance(m, Image)]

    listener.spin_until(lambda: len(images()) == FRAMES)
    clocks = [m.clock.sec * 10**9 + m.clock.nanosec for m in listener.messages if m not in images()]
    assert len(clocks) > 2 * FRAMES, "it ticks between the images, too"
    assert clocks == sorted(clocks)
    assert clocks[0] >= START_NS and clocks[-1] <= START_NS + FRAMES * PERIOD_NS
    assert {stamp_ns(image) for image in images()} <= set(clocks)


def test_stamp_now_replaces_the_stamp_and_nothing_else(
    raw_bag: Path, listener: Listener, play: Play
) -> None:
    listener.subscribe(Image, "/camera/image_raw")
    before = time.time_ns()
    play(raw_bag, "--stamp-now", "--rate", "5")
    listener.spin_until(lambda: len(listener.messages) == FRAMES)
    stamps = [stamp_ns(message) for message in listener.messages]
    assert before <= stamps[0] and stamps[-1] <= time.time_ns()
    assert stamps == sorted(stamps)
    for message, frame in zip(listener.messages, lap(), strict=True):
        assert np.array_equal(OWN.decode(message), frame.rgb)


def test_a_looping_player_ends_cleanly_with_ctrl_c(
    raw_bag: Path, listener: Listener, play: Play
) -> None:
    listener.subscribe(Image, "/camera/image_raw")
    player = play(raw_bag, "--loop", "--rate", "10")
    listener.spin_until(lambda: len(listener.messages) > FRAMES)
    player.send_signal(signal.SIGINT)
    out, err = player.communicate(timeout=PATIENCE_S)
    assert player.returncode == 130
    assert "Traceback" not in err
    published = re.search(r"published (\d+) messages", out)
    assert published is not None and int(published[1]) > FRAMES


def test_without_a_subscriber_it_says_so_and_plays(raw_bag: Path, play: Play) -> None:
    player = play(raw_bag, "--wait-for-subscriber", "0.2", "--rate", "30")
    out, err = player.communicate(timeout=PATIENCE_S)
    assert player.returncode == 0
    assert "nobody subscribed" in err and f"published {FRAMES} messages" in out


def test_topics_of_unknown_type_are_named_and_the_others_played(
    tmp_path: Path, listener: Listener, play: Play
) -> None:
    from rosbags.rosbag2 import Writer
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg("int32 speed", "wheel_msgs/msg/Speed"))
    with Writer(tmp_path / "bag", version=8) as writer:
        speed = writer.add_connection("/speed", "wheel_msgs/msg/Speed", typestore=store)
        talk = writer.add_connection("/talk", "std_msgs/msg/String", typestore=store)
        writer.write(speed, 5, b"\0\1\0\0\7\0\0\0")
        string = store.types["std_msgs/msg/String"]("hello")
        writer.write(talk, 10, store.serialize_cdr(string, "std_msgs/msg/String"))
    from std_msgs.msg import String

    listener.subscribe(String, "/talk")
    player = play(tmp_path / "bag")
    listener.spin_until(lambda: len(listener.messages) == 1)
    assert listener.messages[0].data == "hello"
    _, err = player.communicate(timeout=PATIENCE_S)
    assert "/speed is left out: wheel_msgs/msg/Speed is not installed" in err


def test_a_topic_whose_name_ros_2_refuses_leaves_the_others(
    data_dir: Path, listener: Listener, play: Play
) -> None:
    listener.subscribe(Image, "/cam")
    player = play(data_dir / "field" / "good_and_digit")
    listener.spin_until(lambda: len(listener.messages) == 3)
    _, err = player.communicate(timeout=PATIENCE_S)
    assert player.returncode == 0 and "/ins/1/text is left out: ROS 2 takes no such name" in err


def test_messages_of_a_ros_1_bag_arrive_as_those_of_ros_2(
    data_dir: Path, listener: Listener, play: Play
) -> None:
    from nav_msgs.msg import Odometry
    from rosbags.rosbag1 import Reader
    from rosbags.typesys import Stores, get_typestore

    bag = data_dir / "bags" / "robot_localization_test2.bag"
    topic = "/jackal_velocity_controller/odom"
    store = get_typestore(Stores.ROS1_NOETIC)
    with Reader(bag) as reader:
        connections = [c for c in reader.connections if c.topic == topic]
        (_, _, data), *_ = reader.messages(connections)
        expected: Any = store.deserialize_ros1(data, connections[0].msgtype)
    listener.subscribe(Odometry, topic)
    play(bag)
    listener.spin_until(lambda: len(listener.messages) > 0)
    got = listener.messages[0]
    stamp = expected.header.stamp
    assert stamp_ns(got) == stamp.sec * 10**9 + stamp.nanosec
    assert got.header.frame_id == expected.header.frame_id
    assert got.child_frame_id == expected.child_frame_id
    for name in ("x", "y", "z", "w"):
        wanted = getattr(expected.pose.pose.orientation, name)
        assert getattr(got.pose.pose.orientation, name) == wanted
    assert list(got.pose.covariance) == expected.pose.covariance.tolist()
    assert got.twist.twist.linear.x == expected.twist.twist.linear.x


def test_images_of_a_ros_1_bag_arrive_equal_to_those_read(
    data_dir: Path, listener: Listener, play: Play
) -> None:
    bag = data_dir / "bags" / "spot" / "raw.bag"
    topic = "/spot/camera/hand_color/image"
    listener.subscribe(Image, topic)
    play(bag, "--delay", "1")
    listener.spin_until(lambda: len(listener.messages) == 1)
    (frame,) = open_source(bag, topic=topic)
    assert np.array_equal(OWN.decode(listener.messages[0]), frame.rgb)
    assert stamp_ns(listener.messages[0]) == frame.stamp_ns


def test_a_ros_1_message_whose_fields_have_changed_is_not_passed_off_as_the_new_one(
    tmp_path: Path, ros_domain: int, capsys: pytest.CaptureFixture[str]
) -> None:
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg("float64 x\nfloat64 y", "geometry_msgs/msg/Point"))
    with Writer(tmp_path / "old.bag") as writer:
        point = writer.add_connection("/point", "geometry_msgs/msg/Point", typestore=store)
        writer.write(point, 5, bytes(16))
    assert main([str(tmp_path / "old.bag")]) == 1
    assert "/point: geometry_msgs/msg/Point has changed since ROS 1" in capsys.readouterr().err


def test_a_bag_that_lacks_messages_is_played_and_told(
    raw_bag: Path, tmp_path: Path, ros_domain: int, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(raw_bag, tmp_path / "bag")
    metadata = tmp_path / "bag" / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace(f"count: {FRAMES}", f"count: {FRAMES + 4}"))
    assert main([str(tmp_path / "bag"), "--rate", "50", "--wait-for-subscriber", "0"]) == 1
    out, err = capsys.readouterr()
    assert f"published {FRAMES} messages" in out
    assert f"gave {FRAMES} of the {FRAMES + 4} messages" in err


@given(st.integers(0, 2**31 - 1), st.integers(0, 10**9 - 1), st.text(max_size=5))
def test_restamping_changes_the_stamp_alone(sec: int, nanosec: int, frame_id: str) -> None:
    message = Image(height=1, width=2, step=6, encoding="rgb8", data=bytes(range(6)))
    message.header.stamp.sec, message.header.frame_id = 7, frame_id.replace("\0", "")
    changed = deserialize_message(restamp(serialize_message(message), sec * 10**9 + nanosec), Image)
    assert (changed.header.stamp.sec, changed.header.stamp.nanosec) == (sec, nanosec)
    changed.header.stamp = message.header.stamp
    assert changed == message


def test_a_damaged_bag_ends_with_one_line_and_status_1(
    tmp_path: Path, ros_domain: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "metadata.yaml").write_text("rosbag2_bagfile_information: {}")
    assert main([str(tmp_path)]) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--rate", "0"], ["--qos", "auto"], ["--clock", "--stamp-now"]])
def test_senseless_options_end_with_status_2(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bag", *wrong])
    assert ended.value.code == 2


def test_the_help_says_when_to_use_it() -> None:
    text = " ".join(build_parser().format_help().split())
    assert "not rosbag2" in text and "ros2 bag play" in text and "(default: reliable)" in text
