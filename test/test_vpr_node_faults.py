# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The node outlives what goes wrong around it: cameras, clocks, disks, files, too many images."""

from __future__ import annotations

import os
import random
import resource
from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.mapping.places import MOST_PLACES

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import Client, NodeProcess, StartNode, image_message, set_parameter, view
from sensor_msgs.msg import Image

from floppynet_vpr_msgs.srv import MapFile


def ask(client: Client, publisher: object, image: Image) -> None:
    """Send an image and wait for the answer."""
    count = len(client.answers) + 1
    publisher.publish(image)  # type: ignore[attr-defined]
    client.wait_for_answers(count)


def test_a_camera_may_start_anew_with_another_resolution_and_encoding(
    start_node: StartNode, client: Client
) -> None:
    node = start_node(
        mode="both",
        matching="rigid",
        sequence="none",
        threshold=0.9,
        exclude_images=0,
        exclude_seconds=50.0,
    )
    publisher = client.image_publisher()
    for number in range(5):
        ask(client, publisher, image_message(view(number), number))
    client.node.destroy_publisher(publisher)
    for restart, (size, encoding) in enumerate([((320, 240), "bgr8"), ((160, 120), "mono8")], 1):
        publisher = client.image_publisher()
        for number in range(5):
            rgb = cv2.resize(view(number), size, interpolation=cv2.INTER_LINEAR)
            image = image_message(rgb if encoding == "bgr8" else np.repeat(rgb[:, :, 1:2], 3, 2))
            image.encoding = encoding
            if encoding == "mono8":
                image.step //= 3
                image.data = image.data[::3]
            else:
                image.data = image_message(np.ascontiguousarray(rgb[..., ::-1])).data
            image.header.stamp.sec = 100 * restart + number
            ask(client, publisher, image)
            seen = client.answers[-1].candidates[0].place_id % MOST_PLACES
            assert encoding == "mono8" or seen == number
        client.node.destroy_publisher(publisher)
    assert node.process.poll() is None
    assert "could not" not in node.log


def test_stamps_that_jump_back_and_bags_in_a_loop_are_taken_as_they_come(
    start_node: StartNode, client: Client
) -> None:
    node = start_node(
        mode="both",
        matching="rigid",
        sequence="none",
        threshold=0.5,
        exclude_images=3,
        exclude_seconds=3.0,
        keyframe_seconds=0.5,
    )
    publisher = client.image_publisher()
    for _ in range(3):
        for number in range(20):
            ask(client, publisher, image_message(view(number), 1000 + number))
    first, second, third = (client.answers[20 * lap : 20 * lap + 20] for lap in range(3))
    assert not any(answer.detected for answer in first)
    for lap in (second, third):
        assert all(answer.detected for answer in lap)
        seen = [answer.candidates[0].place_id % MOST_PLACES for answer in lap]
        assert [place % 20 for place in seen] == list(range(20))
    told = client.wait_for_diagnostics(lambda values: values["images processed"] == "60")
    assert told["map places"] == "20", "what was seen before is no new place"
    assert node.process.poll() is None


