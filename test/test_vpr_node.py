# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The node does what it promises, in a process of its own, over real DDS."""

from __future__ import annotations

import array
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.detection import DetectorOptions, LoopClosureDetector
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.mapping import Pose, ReferenceMap
from floppynet_vpr.mapping.places import MOST_PLACES

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import (
    PATIENCE_S,
    Client,
    StartNode,
    image_message,
    picture,
    set_parameter,
    view,
)
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool, Trigger

from floppynet_vpr_msgs.srv import MapFile

PLACES = 12


@pytest.fixture(scope="module")
def map_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of the first pictures; the second place has a pose."""
    extractor = create_extractor()
    reference = ReferenceMap.for_weights(extractor.weights)
    for number in range(PLACES):
        pose = Pose(1.0, 2.0, 3.0) if number == 1 else None
        reference.add(extractor.describe(picture(number)), f"place {number}", 10**9 * number, pose)
    path = tmp_path_factory.mktemp("map") / "places.fvm"
    reference.save(path)
    return path


def test_every_image_is_answered_as_offline(
    start_node: StartNode, client: Client, map_file: Path
) -> None:
    node = start_node(map=map_file, top_k=3, threshold=0.9)
    publisher = client.image_publisher()
    extractor = create_extractor()
    options = DetectorOptions(threshold=0.9, top_k=3)
    detector = LoopClosureDetector(ReferenceMap.load(map_file), options)
    for number in range(2 * PLACES):
        publisher.publish(image_message(picture(number), number))
        answer = client.wait_for_answers(number + 1)[number]
        expected = detector.detect(extractor.describe(picture(number)))
        assert answer.query_id == number
        assert answer.header.stamp.sec == number
        assert answer.header.frame_id == "camera_optical_frame"
        assert answer.detected == expected.detected
        assert answer.threshold == np.float32(0.9)
        for got, candidate in zip(answer.candidates, expected.candidates, strict=True):
            assert got.place_id == candidate.place.id
            assert got.place == candidate.place.name
            assert got.stamp.sec == candidate.place.number
            assert got.distance == np.float32(candidate.distance)
            assert got.score == np.float32(candidate.score)
            assert got.has_pose == (candidate.place.number == 1)
            assert got.pose.position.z == (3.0 if got.has_pose else 0.0)
    known = [answer.detected for answer in client.answers]
    assert known[:PLACES] == [True] * PLACES
    assert not all(known[PLACES:])
    assert node.stop() == 0


def test_a_second_ctrl_c_does_not_disturb_the_ending(start_node: StartNode, map_file: Path) -> None:
    node = start_node(map=map_file)
    node.wait_for_log("waiting for images")
    for _ in range(5):
        node.process.send_signal(signal.SIGINT)
        time.sleep(0.005)  # as a terminal and launch do, one after the other
    assert node.process.wait(PATIENCE_S) == 0
    assert "Traceback" not in node.log


def test_without_a_map_it_answers_and_says_how_to_build_one(
    start_node: StartNode, client: Client
) -> None:
    node = start_node()
    client.image_publisher().publish(image_message(picture(0), 7))
    (answer,) = client.wait_for_answers(1)
    assert not answer.detected
    assert not answer.candidates
    assert "build_map" in node.log
    assert "/vpr/load_map" in node.log
    assert client.wait_for_diagnostics(lambda values: True)["summary"] == "no map"


def test_bad_images_are_reported_once_a_kind_and_counted(
    start_node: StartNode, client: Client, map_file: Path
) -> None:
    node = start_node(map=map_file)
    publisher = client.image_publisher()
    unknown = image_message(picture(0))
    unknown.encoding = "32FC7"
    short = image_message(picture(0))
    short.data = short.data[:100]
    for count, message in enumerate((unknown, short, unknown, short, unknown), 1):
        publisher.publish(message)
        client.wait_for_diagnostics(lambda v, n=count: v.get("images unusable") == str(n))
    publisher.publish(image_message(picture(3)))
    (answer,) = client.wait_for_answers(1)
    assert answer.candidates[0].place_id % MOST_PLACES == 3
    assert node.log.count("could not be used") == 2


def test_silence_is_explained_once_with_the_topics_that_do_carry_images(
    start_node: StartNode, client: Client, map_file: Path
) -> None:
    client.node.create_publisher(Image, "/front/image_raw", 10)
    node = start_node(map=map_file, no_image_warning=1.0)
    node.wait_for_log("nobody publishes /image (sensor_msgs/msg/Image); topics that carry such")
    node.wait_for_log("/front/image_raw")
    assert "/vpr/match_image" not in node.log, "the node's own pictures are no camera's"
    publisher = client.image_publisher()
    publisher.publish(image_message(picture(0)))
    node.wait_for_log("images are coming on /image")
    node.wait_for_log("/image has publishers but sends nothing: /test_client")


def test_an_unfitting_qos_is_explained(
    start_node: StartNode, client: Client, map_file: Path
) -> None:
    node = start_node(map=map_file, qos="reliable", no_image_warning=1.0)
    client.node.create_publisher(
        Image, "/image", QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    )
    node.wait_for_log("set qos:=auto")


@pytest.mark.parametrize(
    ("offered", "asked"),
    [(ReliabilityPolicy.RELIABLE, "reliable"), (ReliabilityPolicy.BEST_EFFORT, "best effort")],
)
def test_qos_auto_follows_the_publisher(
    offered: ReliabilityPolicy,
    asked: str,
    start_node: StartNode,
    client: Client,
    map_file: Path,
) -> None:
    start_node(map=map_file)
    publisher = client.image_publisher(reliability=offered)
    client.wait_for_diagnostics(lambda values: values.get("image QoS") == asked)
    message = image_message(picture(4))

    def publish_until_answered() -> bool:  # discovery may cost best effort the first images
        message.header.stamp.sec += 1
        publisher.publish(message)
        return bool(client.answers)

    client.wait_for(publish_until_answered, "an answer")
    assert client.answers[0].candidates[0].place_id % MOST_PLACES == 4
    client.wait_for(lambda: publisher.get_subscription_count() == 1, "a single subscription")


def test_compressed_images_are_taken(start_node: StartNode, client: Client, map_file: Path) -> None:
    remap = "image/compressed:=/camera/compressed"
    start_node("-r", remap, map=map_file, image_transport="compressed")
    publisher = client.image_publisher("/camera/compressed", CompressedImage)
    png = cv2.imencode(".png", picture(5)[..., ::-1])[1]
    message = CompressedImage(format="png", data=array.array("B", png.tobytes()))
    publisher.publish(message)
    answer = client.wait_for_answers(1)[0]
    assert answer.candidates[0].place_id % MOST_PLACES == 5
    assert answer.candidates[0].distance < 0.05


def test_remapping_the_base_topic_moves_its_compressed_form(
    start_node: StartNode, client: Client, map_file: Path
) -> None:
    node = start_node(
        *("-r", "image:=/camera/image_raw"), map=map_file, image_transport="compressed"
    )
    node.wait_for_log("waiting for images on /camera/image_raw/compressed")


def test_under_load_the_newest_image_wins_and_drops_are_counted(
    start_node: StartNode, client: Client, map_file: Path
) -> None:
    start_node(map=map_file, backend="packed-numpy", qos="reliable")
    publisher = client.image_publisher()
    count = 150
    message = image_message(picture(6))
    for number in range(count):
        message.header.stamp.sec = number
        publisher.publish(message)
    client.wait_for(
        lambda: bool(client.answers) and client.answers[-1].header.stamp.sec == count - 1,
        "the answer to the last image",
    )
    stamps = [answer.header.stamp.sec for answer in client.answers]
    assert stamps == sorted(stamps)
    assert len(stamps) < count
    values = client.wait_for_diagnostics(lambda v: v.get("images processed") == str(len(stamps)))
    assert int(values["images received"]) == len(stamps) + int(values["images dropped"])


def test_with_a_queue_every_image_of_a_burst_is_answered_in_order(
    start_node: StartNode, client: Client, map_file: Path
) -> None:
    count = 40
    start_node(map=map_file, qos="reliable", queue_size=count)
    publisher = client.image_publisher()
    for number in range(count):
        publisher.publish(image_message(picture(7), number))
    answers = client.wait_for_answers(count)
    assert [answer.header.stamp.sec for answer in answers] == list(range(count))


def test_services_save_load_and_reset_the_map(
    start_node: StartNode, client: Client, map_file: Path, tmp_path: Path
) -> None:
    node = start_node(map=map_file)
    publisher = client.image_publisher()
    copy = tmp_path / "folder" / "copy.fvm"
    saved = client.call(MapFile, "/vpr/save_map", path=str(copy))
    assert saved.success, saved.message
    assert len(ReferenceMap.load(copy)) == PLACES

    assert client.call(Trigger, "/vpr/reset_map").success
    publisher.publish(image_message(picture(0)))
    assert not client.wait_for_answers(1)[0].candidates

    refused = client.call(MapFile, "/vpr/load_map", path=str(tmp_path / "none.fvm"))
    assert not refused.success
    assert "none.fvm" in refused.message
    loaded = client.call(MapFile, "/vpr/load_map", path=str(copy))
    assert loaded.success, loaded.message
    publisher.publish(image_message(picture(0)))
    assert client.wait_for_answers(2)[1].candidates[0].distance < 0.05
    assert node.process.poll() is None


def test_a_map_of_other_weights_is_refused_and_the_map_in_use_stays(
    start_node: StartNode, client: Client, map_file: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.fvm"
    ReferenceMap("floppynet", "ab" * 32).save(foreign)
    start_node(map=map_file)
    answer = client.call(MapFile, "/vpr/load_map", path=str(foreign))
    assert not answer.success
    assert "other weights" in answer.message
    values = client.wait_for_diagnostics(lambda values: "map places" in values)
    assert values["map places"] == str(PLACES)


def test_pause_ignores_images_until_resumed(
    start_node: StartNode, client: Client, map_file: Path
) -> None:
    start_node(map=map_file)
    publisher = client.image_publisher()
    assert client.call(SetBool, "/vpr/pause", data=True).success
    publisher.publish(image_message(picture(0), 1))
    client.wait_for_diagnostics(lambda values: values["images received"] == "1")
    assert client.call(SetBool, "/vpr/pause", data=False).success
    publisher.publish(image_message(picture(0), 2))
    assert [a.header.stamp.sec for a in client.wait_for_answers(1)] == [2]


def test_parameters_change_live_where_that_makes_sense(
    start_node: StartNode, client: Client, map_file: Path
) -> None:
    start_node(map=map_file)
    publisher = client.image_publisher()
    publisher.publish(image_message(picture(99)))
    client.wait_for_answers(1)
    assert set_parameter(client, "threshold", 2.0) == (True, "")
    publisher.publish(image_message(picture(99)))
    before, after = client.wait_for_answers(2)
    assert (before.detected, after.detected) == (False, True)
    assert not set_parameter(client, "threshold", 2.5)[0]
    accepted, reason = set_parameter(client, "backend", "onnxruntime")
    assert not accepted
    assert "configured" in reason


def test_sequences_are_followed_as_offline_and_switched_live(
    start_node: StartNode, client: Client, tmp_path: Path
) -> None:
    extractor = create_extractor()
    reference = ReferenceMap.for_weights(extractor.weights)
    for number in range(30):
        reference.add(extractor.describe(view(number)), f"place {number}")
    reference.save(tmp_path / "way.fvm")
    start_node(map=tmp_path / "way.fvm", sequence="filter", exclude_seconds=0.0)
    options = DetectorOptions(sequence="filter", exclude_seconds=0.0)
    detector = LoopClosureDetector(ReferenceMap.load(tmp_path / "way.fvm"), options)
    publisher = client.image_publisher()
    for index, number in enumerate(np.arange(2, 28, 1.3)):
        publisher.publish(image_message(view(number), index))
        answer = client.wait_for_answers(index + 1)[index]
        expected = detector.detect(extractor.describe(view(number)), index * 10**9)
        assert answer.detected == expected.detected
        assert answer.threshold == 2.0
        assert [c.place_id for c in answer.candidates] == [c.place.id for c in expected.candidates]
        assert [c.score for c in answer.candidates] == [
            np.float32(c.score) for c in expected.candidates
        ]
    assert answer.detected
    assert abs(answer.candidates[0].place_id % MOST_PLACES - number) <= 1
    told = client.wait_for_diagnostics(lambda values: values.get("last answer") == "loop closure")
    assert told["sequence"] == "filter"
    assert told["detected if"] == "distance <= 2.000, belief >= 0.700 (set by itself)"
    assert set_parameter(client, "sequence", "none") == (True, "")
    assert not set_parameter(client, "sequence", "flow")[0]
    publisher.publish(image_message(view(5), 100))
    answer = client.wait_for_answers(index + 2)[-1]
    assert answer.threshold == 2.0
    assert answer.candidates[0].place_id % MOST_PLACES == 5


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"threshold": 5.0}, "threshold"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": "many"}, "top_k"),
        ({"sequence": "flow"}, "one of auto, none, filter, line"),
        ({"confidence": 1.5}, "confidence"),
        ({"mode": "explore"}, "one of localization, mapping, both"),
        ({"pose_source": "gps"}, "one of none, odometry, pose, tf"),
        ({"save_period": 0.0}, "save_period"),
        ({"keyframe_degrees": 181.0}, "keyframe_degrees"),
        ({"save_map_to": "a.fvm"}, "set mode to mapping or both"),
        ({"mode": "both", "save_map_to": "/proc/a.fvm"}, "/proc/a.fvm"),
        ({"mode": "both", "map": "/nowhere.fvm"}, "/nowhere.fvm"),
        ({"map": "/nowhere.fvm"}, "cannot read the map /nowhere.fvm"),
        ({"map": "/nowhere/day.fvm:/nowhere/night.fvm"}, "/nowhere/day.fvm: No such file"),
        ({"map": "/" + 300 * "x"}, "File name too long"),
        ({"map": __file__}, f"{__file__} is not a map"),
        ({"mode": "both", "save_map_to": "/" + 300 * "x"}, "File name too long"),
        ({"qos": "best"}, "one of auto, sensor_data, reliable"),
        ({"backend": "gpu"}, "one of auto"),
        ({"weights": "/nowhere.fnet"}, "/nowhere.fnet"),
    ],
)
def test_wrong_parameters_at_start_end_the_node_with_a_clear_message(
    parameters: dict[str, object], told: str, start_node: StartNode
) -> None:
    node = start_node(**parameters)
    assert node.process.wait(PATIENCE_S) == 1
    assert told in node.log
    assert "Traceback" not in node.log


def test_a_namespace_moves_all_names(
    start_node: StartNode, ros_domain: int, map_file: Path
) -> None:
    client = Client(ros_domain, "robot1/vpr")
    try:
        start_node("-r", "__ns:=/robot1", map=map_file)
        client.image_publisher("/robot1/image").publish(image_message(picture(2)))
        assert client.wait_for_answers(1)[0].candidates[0].place_id % MOST_PLACES == 2
        assert client.call(SetBool, "/robot1/vpr/pause", data=True).success
    finally:
        client.close()
