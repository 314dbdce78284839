# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The doctor finds what stands in the way, says what to do, and is content where all is well."""

from __future__ import annotations

import importlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from synthetic_drives import street

from floppynet_vpr.commands.doctor import main
from floppynet_vpr.evaluation import environment
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.network.weights import load_weights, shipped_weights


class Line(NamedTuple):
    """A line of what the doctor says."""

    level: str
    subject: str
    text: str


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[Line]]:
    """Run the doctor; returns its exit status and its findings."""
    status = main(list(words))
    *lines, summary = capsys.readouterr().out.splitlines()
    found = []
    for line in lines:
        head, _, text = line.partition(": ")
        level, subject = head.split(maxsplit=1)
        found.append(Line(level, subject.strip(), text.strip()))
    counts = [sum(one.level == level for one in found) for level in ("fault", "hint", "ok")]
    assert summary == "{} faults, {} hints, {} ok".format(*counts)
    return status, found


def about(found: list[Line], subject: str) -> list[Line]:
    return [one for one in found if one.subject == subject]


def make_map(path: Path, places: int, network: str = "floppynet") -> Path:
    reference = ReferenceMap.for_weights(load_weights(shipped_weights()[network]))
    for number, descriptor in enumerate(street(places)):
        reference.add(descriptor, str(number))
    reference.save(path)
    return path


def test_a_machine_on_which_all_tests_run_has_no_fault(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, found = ask(capsys, "--no-ros", "--map", str(make_map(tmp_path / "a.fvm", 30)))
    assert status == 0
    assert {"Python", "libraries", "network", "shared memory", "locale", "map"} <= {
        one.subject for one in found
    }
    (network,) = about(found, "network")
    assert network.level == "ok" and " ms" in network.text
    (described,) = about(found, "map")
    assert described.level == "ok" and "sound, 30 places, 0 with a pose" in described.text


def test_an_absent_library_is_a_hint_that_says_what_it_costs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module

    def without_rosbags(name: str, *rest: Any) -> Any:
        if name == "rosbags":
            raise ImportError("No module named 'rosbags'")
        return real(name, *rest)

    monkeypatch.setattr(environment.importlib, "import_module", without_rosbags)
    status, found = ask(capsys, "--no-ros")
    assert status == 0
    (line,) = about(found, "rosbags")
    assert line.level == "hint"
    assert "bags cannot be read" in line.text and "pip install rosbags" in line.text


def test_a_network_that_cannot_be_computed_is_a_fault(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise MemoryError("Unable to allocate 1 GiB")

    monkeypatch.setattr(environment, "create_extractor", fails)
    status, found = ask(capsys, "--no-ros")
    assert status == 1
    (line,) = about(found, "network")
    assert line.level == "fault" and "not enough memory" in line.text


def test_little_shared_memory_and_a_poor_locale_are_hints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=10 << 20)
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda folder: usage)
    monkeypatch.setattr(environment.locale, "getpreferredencoding", lambda do: "ANSI_X3.4-1968")
    status, found = ask(capsys, "--no-ros")
    assert status == 0
    (memory,), (letters,) = about(found, "shared memory"), about(found, "locale")
    assert memory.level == "hint" and "--shm-size" in memory.text
    assert letters.level == "hint" and "LC_ALL=C.UTF-8" in letters.text