def test_damaged_maps_are_refused_while_images_are_answered_from_the_map_in_use(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    extractor = create_extractor()
    reference = ReferenceMap.for_weights(extractor.weights)
    for number in range(6):
        reference.add(extractor.describe(view(number)), f"place {number}")
    good, bad = tmp_path / "good.fvm", tmp_path / "bad.fvm"
    reference.save(good)
    content = good.read_bytes()
    rng = random.Random(0)
    damaged = [content[:length] for length in range(0, len(content), 1024)]
    for bit in rng.sample(range(8 * len(content)), 20):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    node = start_node(map=good, threshold=0.5)
    publisher = client.image_publisher()
    pipe = tmp_path / "pipe.fvm"
    os.mkfifo(pipe)
    answer = client.call(MapFile, "/vpr/load_map", path=str(pipe))
    assert not answer.success and "it is no file" in answer.message
    for index, wrong in enumerate(damaged):
        bad.write_bytes(wrong)
        publisher.publish(image_message(view(index % 6), index))
        answer = client.call(MapFile, "/vpr/load_map", path=str(bad))
        assert not answer.success
        assert str(bad) in answer.message
        assert answer.message.endswith("the map in use stays")
        client.wait_for_answers(index + 1)
    assert all(answer.detected for answer in client.answers)
    assert client.call(MapFile, "/vpr/load_map", path=str(good)).success
    ask(client, publisher, image_message(view(2), 1000))
    assert client.answers[-1].candidates[0].place == "place 2"
    assert node.process.poll() is None


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="no limit on file sizes here")
def test_a_full_disk_is_told_once_and_the_map_is_saved_when_there_is_room_again(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "home.fvm"
    node = start_node(mode="mapping", save_map_to=path, save_period=0.5)
    publisher = client.image_publisher()
    ask(client, publisher, image_message(view(0), 0))
    client.wait_for_diagnostics(lambda v: v.get("last saving", "").startswith("1 places"))
    pid = node.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (50_000, limits[1]))
    for number in range(1, 20):
        ask(client, publisher, image_message(view(number), number))
    told = client.wait_for_diagnostics(lambda v: "the map is not saved" in v["summary"])
    assert str(path) in told["summary"]
    assert len(ReferenceMap.load(path)) < 20
    assert sorted(entry.suffix for entry in tmp_path.iterdir()) == [".fvm", ".lock", ".log"]
    refused = client.call(MapFile, "/vpr/save_map", path=str(tmp_path / "other.fvm"))
    assert not refused.success
    assert "other.fvm" in refused.message
    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    client.wait_for_diagnostics(lambda v: v.get("last saving", "").startswith("20 places"))
    assert len(ReferenceMap.load(path)) == 20
    assert node.log.count("the map is not saved") == 1
    assert node.stop() == 0


def test_settings_that_make_no_sense_are_refused_live_and_change_nothing(
    start_node: StartNode, client: Client
) -> None:
    start_node(mode="both")
    for name, value in (
        ("keyframe_distance", 2.1),
        ("keyframe_metres", -1.0),
        ("keyframe_degrees", float("nan")),
        ("save_period", float("inf")),
        ("pose_tolerance", 0.0),
        ("mode", "localization"),
        ("pose_source", "odometry"),
        ("save_map_to", "/tmp/elsewhere.fvm"),
    ):
        accepted, reason = set_parameter(client, name, value)
        assert not accepted, name
        assert name in reason
    assert set_parameter(client, "keyframe_distance", 0.5) == (True, "")


def resident_bytes(node: NodeProcess) -> int:
    pages = Path(f"/proc/{node.process.pid}/statm").read_text(encoding="utf-8").split()[1]
    return int(pages) * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
def test_thousands_of_images_too_many_at_a_time_leave_memory_as_it_was(
    start_node: StartNode, client: Client
) -> None:
    node = start_node(mode="both", keyframe_distance=0.3, sequence="filter", qos="reliable")
    publisher = client.image_publisher()
    # So small that 20 fit into the shared memory that Fast DDS has by default.
    images = [image_message(view(number)[::2, ::2]) for number in range(3)]

    def flood_until(answers: int) -> None:
        """Send faster than the node can answer."""
        while len(client.answers) < answers:
            known = len(client.answers)
            for _ in range(20):
                images[0].header.stamp.sec += 1
                publisher.publish(images[0])
            client.wait_for_answers(known + 1)

    for message in images:
        ask(client, publisher, message)
    flood_until(500)
    before = resident_bytes(node)
    flood_until(2000)
    assert resident_bytes(node) - before < 8 * 2**20
    told = client.wait_for_diagnostics(lambda values: int(values["images processed"]) >= 2000)
    assert int(told["images dropped"]) > 0
    assert int(told["map places"]) < 10
    assert node.stop() == 0