def test_maps_that_are_damaged_foreign_or_too_small_are_told_apart(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    damaged = make_map(tmp_path / "damaged.fvm", 30)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    status, found = ask(capsys, "--no-ros", "--map", str(damaged))
    assert status == 1
    assert "cut off or damaged" in about(found, "map")[0].text

    other = make_map(tmp_path / "other.fvm", 30, "floppynet-4")
    status, found = ask(capsys, "--no-ros", "--map", str(other))
    assert status == 1
    assert "set weights:=floppynet-4" in about(found, "map")[-1].text
    assert ask(capsys, "--no-ros", "--map", str(other), "--weights", "floppynet-4")[0] == 0

    small = make_map(tmp_path / "small.fvm", 19)
    status, found = ask(capsys, "--no-ros", "--map", str(small))
    assert status == 0
    assert about(found, "map")[-1].level == "hint"


class Camera:
    """Publishes images until it is closed."""

    def __init__(self, context: Any, topic: str, size: tuple[int, int], **fields: Any) -> None:
        import rclpy
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        from sensor_msgs.msg import Image

        height, width = size
        self._message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
        self._message.data.frombytes(bytes(3 * height * width))
        self._message.header.stamp.sec = 1
        for name, value in fields.items():
            setattr(self._message, name, value)
        self.node = rclpy.create_node("camera", context=context)
        profile = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._publisher = self.node.create_publisher(Image, topic, profile)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    def _publish(self) -> None:
        while not self._closed.wait(0.05):
            self._publisher.publish(self._message)

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self.node.destroy_node()


@pytest.fixture
def cameras(ros_context: Any) -> Iterator[Any]:
    """Start cameras that are stopped at the end."""
    started: list[Camera] = []

    def start(topic: str, size: tuple[int, int] = (12, 16), **fields: Any) -> Camera:
        started.append(Camera(ros_context, topic, size, **fields))
        return started[-1]

    yield start
    for camera in started:
        camera.close()


def test_a_camera_is_found_with_its_rate_its_qos_and_the_argument_for_launch(
    capsys: pytest.CaptureFixture[str], cameras: Any
) -> None:
    cameras("/front/image_raw")
    status, found = ask(capsys, "--seconds", "4")
    assert status == 0
    (line,) = about(found, "images")
    assert line.level == "ok"
    assert "/front/image_raw: " in line.text and "best effort" in line.text
    assert "(image:=/front/image_raw)" in line.text
    (node,) = about(found, "node")
    assert "none is running" in node.text


def test_images_larger_than_shared_memory_name_the_profile_for_the_driver(
    capsys: pytest.CaptureFixture[str], cameras: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cameras("/front/image_raw", (480, 640))
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        monkeypatch.delenv(name, raising=False)
    # The camera of this test has the profile already, if there is one: images do arrive.
    _, found = ask(capsys, "--image", "/front/image_raw", "--seconds", "6")
    assert about(found, "images")[0].level == "ok"
    (line,) = about(found, "DDS")
    assert line.level == "hint" and "fastdds_large_images.xml" in line.text


def test_a_wanted_topic_that_nobody_publishes_is_a_fault_that_names_the_others(
    capsys: pytest.CaptureFixture[str], cameras: Any
) -> None:
    cameras("/front/image_raw")
    status, found = ask(capsys, "--image", "/camera/image_raw", "--seconds", "0.5")
    assert status == 1
    (line,) = about(found, "images")
    assert line.level == "fault"
    assert "nobody publishes /camera/image_raw" in line.text and "/front/image_raw" in line.text


def test_depth_and_images_without_stamps_are_told(
    capsys: pytest.CaptureFixture[str], cameras: Any
) -> None:
    from builtin_interfaces.msg import Time
    from std_msgs.msg import Header

    cameras("/depth/image_raw", encoding="16UC1", step=32, header=Header(stamp=Time()))
    status, found = ask(capsys, "--image", "/depth/image_raw", "--seconds", "4")
    assert status == 1
    said = {one.level: one.text for one in about(found, "images")}
    assert "depth of things" in said["fault"]
    assert "no stamps" in said["hint"]


def test_without_ros_the_doctor_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "rclpy", None)
    monkeypatch.delitem(sys.modules, "floppynet_vpr.ros.examination", raising=False)
    monkeypatch.delitem(sys.modules, "floppynet_vpr.ros.command_node", raising=False)
    status, found = ask(capsys)
    assert status == 1
    (line,) = about(found, "ROS")
    assert line.level == "fault" and "source setup.bash" in line.text
